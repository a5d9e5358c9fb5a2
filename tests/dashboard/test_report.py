"""Reports: the page, what it holds, and what its source answers from that."""

import base64
import hashlib
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import trainstore.dashboard
from fixtures import experiments
from fixtures.databases import BACKENDS
from trainstore import TrainStore, TrainStoreError
from trainstore.dashboard import write_report
from trainstore.dashboard.answers import Answers
from trainstore.dashboard.cells import plain
from trainstore.dashboard.packing import FAITHFUL, unpacked
from trainstore.dashboard.report import report_page
from trainstore.doctor import Waiting
from trainstore.errors import InvalidArgumentError

ASSETS = Path(trainstore.dashboard.__file__).parent / "assets"


class Page(HTMLParser):
    """The parts of a page: its policy, title, styles, scripts, and what it would load."""

    def __init__(self, page):
        super().__init__()
        self.parts, self.loads, self.policy, self._in = {}, [], "", []
        self.feed(page.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag not in ("meta", "link"):
            self._in.append(
                tag + "".join(f"{sign}{given[name]}" for name, sign in (("id", "#"), ("class", ".")) if name in given)
            )
        self.loads += [given[name] for name in ("src", "href") if name in given]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]

    def handle_endtag(self, tag):
        self._in.pop()

    def handle_data(self, data):
        for part in self._in:
            self.parts[part] = self.parts.get(part, "") + data

    @property
    def data(self):
        """The head and the arrays that lie in the page."""
        return unpacked(base64.b64decode(self.parts["script#trainstore-data"]))


@pytest.fixture(params=BACKENDS)
def store_of(request, recorded_once, new_database):
    """A store that ``fill`` has recorded, opened read-only: ``store_of(fill)``, on each database in turn."""
    opened = []

    def open_it(fill):
        url = new_database(request.param, template=recorded_once(request.param, fill))
        opened.append(TrainStore(url, read_only=True))
        return opened[-1]

    yield open_it
    for one in opened:
        one.close()


@pytest.fixture
def eight(recorded_once, new_database):
    """A small sweep, on SQLite."""
    with TrainStore(new_database("sqlite", template=recorded_once("sqlite", experiments.eight))) as store:
        yield store


def marked(store):
    """Runs called like markup."""
    experiments.markup(store)


def asked(node, page, tmp_path, code, **values):
    """What the source of a report answers to a piece of code."""
    (tmp_path / "packed").write_bytes(base64.b64decode(Page(page).parts["script#trainstore-data"]))
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ gunzipSync }} from "node:zlib";
        import {{ unpack }} from {json.dumps((ASSETS / "embedded.js").as_uri())};
        import {{ sourceOf }} from {json.dumps((ASSETS / "source-file.js").as_uri())};
        const bytes = gunzipSync(readFileSync({json.dumps(str(tmp_path / "packed"))}));
        const source = sourceOf(unpack(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)));
        const given = {json.dumps(values)};
        const plain = (key, value) => typeof value === "number" && !Number.isFinite(value) ? String(value)
          : ArrayBuffer.isView(value) ? [...value] : value;
        console.log(JSON.stringify(await (async () => {{ {code} }})(), plain));
    """
    done = subprocess.run([*node, "--input-type=module", "-e", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- The page --------------------------------------------------------------------------------------------------------


def test_the_policy_allows_this_script_and_this_style_alone(eight):
    """Their hashes stand in it, and nothing may come from anywhere else."""
    page = Page(report_page(eight, eight.list_runs()))
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))

    def hashed(part):
        return f"'sha256-{base64.b64encode(hashlib.sha256(page.parts[part].encode()).digest()).decode()}'"

    assert rules == {
        "default-src": "'none'",
        "script-src": hashed("script"),
        "style-src": hashed("style"),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_the_page_loads_nothing(eight):
    """Its only link is its icon, which lies in it."""
    page = report_page(eight, eight.list_runs())
    assert [load.partition(",")[0] for load in Page(page).loads] == ["data:image/svg+xml;base64"]
    assert b"assets/" not in page


def test_the_policy_stands_before_everything_that_it_is_for(eight):
    """A browser applies it to what comes after it."""
    page = report_page(eight, "sweep-000").decode()
    places = [page.index(text) for text in ("Content-Security-Policy", "<style>", "<script")]
    assert places == sorted(places)


def test_a_title_is_text(eight):
    """Whatever it is, the page has the same parts, and its title is that text."""
    plain_page = Page(report_page(eight, "sweep-000", title="Title"))
    for text in [*experiments.MARKUP, "a\u2028b", "]]>", "<!-- --!>", "&amp;", "\ud800"]:
        page = Page(report_page(eight, "sweep-000", title=text))
        assert page.parts["title"] == text.encode("utf-8", "replace").decode()
        assert page.parts.keys() == plain_page.parts.keys(), text
        assert page.parts["script"] == plain_page.parts["script"], text


def test_names_of_markup_are_in_the_data_alone(store_of):
    """Of runs, projects, tags, metrics, hyperparameters, events, samples and errors: none is text of the page."""
    store = store_of(marked)
    page = report_page(store, store.list_runs())
    assert b"harmed" not in page
    assert len(Page(page).data[0]["runs"]) == len(experiments.MARKUP)
    one = report_page(store, experiments.MARKUP[0])
    assert b"<script>window" not in one  # the name of the only run is the title


def test_the_line_above_tells_what_it_is_a_picture_of(store_of):
    """Store, time, and how many points of how many."""
    store = store_of(experiments.one)
    told = Page(report_page(store, store.list_runs(), points=100)).parts
    line = told["aside.report-note"]
    assert re.search(r"Report of \S+, 20\d\d-\d\d-\d\d \d\d:\d\d UTC · 100 points a curve of up to 600", line)
    assert (
        "every point of each curve"
        in Page(report_page(store, store.list_runs(), points=1000)).parts["aside.report-note"]
    )


def test_no_password_is_in_a_report(recorded_once, new_database):
    """Neither in the line above the page nor in the data, also not with the environment."""
    url = new_database("postgresql", template=recorded_once("postgresql", experiments.one))
    with TrainStore(url) as store:
        page = Page(report_page(store, store.list_runs(), with_env=True))
        password = re.search(r"//[^:/@]*:([^@]*)@", url)
        assert page.data[0]["meta"]["store"]["url"] == store.url
        assert password is None or password[1] not in json.dumps(page.data[0]) + page.parts["aside.report-note"]


def test_a_report_has_a_title_of_its_runs(eight):
    """The only run's name; of several, how many there are of what."""
    assert Page(report_page(eight, "sweep-000")).parts["title"] == "sweep-000"
    assert Page(report_page(eight, eight.list_runs())).parts["title"] == "8 runs of tiny-stories"


# --- What it holds ---------------------------------------------------------------------------------------------------


def test_it_holds_what_the_dashboard_answers(store_of):
    """Table, run pages and samples, with the environment, are those of the server."""
    store = store_of(experiments.eight)
    head, _ = Page(report_page(store, store.list_runs(), with_env=True)).data
    answers = Answers(store)
    uids = store.list_runs()["uid"].tolist()
    assert head["columns"] == answers.columns()["columns"]
    known = {column["id"]: column for column in answers.runs(columns=["*"])["columns"]}
    assert {column["id"]: column for column in head["table"]} == known
    assert list(head["runs"]) == uids
    assert head["runs"] == {uid: answers.run(uid) for uid in uids}
    assert head["samples"]["columns"] == answers.samples(uids)["columns"]


def test_it_holds_only_the_runs_that_were_asked_for(store_of):
    """And counts only these in their projects."""
    store = store_of(experiments.eight)
    head, _ = Page(report_page(store, ["sweep-001", "sweep-003"])).data
    names = next(column["values"] for column in head["table"] if column["id"] == "name")
    assert names == ["sweep-003", "sweep-001"]
    assert head["meta"]["runs"] == 2
    assert head["meta"]["projects"] == [{"name": "tiny-stories", "runs": 2, "running": 0}]
    assert len(head["curves"]) == len(head["runs"]) == len(head["compare"]["values"]) == 2


def secretive(store):
    """A run that knows where it is, and one that was resumed."""
    uid = experiments.resumed(store)
    with_env = store.start_run("where", hyperparams={"lr": 1})
    with_env.log_hyperparams({"HOSTNAME": "node-secret"}, "env")
    with_env.log({"loss": 1.0})
    with_env.finish()
    table = store.table
    with store.engine.begin() as connection:
        connection.execute(table.attempt.update().values(host="node-secret", command="train.py --secret"))
        connection.execute(table.writer.update().values(host="node-secret", username="secret"))
    assert uid


def test_where_a_run_was_made_is_left_out(store_of):
    """Command line, host, versions and environment are in it with ``with_env`` only, and so is the whole address."""
    store = store_of(secretive)
    plain_head, _ = Page(report_page(store, store.list_runs())).data
    assert "secret" not in json.dumps(plain_head)
    assert all(attempt["versions"] is None for run in plain_head["runs"].values() for attempt in run["attempts"])
    assert "://" not in plain_head["meta"]["store"]["url"]
    assert store.url.partition("://")[2].rpartition("/")[0] not in json.dumps(plain_head)
    whole, _ = Page(report_page(store, store.list_runs(), with_env=True)).data
    text = json.dumps(whole)
    assert text.count("train.py --secret") >= 3
    assert "node-secret" in text
    assert "python" in whole["runs"][next(iter(whole["runs"]))]["attempts"][0]["versions"]
    assert whole["meta"]["store"]["url"] == store.url


def test_what_waits_in_journals_is_left_out(eight, monkeypatch):
    """The command that delivers it names the store, and helps nobody who is sent a report."""
    monkeypatch.setattr("trainstore.dashboard.meta.waiting", lambda _: Waiting(1, 5))
    assert Answers(eight).meta()["waiting"]["records"] == 5
    for with_env in (False, True):
        head, _ = Page(report_page(eight, "sweep-000", with_env=with_env)).data
        assert head["meta"]["waiting"] is None


def test_metrics_can_be_chosen(store_of):
    """Then nothing is told of the others: no curve, no column, no summary."""
    store = store_of(experiments.eight)
    head, _ = Page(report_page(store, store.list_runs(), metrics=["eval_loss"])).data
    assert {metric for run in head["curves"].values() for metric in run} == {"eval_loss"}
    assert {column["id"] for column in head["columns"] if column["group"] == "metric"} == {
        f"metric.eval_loss{of}" for of in ("", ".min", ".max")
    } | {column["id"] for column in head["columns"] if column["id"] == "metric.eval_loss.count"}
    assert {row["metric"] for run in head["runs"].values() for row in run["summary"]} == {"eval_loss"}
    assert [key for key in head["compare"]["keys"] if key.startswith("metric")] == ["metric.eval_loss"]
    assert set(head["short"]) <= {column["id"] for column in head["columns"]}


@pytest.mark.parametrize("exact", [False, True])
def test_curves_are_those_of_the_dashboard(store_of, node, tmp_path, exact):
    """On every axis, NaN and infinities too: exactly if asked for, otherwise as far as an eye can tell."""
    store = store_of(experiments.eight)
    page = report_page(store, store.list_runs(), exact=exact, points=50)
    uids = store.list_runs()["uid"].tolist()
    metrics = ["eval_loss", "loss", "learning_rate", "gone"]
    for x in ("step", "epoch", "time", "relative"):
        found = asked(node, page, tmp_path, "return source.curves(given);", runs=uids, metrics=metrics, x=x)
        expected = Answers(store).series(uids, metrics, x=x, points=50)
        assert [(one["run"], one["metric"], one["total"]) for one in found] == [
            (one.head["run"], one.head["metric"], one.head["total"]) for one in expected
        ]
        for one, curve in zip(found, expected, strict=True):
            sent = curve.buckets
            off = 0 if exact else FAITHFUL * max(np.ptp(sent.mean), 1e-9) if len(sent) else 0
            np.testing.assert_allclose(one["x"], sent.x, rtol=0, atol=0 if x == "step" else 0.3)
            np.testing.assert_allclose(one["mean"], sent.mean, rtol=0, atol=off)
            np.testing.assert_allclose(one["low"], sent.low, rtol=2e-5 * (not exact), atol=off)
            np.testing.assert_allclose(one["high"], sent.high, rtol=2e-5 * (not exact), atol=off)
            np.testing.assert_array_equal(one["count"], sent.count)
            np.testing.assert_allclose(one["oddX"], sent.odd_x, rtol=0, atol=0 if x == "step" else 0.3)
            assert one["odd"] == [str(value).replace("nan", "NaN").replace("inf", "Infinity") for value in sent.odd]


def test_superseded_stretches_are_those_of_the_dashboard(store_of, node, tmp_path):
    """What an attempt logged beyond the step from which the next one went on, with the attempt's number."""
    store = store_of(experiments.one)
    page = report_page(store, store.list_runs(), exact=True, points=30)
    asking = {"runs": store.list_runs()["uid"].tolist(), "metrics": ["loss", "eval_loss"], "attempts": "superseded"}
    found = asked(node, page, tmp_path, "return source.curves(given);", **asking)
    expected = Answers(store).series(**asking, points=30)
    assert [(one["metric"], one["attempt"]) for one in found] == [("loss", 1), ("eval_loss", 1)]
    for one, curve in zip(found, expected, strict=True):
        assert (one["attempt"], one["x"]) == (curve.head["attempt"], curve.buckets.x.tolist())
        assert one["mean"] == curve.buckets.mean.tolist()


def test_a_curve_over_another_metric(eight, node, tmp_path):
    """Both have a value at the same steps; where the other has none, it lies between its neighbours."""
    uid = eight.get_run("sweep-000").uid
    page = report_page(eight, "sweep-000", points=1000, exact=True)
    asking = {"runs": [uid], "metrics": ["eval_loss"], "x": "loss"}
    (found,) = asked(node, page, tmp_path, "return source.curves(given);", **asking)
    (expected,) = Answers(eight).series([uid], ["eval_loss"], x="loss", points=1000)
    assert found["x"] == expected.buckets.x.tolist()
    assert found["mean"] == expected.buckets.mean.tolist()


# --- What its source answers -----------------------------------------------------------------------------------------


def test_the_table_can_be_asked_as_the_server_can(eight, node, tmp_path):
    """Chosen columns, order, a part of the rows; missing values last both ways."""
    page = report_page(eight, eight.list_runs())
    for asking in (
        {"columns": ["*"]},
        {},
        {"columns": ["metric.loss", "hp.optimizer"], "sort": ["-hp.optimizer", "metric.loss"]},
        {"columns": ["metric.loss"], "sort": ["-metric.loss"], "offset": 2, "limit": 3},
        {"columns": ["tag.note"], "sort": ["tag.note", "name"], "project": "tiny-stories"},
        {"columns": ["name"], "project": "another"},
    ):
        found = asked(node, page, tmp_path, "return source.runs(given);", **asking)
        expected = Answers(eight).runs(**asking)
        private = {"host", "command"}
        known = {
            column["id"]: column
            for column in expected["columns"]
            if column["id"] not in private and not column["id"].startswith("env.")
        }
        assert {column["id"]: column for column in found["columns"]} == known
        assert [column["id"] for column in found["columns"]] == list(known)
        assert found["count"] == expected["count"]


def test_what_differs_between_chosen_runs(store_of, node, tmp_path):
    """For any of them it is what compare_runs says, in the same order; so is everything that is known."""
    store = store_of(experiments.eight)
    page = report_page(store, store.list_runs(), with_env=True)
    names = [["sweep-000", "sweep-001"], ["stories-long", "sweep-002", "sweep-004"], ["sweep-005"]]
    for chosen in [[store.get_run(name).uid for name in some] for some in names]:
        for everything in (False, True):
            found = asked(
                node, page, tmp_path, "return source.compare(given.uids, given.all);", uids=chosen, all=everything
            )
            assert found["columns"] == Answers(store).compare(chosen, everything=everything)["columns"]


def trainers(store):
    """Runs of a Trainer, whose arguments nobody set but one, and a plain one."""
    for number, more in enumerate(({}, {"warmup_steps": 10})):
        run = store.start_run(
            f"hf-{number}",
            hyperparams={"learning_rate": 5e-5, "adam_beta1": 0.9, "warmup_steps": 0, "seed": number} | more,
            source="transformers",
        )
        run.log_hyperparams({"n_layer": 2 + number}, "mth")
        run.log({"loss": 1.0 + number, "train_runtime": 3.0 + number})
        run.finish()
    run = store.start_run("plain", hyperparams={"lr": 1})
    run.log({"loss": 0.5})
    run.finish()


def test_what_nobody_set_tells_no_runs_apart(store_of, node, tmp_path):
    """Defaults of a Trainer's arguments, facts of a model that others did not record, and how long it took."""
    store = store_of(trainers)
    page = report_page(store, store.list_runs(), with_env=True)
    for names in (["hf-0", "plain"], ["hf-0", "hf-1"], ["hf-0", "hf-1", "plain"]):
        chosen = [store.get_run(name).uid for name in names]
        found = asked(node, page, tmp_path, "return source.compare(given.uids, false);", uids=chosen)
        assert found["columns"] == Answers(store).compare(chosen)["columns"]


def test_samples_of_chosen_runs(eight, node, tmp_path):
    """All sets, or one of them."""
    page = report_page(eight, eight.list_runs())
    uid = eight.get_run("stories-long").uid
    for name, count in (("story", 10), (None, 10), ("another", 0)):
        found = asked(node, page, tmp_path, "return source.samples(given.uids, given.name);", uids=[uid], name=name)
        assert found["count"] == count
    assert asked(node, page, tmp_path, "return source.samples([], null);")["count"] == 0


@pytest.mark.parametrize(
    "asking",
    [
        {"by": ["hp.optimizer"]},
        {"by": ["hp.batch_size", "tag.note"], "band": "sem"},
        {"by": [], "band": "range"},
        {"by": ["hp.learning_rate"], "x": "epoch"},
    ],
)
def test_means_of_groups_are_those_of_the_dashboard(eight, node, tmp_path, asking):
    """Values, labels, numbers of runs, and the curves, in the same order."""
    page = report_page(eight, eight.list_runs(), exact=True)
    found = asked(node, page, tmp_path, "return source.group(given);", metric="eval_loss", **asking)
    expected = Answers(eight).group(["eval_loss"], **asking)
    assert len(found) == len(expected) > 0
    for one, curve in zip(found, expected, strict=True):
        assert {name: one[name] for name in curve.head} == curve.head
        for name in ("x", "mean", "low", "high", "count"):
            np.testing.assert_allclose(one[name], getattr(curve.buckets, name), rtol=1e-12)


def test_groups_can_be_named(eight, node, tmp_path):
    """By their runs; or only some runs are grouped."""
    page = report_page(eight, eight.list_runs(), exact=True)
    uids = eight.list_runs()["uid"].tolist()
    for asking in ({"groups": [uids[:2], uids[2:3]]}, {"by": ["hp.optimizer"], "runs": uids[1:4]}):
        found = asked(node, page, tmp_path, "return source.group(given);", metric="loss", **asking)
        expected = Answers(eight).group(["loss"], **asking)
        assert [(one["label"], one["runs"]) for one in found] == [
            (curve.head["label"], curve.head["runs"]) for curve in expected
        ]


def test_a_report_is_neither_live_nor_editable(eight, node, tmp_path):
    """Its source says so, and so does the error of who asks all the same."""
    code = """
        const errors = [];
        for (const ask of [source.live, source.edit]) await ask({}).catch((error) => errors.push(error.message));
        errors.push(await source.run("gone").catch((error) => error.message));
        return { can: source.can, errors };
    """
    found = asked(node, report_page(eight, "sweep-000"), tmp_path, code)
    assert found["can"] == {"filter": False, "live": False, "edit": False, "export": False}
    assert found["errors"][0] == found["errors"][1]
    assert found["errors"][2] == "The report has no run gone."


# --- The file --------------------------------------------------------------------------------------------------------


def test_the_file_is_the_page(eight, tmp_path):
    """`write_report` writes it whole, returns its size, and tells of each run."""
    told = []
    path = tmp_path / "report.html"
    runs = ["sweep-000", "sweep-001"]
    size = write_report(eight, path, runs, title="Two", progress=lambda *given: told.append(given))
    assert size == path.stat().st_size
    assert Page(path.read_bytes()).parts["title"] == "Two"
    assert told == [("sweep-001", 1, 2), ("sweep-000", 2, 2)]
    assert [each.name for each in tmp_path.glob("*.html*")] == ["report.html"]


def test_an_existing_file_is_kept(eight, tmp_path):
    """Unless it may be overwritten."""
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(TrainStoreError, match="overwrite=True"):
        write_report(eight, path, "sweep-000")
    assert path.read_text() == "mine"
    write_report(eight, path, "sweep-000", overwrite=True)
    assert path.read_bytes().startswith(b"<!doctype html>")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"runs": []}, "at least one run"),
        ({"runs": "gone"}, "there is no run 'gone'"),
        ({"metrics": ["los"]}, r"none of these runs has 'los'.*loss"),
        ({"points": 1}, "points 1 is no whole number from 2 to 5,000"),
        ({"points": 5001}, "points 5001"),
        ({"points": True}, "points True"),
        ({"points": 2.5}, "points 2.5"),
        ({"max_mb": 0}, "max_mb 0 is not above 0"),
        ({"max_mb": float("nan")}, "max_mb nan"),
        ({"max_mb": 0.01}, r"would have .* kB, more than the 10\.0 kB .*fewer.*max_mb"),
    ],
)
def test_what_cannot_be_written_is_refused(eight, tmp_path, options, told):
    """With an error that names the value, and no file."""
    with pytest.raises((TrainStoreError, InvalidArgumentError), match=told):
        write_report(eight, tmp_path / "report.html", **({"runs": "sweep-000"} | options))
    assert list(tmp_path.glob("*report*")) == []


def ten_long_ones(store):
    """10 runs of 2,000 steps with 6 metrics."""
    chance = np.random.default_rng(1)
    for number in range(10):
        run = store.start_run(f"run-{number}", hyperparams={f"value_{key}": float(number * key) for key in range(20)})
        noise = chance.normal(size=(2000, 6))
        for step in range(2000):
            fall = 2 * np.exp(-step / 500)
            run.log({f"metric_{nr}": fall + 0.1 * value for nr, value in enumerate(noise[step].tolist())}, step=step)
        run.finish()


def test_the_file_is_small(recorded_once, new_database):
    """10 runs of 6 metrics: at most 0.35 MB besides what every report has."""
    with TrainStore(new_database("sqlite", template=recorded_once("sqlite", ten_long_ones))) as store:
        page = report_page(store, store.list_runs())
        data = Page(page).parts["script#trainstore-data"]
        assert len(data) <= 350_000
        head, arrays = Page(page).data
        assert len(head["curves"]) == 10
        assert sum(len(array) for array in arrays) > 10 * 6 * 400 * 3
        assert len(page) - len(data) < 450_000


def test_values_of_the_comparison_are_json(eight):
    """NaN and infinities are texts, as everywhere."""
    head, _ = Page(report_page(eight, eight.list_runs())).data
    assert plain(head["compare"]["values"]) == head["compare"]["values"]
