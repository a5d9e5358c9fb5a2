"""``trainstore show``: a page that fits a screen; all the rest by --all and --section."""

import json
from datetime import timedelta

import pytest

from queries.builders import START, Builder
from trainstore import TrainStore
from trainstore.queries.training_arguments import DEFAULTS


@pytest.fixture
def resumed(database_url, monkeypatch):
    """A run that failed, was resumed from an earlier step, and has a child."""
    with TrainStore(database_url) as store:
        run = store.start_run(name="r", project="p", hyperparams={"lr": 0.1, "opt": {"eps": 1}}, tags={"owner": "ann"})
        for step in range(6):
            run.log({"loss": 6.0 - step, "tokens": 64, "lr": 0.1}, step=step)
        run.log_event("checkpoint", step=3, details={"path": "out/" + 60 * "x"})
        run.finish("failed", "out of memory")
        with store.resume_run("r", step=3) as run:
            run.log({"loss": 5.0}, step=4)
        store.set_notes("r", "one\ntwo")
        store.start_run(name="child", project="p", parent="r", parent_step=3).finish()
    monkeypatch.setenv("TRAINSTORE_URL", database_url)


@pytest.fixture
def builder(database_url, monkeypatch):
    """Writes rows straight into the store that the commands read."""
    built = Builder(database_url)
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    yield built
    built.close()


def lines(called):
    assert (called.code, called.err) == (0, "")
    return [" ".join(line.split()) for line in called.out.splitlines()]


def test_the_page_says_how_the_run_went(call, resumed):
    """Status, where it ran, last and best values, hyperparameters, attempts and children; and how to see the rest."""
    shown = lines(call("show", "r"))
    assert shown[0] == "r"
    facts = {line.partition(" ")[0]: line.partition(" ")[2] for line in shown[1 : shown.index("")]}
    assert facts["status"].startswith("finished at step 4 after ")
    assert {"project", "started", "host", "command", "id"} <= set(facts)
    assert (facts["project"], facts["tags"], facts["notes"]) == ("p", "owner=ann", "one")
    assert "two" in shown
    assert facts["children"] == "child (id 2)"
    assert facts["events"] == "checkpoint (1), note (1)"
    assert "loss 5 3 3" in shown
    assert "lr 0.1" in shown
    assert "opt.eps 1" in shown
    assert "tokens" not in call("show", "r").out
    attempts = shown[shown.index("Attempts") + 1 :]
    assert attempts[0] == "steps shown started host ended"
    assert attempts[1].startswith("1 to 3 (of 5) ")
    assert attempts[1].endswith("failed: out of memory")
    assert attempts[2].startswith("2 from 1 4 to 4 ")
    assert attempts[2].endswith("finished")
    assert shown[-1] == "More: --all, or --section metrics, hyperparams, attempts, events"


def test_a_child_names_its_parent(call, resumed):
    """By name and id, with the step that it began from; a run without attempts to tell apart lists none."""
    shown = lines(call("show", "child"))
    assert "parent r (id 1) at step 3" in shown
    assert "Attempts" not in shown
    assert "Metrics" not in shown


def test_a_parent_that_is_not_here_is_named_by_its_uid(call, resumed, database_url):
    """It may be in another store, or deleted; in JSON it is the same field as ever."""
    elsewhere = "5f0c2a4e-0000-4000-8000-000000000000"
    with TrainStore(database_url) as store:
        store.start_run(name="of another store", parent=elsewhere, parent_step=3).finish()
        deleted = store.get_run("r").uid
        store.delete_run("r")
    assert f"parent {elsewhere} (not in this store) at step 3" in lines(call("show", "of another store"))
    assert f"parent {deleted} (not in this store) at step 3" in lines(call("show", "child"))
    assert json.loads(call("show", "child", "--json").out)["run"]["parent_uid"] == deleted


def test_one_section_shows_all_that_is_in_it(call, resumed):
    """Whole values, counters too; several sections come in the order of the page."""
    metrics = lines(call("show", "r", "--section", "metrics"))
    assert metrics[0] == "Metrics"
    assert "metric count last at min min at max max at" in metrics
    assert "tokens 4 64 3 64 0 64 0" in metrics
    events = call("show", "r", "--section", "events", "--section", "hyperparams").out
    assert events.index("Hyperparameters") < events.index("Events")
    assert 60 * "x" in events
    assert "Attempts" not in events
    assert lines(call("show", "child", "--section", "events"))[0] == "Events (none)"
    called = call("show", "r", "--section", "metric")
    assert called.code == 2
    assert "environment" in called.err


def test_a_section_is_whole_in_a_narrow_terminal(call, database_url, monkeypatch):
    """What has no room beside the first columns stands below them; values that are not finite are counted."""
    with TrainStore(database_url) as store, store.start_run(name="wide") as run:
        for step in range(3):
            metrics = {f"eval_a_rather_long_name_{n}": 1 / (step + n + 1) for n in range(3)}
            run.log({**metrics, "odd": float("nan") if step else 1.0}, step=step)
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    monkeypatch.setattr("trainstore.cli.printing.PIPED_WIDTH", 80)
    called = call("show", "wide", "--section", "metrics")
    assert max(map(len, called.out.splitlines())) <= 80
    headings = [line for line in lines(called) if line.startswith("metric ")]
    assert headings == ["metric count last at min min at max", "metric max at not finite"]
    assert "odd 0 2" in lines(called)
    assert "no room" not in called.out


def test_all_shows_every_section_once(call, resumed):
    """The page's facts, then each section."""
    shown = lines(call("show", "r", "--all"))
    assert shown[0] == "r"
    for title in ("Metrics", "Hyperparameters", "Model", "Data", "Environment", "Attempts", "Events"):
        assert shown.count(title) == 1


def test_long_lists_of_events_are_counted(call, store, database_url, monkeypatch):
    """A histogram's bins would fill the screen; a short list and a text stay whole."""
    with store.start_run(name="bins") as run:
        details = {"key": "w", "bins": list(range(65)), "items": [{"shape": [8, 8, 3]}]}
        run.log_event("histogram", details=details, step=0)
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    shown = " ".join(lines(call("show", "bins", "--section", "events")))
    assert "{'key': 'w', 'bins': [0, 1, 2, '… 65 in all'], 'items': [{'shape': [8, 8, 3]}]}" in shown


def test_a_traceback_in_an_event_has_its_lines(call, store, database_url, monkeypatch):
    """Below the event's other details, if there are any."""
    with store.start_run(name="failed") as run:
        run.log_event("exception", {"traceback": "Traceback:\n  File x\nValueError\n", "rank": 0})
        run.log_event("said", {"text": "one\ntwo"})
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    shown = [line for line in lines(call("show", "failed", "--section", "events")) if line][-6:]
    assert shown[0].endswith("exception {'rank': 0}")
    assert shown[1:4] == ["traceback: Traceback:", "File x", "ValueError"]
    assert shown[4].endswith("said text: one")
    assert shown[5] == "two"


def test_json_has_everything(call, resumed):
    """Attempts, children, the duration in seconds and the best values beside what it had."""
    shown = json.loads(call("show", "r", "--json").out)
    assert list(shown) == ["run", "steps_per_second", "metrics", "hyperparams", "attempts", "children", "events"]
    assert [attempt["kept_step"] for attempt in shown["attempts"]] == [3, 4]
    assert [(child["name"], child["parent_step"]) for child in shown["children"]] == [("child", 3)]
    assert shown["run"]["duration"] > 0
    assert shown["run"]["best_metrics"] == {"loss": [3.0, 3]}
    assert shown["run"]["hyperparams"] == {"lr": 0.1, "opt": {"eps": 1}}


def test_a_trainers_run_fits_a_screen(call, builder: Builder):
    """Defaults of TrainingArguments are counted, not listed; --section lists them."""
    arguments = {**DEFAULTS, "learning_rate": 0.01, "output_dir": "out"}
    builder.run(
        "fit",
        source="transformers",
        hyperparams={
            **{f"hp.{name}": value for name, value in arguments.items()},
            "mth.model_class": "GPT2",
            "dbh.train_size": 1_000,
            "env.torch": "2.6",
        },
        metrics=dict.fromkeys(("loss", "eval_loss", "eval_runtime", "data_time", "total_flos", "grad_norm"), 1.0),
        ended_at=START + timedelta(hours=2),
    )
    shown = lines(call("show", "fit"))
    assert len(shown) <= 24
    assert "model GPT2" in shown
    assert "data 1,000 to train" in shown
    assert f"Hyperparameters ({len(DEFAULTS) - 1} defaults of TrainingArguments are not shown)" in shown
    assert shown[shown.index("Metrics") + 2].startswith("eval_loss")
    assert "adam_beta1 0.9" in lines(call("show", "fit", "--section", "hyperparams"))
    assert "torch 2.6" in lines(call("show", "fit", "--section", "environment"))


def test_the_metrics_of_layers_and_of_the_machine_do_not_fill_the_page(call, builder: Builder):
    """The section lists them, and so does the page of a run that has no others."""
    side = ["grad_norm/h.0", "grad_norm_total", "grad_norm_max", "system/gpu0/power_watts"]
    builder.run("r", metrics=dict.fromkeys(["loss", "grad_norm", *side], 1.0))
    shown = lines(call("show", "r"))
    start = shown.index("Metrics")
    assert [line.partition(" ")[0] for line in shown[start + 2 : start + 5]] == ["loss", "grad_norm", ""]
    section = " ".join(lines(call("show", "r", "--section", "metrics")))
    assert all(name in section for name in side)
    builder.run("machine", metrics={"system/cpu_percent": 1.0})
    assert "system/cpu_percent 1" in " ".join(lines(call("show", "machine")))


def test_the_speed_is_that_of_the_attempt_that_is_shown(builder: Builder, call):
    """From its first to its last step, so that neither the start nor a break between attempts counts."""
    uid = builder.run("r", steps={step: {"loss": 1.0} for step in range(0, 100, 10)}, last_step=90)
    assert json.loads(call("show", uid, "--json").out)["steps_per_second"] == 1.0
    assert "status finished at step 90 (1 steps/s)" in lines(call("show", uid))
    empty = builder.run("empty")
    assert json.loads(call("show", empty, "--json").out)["steps_per_second"] is None


def test_many_hyperparameters_stand_in_several_columns(builder: Builder, call):
    """Long values are cut there, and whole in the section."""
    long = 100 * "x"
    values = {f"hp.p{number:02}": number for number in range(40)}
    builder.run("r", hyperparams={**values, "hp.long": long}, metrics={f"m{number:02}": 1.0 for number in range(20)})
    called = call("show", "r")
    assert "p00 0" in " ".join(called.out.split())
    assert len(called.out.splitlines()) < 50
    assert long not in called.out
    assert "Metrics (5 more)" in lines(called)
    assert long in call("show", "r", "--section", "hyperparams").out


def test_an_import_is_told_in_words(call, database_url, monkeypatch):
    """What was brought, what was not kept and what is damaged; somebody's own event of this name is shown as it is."""
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "160")
    with TrainStore(database_url) as store, store.start_run(name="brought") as run:
        details = {"tool": "wandb", "source": "a/b.wandb", "points": 1200, "left_out": {"image": 3}, "damage": ["torn"]}
        run.log_event("import", details={**details, "read_to": 640, "status": "assumed"})
        run.log_event("import", details={"mine": 1})
    shown = call("show", "brought", "--section", "events").out
    assert "1,200 points from wandb: a/b.wandb; not kept: 3 × image; torn; its end is assumed" in shown
    assert "{'mine': 1}" in shown


def test_a_run_from_elsewhere_names_its_source(call, database_url, monkeypatch):
    """The tool that recorded it; a run that was recorded here needs no word."""
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    with TrainStore(database_url) as store:
        store.start_run(name="brought", source="mlflow").finish()
        store.start_run(name="own").finish()
    assert "source mlflow" in lines(call("show", "brought"))
    assert not any(line.startswith("source") for line in lines(call("show", "own")))
