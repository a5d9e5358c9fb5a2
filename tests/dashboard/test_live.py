"""What a page shows is what a fresh read shows, whatever happens to the store between two polls."""

import math
import random
import signal
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from sqlalchemy import update
from sqlalchemy.event import listen

from dashboard.page import Page, points_of, rows_of
from properties.profiles import THOROUGH
from trainstore import TrainStore
from trainstore.dashboard import live
from trainstore.dashboard.answers import Answers
from trainstore.errors import FilterError, InvalidArgumentError

RUNS, ROUNDS = 25, 400 if THOROUGH else 40
METRICS = ("loss", "late", "rank1")
COLUMNS = (
    "name", "status", "last_step", "attempts", "ended", "error", "command", "tag.rating",
    "metric.loss", "metric.loss.min", "metric.loss.max", "metric.loss.count", "metric.late", "metric.rank1",
)  # fmt: skip

KILLED = """
    import os, signal, sys
    from trainstore import TrainStore
    url, uid, step = sys.argv[1], sys.argv[2], int(sys.argv[3])
    store = TrainStore(url)
    run = store.resume_run(uid, step=step)
    for more in range(1, 6):
        run.log({"loss": 5.0 + more}, step + more)
    run.flush()
    for more in range(6, 11):
        run.log({"loss": 5.0 + more}, step + more)
    print("logged", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


class World:
    """Trainings at which anything happens, at random; what a poll may have to say of it is noted."""

    def __init__(self, url, store, chance, start_script):
        self.url, self.store, self.chance, self.start_script = url, store, chance, start_script
        self.runs = [store.start_run(name=f"run-{number}") for number in range(RUNS)]
        self.steps = dict.fromkeys((run.uid for run in self.runs), 0)
        self.heights = 10.0
        self.touched = {}  # uid → the lowest step that something happened to since the last poll

    def touch(self, run, step):
        """Something happened to a step of a run."""
        self.touched[run.uid] = min(step, self.touched.get(run.uid, step))

    def happen(self):
        """One thing."""
        place = self.chance.randrange(len(self.runs))
        run = self.runs[place]
        kinds = [self.log] * 12 + [self.late] * 2 + [self.replace, self.rank, self.resume, self.edit, self.delete]
        kind = kinds[self.chance.randrange(len(kinds))]
        if kind not in (self.log, self.late, self.replace):
            self.settle()  # what goes through the store waits for records only so long
        kind(place, run)

    def log(self, place, run):
        """Steps follow, some with NaN and infinities, some a few steps apart."""
        for _ in range(self.chance.randint(1, 5)):
            step = self.steps[run.uid] = self.steps[run.uid] + self.chance.randint(1, 3)
            run.log({"loss": self.chance.choice([self.chance.random(), math.nan, math.inf, 2])}, step, epoch=step // 5)
            self.touch(run, step)

    def late(self, place, run):
        """An evaluation is merged into a step that is over."""
        if self.steps[run.uid]:
            step = self.chance.randint(1, self.steps[run.uid])
            run.log({"late": self.chance.random()}, step)
            self.touch(run, step)

    def replace(self, place, run):
        """A value is replaced by another, which is higher than all."""
        if self.steps[run.uid]:
            step = self.chance.randint(1, self.steps[run.uid])
            self.heights += 1
            run.log({"loss": self.heights}, step)
            self.touch(run, step)

    def rank(self, place, run):
        """Another process of the same training writes."""
        if self.steps[run.uid]:
            step = self.chance.randint(1, self.steps[run.uid])
            with self.store.resume_run(run.uid, lineage=run.lineage, rank=1) as other:
                other.log({"rank1": self.chance.random()}, step)
            self.touch(run, step)

    def resume(self, place, run):
        """The training ends, and goes on from an earlier step."""
        run.finish()
        self.settle()
        step = self.chance.randint(0, self.steps[run.uid])
        self.runs[place] = self.store.resume_run(run.uid, step=step)
        self.steps[run.uid] = step
        self.touch(run, step)

    def edit(self, place, run):
        """Somebody annotates it."""
        self.store.set_tags(run.uid, {"rating": self.chance.randint(1, 3)})
        self.store.rename_run(run.uid, f"renamed-{self.chance.random()}")
        self.touched.setdefault(run.uid, math.inf)

    def delete(self, place, run):
        """It is deleted, and another one begins."""
        run.finish()
        self.settle()
        self.store.delete_run(run.uid)
        self.runs[place] = self.store.start_run(name=f"after {run.name}")
        self.steps[self.runs[place].uid] = 0

    def kill(self):
        """A process that resumed a run is killed; what it had not delivered is recovered."""
        place = self.chance.randrange(len(self.runs))
        run = self.runs[place]
        run.finish()
        step = self.steps[run.uid]
        script = self.start_script(KILLED, self.url, run.uid, step)
        script.wait_for("logged")
        script.finish(code=-signal.SIGKILL)
        return place, run, step

    def settle(self):
        """Everything that was logged is in the database."""
        assert self.store.flush(60)


def assert_shows_the_store(page, store):
    """The table and every curve are what queries give."""
    whole = orjson.loads(orjson.dumps(Answers(store).runs(q=page.q, columns=page.columns)))
    assert page.table == rows_of(whole["columns"])
    assert page.count == whole["count"]
    assert page.shown() == expected(store, list(page.curves), page.metrics, page.x)
    statuses = rows_of(Answers(store).runs(columns=["status"])["columns"])
    assert page.statuses == {uid: statuses[uid]["status"] for uid in page.curves}


def expected(store, uids, metrics, x):
    """The points of the curves of runs, as a query gives them."""
    found = {uid: {} for uid in uids}
    across, values = {}, defaultdict(list)
    log = store.list_step_logs(uids, tidy=True, metrics=[*metrics, "epoch"])
    for uid, step, metric, value in zip(log["run"], log["step"], log["metric"], log["value"], strict=True):
        if metric == "epoch":
            across[uid, step] = value
        else:
            values[uid, metric].append((step, value))
    for (uid, metric), points in values.items():
        places = [step if x == "step" else across.get((uid, step), math.nan) for step, _ in points]
        drawn = [(place, value) for place, (_, value) in zip(places, points, strict=True) if not math.isnan(place)]
        if drawn:
            found[uid][metric] = points_of(*zip(*drawn, strict=True))
    return found


def test_a_page_that_polls_shows_what_a_fresh_read_shows(database_url, start_script):
    """Among new steps, late ones, other processes, resumes, deletions, edits, kills: three pages, 80 polls.

    HYPOTHESIS_PROFILE=thorough: ten times as many.

    One is on the axis of epochs, where several steps share a place, and has a filter; one polls rarely, and its server
    has no memory for so many runs.
    """
    chance = random.Random(7)
    with TrainStore(database_url) as store, TrainStore(database_url, read_only=True) as reading:
        world = World(database_url, store, chance, start_script)
        world.log(0, world.runs[0])
        world.late(0, world.runs[0])
        world.settle()
        world.rank(0, world.runs[0])
        world.edit(0, world.runs[0])
        world.settle()
        answers = Answers(reading)
        quick = Page(answers, metrics=METRICS, columns=COLUMNS)
        filtered = Page(answers, metrics=METRICS, x="epoch", q="metric.loss.max < 5 or not metric.loss")
        lacking = Answers(reading)
        lacking.cache._limit = 10_000  # bytes
        rare = Page(lacking, metrics=METRICS)
        for number in range(ROUNDS):
            for _ in range(chance.choice([0, 1, 1, 2, 5])):
                world.happen()
            world.settle()
            if number % 40 == 30:
                place, run, step = world.kill()
                quick.poll()
                assert store.recover().records
                world.runs[place] = store.resume_run(run.uid, step=step + 10)
                world.steps[run.uid] = step + 10
                world.touch(run, step + 1)
                world.settle()
            for page in (quick, filtered, rare) if number % 20 == 19 else (quick, filtered):
                for run in world.runs:  # new ones are drawn, too
                    page.curves.setdefault(run.uid, {})
                    page.drawn.setdefault(run.uid, None)
                sent = page.poll()
                assert_shows_the_store(page, reading)
                if page is quick:
                    assert_in_proportion(page, world, sent)
            world.touched = {}
        assert quick.table.keys() == {run.uid for run in world.runs}
        assert all(quick.shown()[run.uid] for run in world.runs if world.steps[run.uid])


def assert_in_proportion(page, world, sent):
    """No point is sent but of steps from the first on that something happened to."""
    for uid, points in page.points.items():
        low = world.touched.get(uid, math.inf)
        new = sum(x >= low for curve in page.shown()[uid].values() for x, _ in curve)
        assert points <= new
    rows = len(world.touched)
    assert sent <= 300 + 60 * sum(page.points.values()) + 3_000 * (rows + 2)


@pytest.fixture
def answers(store):
    """The dashboard's answers about a store in which something goes on."""
    with TrainStore(store.url, read_only=True) as reading:
        yield Answers(reading)


def filled(store, name, steps, **more):
    """A run that goes on."""
    run = store.start_run(name=name, **more)
    for step in range(1, steps + 1):
        run.log({"loss": 1 / step}, step)
    run.flush()
    return run


def test_nothing_new_costs_next_to_nothing(store, answers):
    """For 50 runs that are drawn and a table: a few bytes, and only the two statements that find that out."""
    runs = [filled(store, f"run-{number}", 3) for number in range(50)]
    page = Page(answers, runs=[run.uid for run in runs])
    page.poll()
    assert page.anew == {run.uid for run in runs}
    page.poll()  # the runs are in memory now
    statements = []
    listen(answers.store.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert page.poll() < 120
    assert len([one for one in statements if one != "BEGIN"]) <= 3  # the first fixes the moment
    for run in runs:
        run.finish()


def test_a_step_costs_a_few_statements(store, answers):
    """However many runs are drawn."""
    runs = [filled(store, f"run-{number}", 3) for number in range(20)]
    page = Page(answers, runs=[run.uid for run in runs])
    page.poll()
    page.poll()
    statements = []
    for changed in (1, 20):
        for run in runs[:changed]:
            run.log({"loss": 0.1}, 3 + changed)
            run.flush()
        noted = []
        listen(answers.store.engine, "before_cursor_execute", lambda *args, noted=noted: noted.append(args[2]))
        page.poll()
        statements.append(len([one for one in noted if one != "BEGIN"]))
    assert statements[0] <= 12
    assert statements[1] <= statements[0] + 19  # each run that has new steps is read on
    for run in runs:
        run.finish()


def test_a_step_is_sent_as_one_point(store, answers):
    """And its run's row of the table; of no other run anything."""
    one, other = filled(store, "one", 3), filled(store, "other", 3)
    page = Page(answers, runs=[one.uid, other.uid])
    page.poll()
    one.log({"loss": 0.1}, 4)
    one.flush()
    answer = answers.live(
        version=page.version,
        columns=["last_step"],
        runs={uid: {"generation": page.drawn[uid], "status": "running"} for uid in page.curves},
        metrics=["loss"],
    )
    assert set(answer["runs"]) == {one.uid}
    news = answer["runs"][one.uid]
    assert news["curves"] == {"loss": {"x": [4.0], "y": [0.1]}}
    assert (news["anew"], news["last_step"], news["replaces_from"]) == (False, 4, 4.0)
    assert {column["id"]: column["values"] for column in answer["table"]["columns"]}["last_step"] == [4]
    assert answer["table"]["gone"] == []
    assert (answer["count"], answer["running"]) == (2, 2)
    one.finish()
    other.finish()


@pytest.mark.parametrize("pages", [1, 2])
def test_only_cells_that_changed_are_sent(store, answers, pages):
    """A run may have hundreds of columns, of which a step changes a few; also if several pages ask."""
    run, other = filled(store, "run", 3, hyperparams={"lr": 0.1}), filled(store, "other", 3)
    columns = ["name", "last_step", "hp.lr", "metric.loss", "metric.loss.min", "metric.loss.max"]
    looking = [Page(answers, columns=columns) for _ in range(pages)]
    late = Page(answers, columns=columns)
    late.poll()

    def step(number, changed):
        run.log({"loss": 1 / number}, number)
        run.flush()
        for page in looking:
            page.poll()
            assert_shows_the_store(page, store)
            assert set(page.sent_columns) == changed

    for page in looking:
        page.poll()
    everything = {"uid", "status", "started", *columns}
    step(4, everything)
    step(5, {"uid", "last_step", "metric.loss", "metric.loss.min"})
    store.set_notes(other.uid, "another one")
    step(6, everything)  # of the other run nothing was told before
    late.poll()
    assert_shows_the_store(late, store)
    assert set(late.sent_columns) == everything
    run.finish()
    other.finish()


def test_a_cell_that_is_gone_is_told(store, answers):
    """A tag that is removed, a metric that a resume cuts away: also if all columns are asked for, and none by name."""
    run = filled(store, "run", 3)
    run.log({"late": 1.0}, 3)
    run.finish()
    store.set_tags(run.uid, {"good": True, "bad": True})
    page = Page(answers, columns=["*"])
    page.poll()
    assert {"tag.good", "metric.late"} <= page.table[run.uid].keys()
    store.set_tags(run.uid, {"new": True}, remove=["good"])
    page.poll()
    assert page.table[run.uid]["tag.good"] is None
    with store.resume_run(run.uid, step=2) as again:
        again.log({"loss": 0.1}, 3)
    page.poll()
    assert page.table[run.uid]["metric.late"] is None
    whole = rows_of(Answers(store).runs(columns=["*"])["columns"])
    cells = {name: cell for name, cell in page.table[run.uid].items() if cell is not None}
    assert cells == {name: cell for name, cell in whole[run.uid].items() if cell is not None}


def test_more_than_is_worth_sending_is_fetched_anew(store, answers, monkeypatch):
    """After an hour in the background a curve has thousands of new points, and the table hundreds of rows."""
    run = filled(store, "run", 3)
    page = Page(answers, runs=[run.uid])
    page.poll()
    monkeypatch.setattr(live, "MOST_POINTS", 9)
    for step in range(4, 14):
        run.log({"loss": 1.0}, step)
    run.flush()
    page.poll()
    assert page.anew == {run.uid}
    assert_shows_the_store(page, store)
    monkeypatch.setattr(live, "MOST_ROWS", 2)
    others = [filled(store, f"other-{number}", 1) for number in range(3)]
    answer = answers.live(version=page.version, columns=["name"])
    assert answer["table"] == {"anew": True}
    page.poll()
    assert_shows_the_store(page, store)
    for one in (run, *others):
        one.finish()


def test_a_run_leaves_the_table_with_its_filter(store, answers):
    """And comes back."""
    run = filled(store, "run", 3)
    page = Page(answers, q="metric.loss > 0.2")
    page.poll()
    assert page.count == len(page.table) == 1
    for value, count in ((0.1, 0), (0.3, 1)):
        run.log({"loss": value}, page.answers.store.get_current_step(run.uid) + 1)
        run.flush()
        page.poll()
        assert page.count == len(page.table) == count
    run.finish()


def test_a_run_that_is_lost_is_shown_as_lost(store, answers):
    """Although nothing was written: its process is just not heard of any more."""
    run = filled(store, "run", 3)
    page = Page(answers, runs=[run.uid], columns=("status",))
    page.poll()
    assert page.statuses == {run.uid: "running"}
    writer, long_ago = store.table.writer, datetime.now(UTC) - timedelta(hours=1)
    store.connection.execute(update(writer).values(heartbeat_at=long_ago))
    page.poll()
    assert page.statuses == {run.uid: "lost"}
    assert page.table[run.uid]["status"] == "lost"
    run.finish()


def test_a_run_without_the_curve_is_fetched_when_it_has_it(store, answers):
    """Not each second before: there is nothing to fetch."""
    run = store.start_run()
    run.log({"other": 1.0}, 1)
    run.flush()
    page = Page(answers, runs=[run.uid], columns=["name"])
    page.poll()
    assert page.anew == {run.uid}  # who knows: it is not in memory yet
    run.log({"other": 1.0}, 2)
    run.flush()
    page.poll()
    assert page.anew == set()
    run.log({"loss": 1.0}, 3)
    run.flush()
    page.poll()
    assert page.anew == {run.uid}
    assert_shows_the_store(page, store)
    run.finish()


def test_what_made_room_for_others_is_not_fetched_again_and_again(store, answers):
    """More runs are drawn than fit into memory: only those that have changed are fetched."""
    answers.cache._limit = 1  # byte
    runs = [filled(store, name, 3) for name in ("one", "two")]
    for run in runs:
        run.finish()
    page = Page(answers, runs=[run.uid for run in runs])
    for _ in range(2):
        page.poll()
    sent = answers.live(
        version=page.version,
        runs={uid: {"generation": page.drawn[uid], "status": page.statuses[uid]} for uid in page.curves},
        metrics=["loss"],
    )
    assert sent["runs"] == {}
    store.set_tags(runs[0].uid, {"good": True})
    with store.resume_run(runs[1].uid, step=2) as again:
        again.log({"loss": 7.0}, 3)
    page.poll()
    page.poll()
    assert_shows_the_store(page, store)
    page.poll()
    assert page.anew == set()


def test_another_server_begins_anew(store, answers):
    """After a restart, versions and generations of the old one mean nothing."""
    run = filled(store, "run", 3)
    page = Page(answers, runs=[run.uid])
    page.poll()
    assert page.poll() < 120
    page.answers = Answers(answers.store)
    page.poll()
    assert page.anew == {run.uid}
    assert_shows_the_store(page, store)
    assert page.poll() < 120
    run.finish()


def test_a_deleted_run_is_gone(store, answers):
    """From the table and from the charts; one that never was is gone at once."""
    run = filled(store, "run", 3)
    page = Page(answers, runs=[run.uid, "nobody"], columns=["name"])
    page.poll()
    assert list(page.curves) == [run.uid]
    run.finish()
    store.delete_run(run.uid)
    page.poll()
    assert page.table == page.curves == {}


def test_runs_that_never_were_are_not_remembered(store, answers):
    """Whatever somebody sends, the server's memory does not grow by it."""
    run = filled(store, "run", 3)
    for number in range(3):
        asked = {f"nobody {number} {place}": {} for place in range(500)}
        assert set(answers.live(runs=asked)["runs"]) == set(asked)
    answers.live(runs={run.uid: {}})
    assert set(answers._live._up_to_date) == {run.uid}
    assert answers.cache.size == 0
    run.finish()


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"runs": {"a": 3}}, InvalidArgumentError, "3 is not what a page has of run a"),
        ({"runs": {"a": {"generation": "3"}}}, InvalidArgumentError, "is not what a page has"),
        ({"runs": {"a": {"generation": True}}}, InvalidArgumentError, "is not what a page has"),
        ({"runs": {"a": {"status": 3}}}, InvalidArgumentError, "is not what a page has"),
        ({"runs": {str(number): {} for number in range(501)}}, InvalidArgumentError, "501 runs"),
        ({"metrics": [str(number) for number in range(51)]}, InvalidArgumentError, "51 metrics"),
        ({"q": "nothing =", "columns": ["name"]}, FilterError, "the filter ends"),
    ],
)
def test_what_cannot_be_asked_is_told(store, asked, error, told):
    """Bad input names itself."""
    with pytest.raises(error, match=told):
        Answers(store).live(**asked)
