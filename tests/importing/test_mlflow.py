"""MLflow's databases: what their runs become, whatever the schema, the database, or what somebody put into them."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import registry

from importing.databases import Inserted, all_of, copied_to, made, steps
from importing.harness import Source, content, everything, fingerprint, stored_points
from importing.reading import SAMPLES, events, hyperparams, points, runs_of, true_points, unread_of
from importing.sources import SOURCES
from trainstore.errors import SourceError
from trainstore.importing import import_runs, importer, mlflow
from trainstore.importing.databases import query
from trainstore.importing.foreign import End, ForeignRun, Notes
from trainstore.importing.mlflow_values import typed
from trainstore.importing.places import Place
from trainstore.store import TrainStore

SAMPLE = SAMPLES / "mlflow" / "sqlite" / "mlflow.db"
(SOURCE,) = [source for source in SOURCES if source.path == SAMPLE]
MS = 1_780_000_000_000

#: The five tables that are read, as MLflow had them in 2018: no step, no is_nan, the name in a tag.
OLD = """
CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name VARCHAR(256), artifact_location VARCHAR(256),
    lifecycle_stage VARCHAR(32));
CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250), status VARCHAR(20), start_time BIGINT,
    end_time BIGINT, lifecycle_stage VARCHAR(20), artifact_uri VARCHAR(200), experiment_id INTEGER);
CREATE TABLE params (key VARCHAR(250), value VARCHAR(250), run_uuid VARCHAR(32));
CREATE TABLE tags (key VARCHAR(250), value VARCHAR(250), run_uuid VARCHAR(32));
CREATE TABLE metrics (key VARCHAR(250), value FLOAT, timestamp BIGINT, run_uuid VARCHAR(32));
INSERT INTO experiments VALUES (3, 'old', '/data', 'active');
"""
NEW = OLD.replace("run_uuid VARCHAR(32));\nINSERT", "run_uuid VARCHAR(32), step BIGINT, is_nan BOOLEAN);\nINSERT")
ID = "0123456789abcdef0123456789abcdef"


def run_row(run_id: Any = ID, status: str = "FINISHED", **changes: Any) -> Inserted:
    values = {"name": "", "start": MS, "end": MS + 9_000, "stage": "active", "uri": None, "experiment": 3} | changes
    return "runs", (
        run_id, values["name"], status, values["start"], values["end"], values["stage"], values["uri"],
        values["experiment"],
    )  # fmt: skip


def metric(step: Any, value: Any, *, key: Any = "loss", at: Any = MS, run_id: str = ID) -> Inserted:
    return "metrics", (key, value, at, run_id, step, 0)


def only(path: Path | str, **options: Any) -> ForeignRun:
    (run,) = runs_of(mlflow, path, **options).values()  # type: ignore[arg-type]
    return run


@pytest.mark.parametrize("source", [source for source in SOURCES if source.tool == "mlflow"], ids=str)
def test_the_sample_s_runs_are_as_they_were_logged(source: Source) -> None:
    """Points, typed parameters, tags, notes, times, status, parent and experiment are those of the truth."""
    found = runs_of(mlflow, source.path)
    truth = source.runs()
    assert set(found) == set(truth)
    for name, run in truth.items():
        entries = all_of(found[name])
        assert points(entries) == true_points(run["points"])
        assert hyperparams(entries) == {key: typed(value) for key, value in run["params"].items()}
        assert hyperparams(entries, "tag") == run["tags"]
        assert [entry.text for entry in entries if isinstance(entry, Notes)] == (
            [run["notes"]] if "notes" in run else []
        )
        (end,) = [entry for entry in entries if isinstance(entry, End)]
        assert (end.status, end.at) == (run["status"], run["ended_at"] * 1_000)
        assert found[name].started_at == run["started_at"] * 1_000
        assert (found[name].uid, found[name].parent) == (run["source_id"], run.get("parent"))
        assert found[name].project == "portabilität/\N{GREEK SMALL LETTER ALPHA}"
    params = hyperparams(all_of(found[next(iter(truth))]))
    assert (params["lr"], params["layers"], params["flag"], params["none"]) == (0.001, 2, True, None)
    assert (params["opt.betas"], params["big"]) == ("[0.9, 0.999]", 2**53 + 1)


def test_parameters_are_typed_only_if_python_writes_them_so() -> None:
    """What a user may have written as text stays text."""
    written = {"1": 1, "-7": -7, "0": 0, "0.5": 0.5, "1e-05": 1e-05, "inf": math.inf, "True": True, "None": None}
    assert {text: typed(text) for text in written} == written
    assert math.isnan(typed("nan"))
    for other in (
        "007",
        "1e-5",
        "0.50",
        "true",
        "1_000",
        "+1",
        " 1",
        "",
        "1.",
        "-0",
        "[1, 2]",
        "9" * 2_000,
        "NaN",
        "٣",
    ):
        assert typed(other) == other


def test_what_is_in_the_trash_comes_only_if_it_is_asked_for(tmp_path: Path) -> None:
    """Deleted runs, and runs of deleted experiments; the report says how many there are."""
    assert "deleted" not in runs_of(mlflow, SAMPLE)
    assert "deleted" in runs_of(mlflow, SAMPLE, deleted=True)
    assert any("--deleted" in why for why in unread_of(mlflow, SAMPLE).values())
    path = made(tmp_path / "mlflow.db", NEW, run_row(), ("experiments", (4, "gone", "", "deleted")),
                run_row("b" * 32, experiment=4), run_row("c" * 32, stage="deleted"))  # fmt: skip
    assert [run.uid for run in runs_of(mlflow, path).values()] == [ID]
    assert "2 runs" in " ".join(unread_of(mlflow, path))
    assert len(runs_of(mlflow, path, deleted=True)) == 3


def test_a_schema_of_2018_is_read(tmp_path: Path) -> None:
    """No steps: all points are of step 0, in the order of their times; no is_nan; the run's name is a tag."""
    path = made(
        tmp_path / "old.db", OLD, run_row(status="KILLED"), ("tags", ("mlflow.runName", "old one", ID)),
        *(("metrics", ("loss", value, MS + at, ID)) for at, value in ((2, 0.5), (1, 0.25), (3, 0.125))),
    )  # fmt: skip
    run = only(path)
    assert (run.name, run.project) == ("old one", "old")
    entries = all_of(run)
    assert steps(entries) == [(0, {"loss": 0.25}), (0, {"loss": 0.5}), (0, {"loss": 0.125})]
    assert [entry.status for entry in entries if isinstance(entry, End)] == ["interrupted"]


def test_infinities_and_nan_come_back(tmp_path: Path) -> None:
    """MLflow stores infinities as the largest numbers, and NaN as 0 with a mark."""
    largest = 1.7976931348623157e308
    path = made(
        tmp_path / "m.db", NEW, run_row(), metric(0, largest), metric(1, -largest), metric(2, 1.7e308),
        ("metrics", ("loss", 0.0, MS, ID, 3, 1)),
    )  # fmt: skip
    values = [values["loss"] for _, values in steps(all_of(only(path)))]
    assert values[:3] == [math.inf, -math.inf, 1.7e308]
    assert math.isnan(values[3])


def test_a_run_that_goes_on_in_mlflow_goes_on_here(tmp_path: Path, store: TrainStore) -> None:
    """New points, an older step, a changed tag and the end of the run come with the next import, and nothing twice."""
    path = made(tmp_path / "m.db", NEW, run_row(status="RUNNING", end=None), metric(0, 1.0), metric(5, 0.5))
    import_runs(store, path)
    assert store.list_runs()["status"].tolist() == ["lost"]  # MLflow has no sign of life of its runs
    made(path, "", metric(3, 0.7), metric(5, 0.4, at=MS + 1), ("tags", ("team", "a", ID)))
    made(path, "UPDATE runs SET status = 'FINISHED', end_time = 1780000009000")
    again = import_runs(store, path)
    assert (again.points, again.runs[0].state) == (2, "updated")
    assert store.list_runs()["status"].tolist() == ["finished"]
    (stored,) = stored_points(store).values()
    assert stored == [("loss", 0, "1.0"), ("loss", 3, "0.7"), ("loss", 5, "0.4"), ("loss", 5, "0.5")]
    rows = everything(store)
    assert import_runs(store, path).runs[0].state == "unchanged"
    assert everything(store) == rows


def test_a_postgresql_database_of_mlflow_s_is_read(new_database: Callable[..., str], store: TrainStore) -> None:
    """The same runs as from the file: imported from both, nothing is there twice."""
    url = copied_to(new_database("postgresql"), SAMPLE, ("experiments", "runs", "params", "metrics", "tags"))
    result = import_runs(store, url)
    assert (result.tool, result.counts["new"], result.points) == ("mlflow", 3, 141)
    assert SOURCE.expected() == stored_points(store)
    assert import_runs(store, url).counts["unchanged"] == 3
    rows = content(store)
    import_runs(store, SAMPLE)
    assert content(store) == rows


def test_a_database_is_followed_until_its_runs_have_ended(
    tmp_path: Path, store: TrainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What MLflow writes meanwhile is brought each time; the end of the last run ends it."""
    monkeypatch.setattr(importer, "PAUSES", (0.01, 0.02))
    path = made(tmp_path / "m.db", NEW, run_row(status="RUNNING", end=None), metric(0, 1.0))
    looks: list[int] = []

    def write() -> bool:
        looks.append(sum(map(len, stored_points(store).values())))
        if len(looks) < 4:
            made(path, "", metric(len(looks), 0.5))
        elif len(looks) == 4:
            made(path, f"UPDATE runs SET status = 'FINISHED', end_time = {MS}")
        return len(looks) > 50

    result = import_runs(store, path, follow=True, until=write)
    assert looks[:4] == [1, 2, 3, 4]
    assert len(looks) < 50
    assert (result.points, store.list_runs()["status"].tolist()) == (4, ["finished"])


def test_both_stores_of_one_mlflow_give_the_same_run(tmp_path: Path, store: TrainStore) -> None:
    """A run moved from a file store into a database is known by its id; what is the same is not there twice."""
    files = SAMPLES / "mlflow" / "file" / "mlruns"
    import_runs(store, files)
    rows = content(store)
    (run_id,) = [run.uid for run in runs_of(mlflow, files).values() if run.name == "resumed"]
    path = shutil.copy(SAMPLE, tmp_path / "mlflow.db")
    script = "".join(
        f"UPDATE {table} SET run_uuid = '{run_id}' WHERE run_uuid = '6440166c746248c3ab19ccc0b66161f4';"
        for table in ("runs", "params", "metrics", "tags")
    )
    made(path, f"{script} UPDATE runs SET artifact_uri = '/data/{run_id}/artifacts';")
    made(path, "UPDATE tags SET value = 'x' WHERE key = 'mlflow.parentRunId'")
    result = import_runs(store, path)
    assert {run.name: run.state for run in result.runs}["resumed"] == "updated"
    assert {run.name: run.points for run in result.runs}["resumed"] == 0
    mine = [line for line in content(store)["step_log"] if run_id[-12:] in line]
    assert mine == [line for line in rows["step_log"] if run_id[-12:] in line]


def test_artifacts_are_a_link_without_credentials(tmp_path: Path, store: TrainStore) -> None:
    """Where MLflow keeps a run's artifacts is an event; a password in it is not stored."""
    uri = "s3://someone:geheim-12345@bucket/3/artifacts"
    path = made(tmp_path / "m.db", NEW, run_row(uri=uri), metric(0, 1.0))
    (event,) = events(all_of(only(path)))
    assert (event.kind, event.details["uri"]) == ("artifact", uri)
    import_runs(store, path)
    assert not [line for table in everything(store).values() for line in table if "geheim-12345" in line]
    assert [line for line in everything(store)["event"] if "bucket/3/artifacts" in line]


def test_what_is_not_kept_is_counted(tmp_path: Path) -> None:
    """Data sets and models of a run, MLflow's own tags; registered models and traces of the whole database."""
    path = made(
        tmp_path / "m.db", NEW + """
        CREATE TABLE inputs (input_uuid TEXT, source_id TEXT, destination_id TEXT);
        CREATE TABLE model_versions (name TEXT, version INTEGER, run_id TEXT);
        CREATE TABLE registered_models (name TEXT);
        CREATE TABLE trace_info (request_id TEXT);
        """,
        run_row(), metric(0, 1.0), ("tags", ("mlflow.user", "someone", ID)), ("inputs", ("a", "b", ID)),
        ("model_versions", ("net", 1, ID)), ("model_versions", ("net", 2, ID)), ("registered_models", ("net",)),
    )  # fmt: skip
    run = only(path)
    all_of(run)
    counted = {"mlflow.user tag": 1, "data set": 1, "version of a registered model": 2}
    assert dict(run.sessions[0].left_out) == counted
    assert [(where, "1 registered model" in why) for where, why in unread_of(mlflow, path).items()] == [
        ("m.db: registered_models", True)
    ]


def test_parents_come_before_their_children(tmp_path: Path, store: TrainStore) -> None:
    """Whatever their times are; a circle of parents is no trap."""
    a, b, c = ("a" * 32, "b" * 32, "c" * 32)
    path = made(
        tmp_path / "m.db", NEW, run_row(c, name="c", start=MS), run_row(b, name="b", start=MS + 1),
        run_row(a, name="a", start=MS + 2), ("tags", ("mlflow.parentRunId", b, c)),
        ("tags", ("mlflow.parentRunId", a, b)),
    )  # fmt: skip
    assert list(runs_of(mlflow, path)) == ["a", "b", "c"]
    made(path, "", ("tags", ("mlflow.parentRunId", c, a)))
    assert set(runs_of(mlflow, path)) == {"a", "b", "c"}
    import_runs(store, path)
    assert len(store.list_runs()) == 3


def test_the_commit_and_the_command_are_kept(tmp_path: Path, store: TrainStore) -> None:
    """From MLflow's tags; a secret in the command is not."""
    path = made(
        tmp_path / "m.db", NEW, run_row(), metric(0, 1.0), ("tags", ("mlflow.source.git.commit", "c0ffee" * 6, ID)),
        ("tags", ("mlflow.source.name", "train.py --api-key abcdef123456789", ID)),
    )  # fmt: skip
    import_runs(store, path)
    (attempt,) = everything(store)["attempt"]
    assert "c0ffee" * 6 in attempt
    assert "train.py" in attempt
    assert "abcdef123456789" not in attempt


def test_a_loop_that_logs_everything_at_step_0_keeps_its_last_values(tmp_path: Path, store: TrainStore) -> None:
    """A row holds the last thousand values of a metric; how many were before them is told."""
    path = made(tmp_path / "m.db", NEW, run_row(), metric(0, 0.5, key="other"), metric(1, 7.0),
                *(metric(0, place / 8, at=MS + place) for place in range(1_200)))  # fmt: skip
    result = import_runs(store, path)
    assert result.left_out == {"value of a metric before the last 1,001 at one step": 199}
    (points,) = stored_points(store).values()
    assert sorted(float(value) for name, step, value in points if (name, step) == ("loss", 0)) == [
        place / 8 for place in range(199, 1_200)
    ]
    assert import_runs(store, path).counts["unchanged"] == 1


def test_a_database_that_is_written_while_it_is_read_is_read_again(tmp_path: Path, store: TrainStore) -> None:
    """A file that nobody writes is read where it lies. If that changes, the run says so; the next import mends it."""
    runs = [letter * 32 for letter in "abc"]
    rows = [run_row(run_id, name=run_id[0], start=MS + place) for place, run_id in enumerate(runs)]
    points = [metric(step, 1.0, run_id=run_id) for run_id in runs for step in range(20)]
    path = made(tmp_path / "m.db", NEW, *rows, *points)
    os.utime(path, (1_780_000_000, 1_780_000_000))
    written: list[str] = []

    def write(name: str, *_: object) -> None:
        if not written and name == "a":
            written.append(name)
            made(path, "", metric(20, 0.5, run_id=runs[2]))

    first = import_runs(store, path, on_progress=write)
    damage = {run.name: run.damage for run in first.runs}
    assert written
    assert sum("written while it was read" in str(lines) for lines in damage.values()) == 1
    import_runs(store, path)
    assert {name: len(points) for name, points in stored_points(store).items()} == {"a": 20, "b": 20, "c": 21}
    assert import_runs(store, path).counts["unchanged"] == 3


@pytest.mark.parametrize("name", ["mysql", "mssql", "oracle"])
def test_queries_are_written_as_each_database_reads_them(name: str) -> None:
    """Names of columns that are words of SQL elsewhere are quoted there."""
    schema = {"metrics": frozenset(("key", "value", "step"))}
    statement, there = query(schema, "metrics", ("step", "key", "is_nan"))
    dialect = registry.load(name)()
    compiled = str(statement.where(there["step"] == 1).order_by(there["key"]).compile(dialect=dialect))
    assert f"NULL AS {'is_nan'}" in compiled
    if name == "mysql":
        assert "ORDER BY `key`" in compiled


def test_a_url_of_an_sqlite_file_is_that_file(store: TrainStore, tmp_path: Path) -> None:
    """sqlite:///…, as MLflow has it in its tracking URI."""
    path = made(tmp_path / "m.db", NEW, run_row(name="a"), metric(0, 1.0))
    assert import_runs(store, f"sqlite:///{path}").counts["new"] == 1
    assert import_runs(store, path).counts["unchanged"] == 1


# --- hostile --------------------------------------------------------------------------------------------------------


def test_views_and_triggers_are_no_tables(tmp_path: Path) -> None:
    """A view that is called runs is not read, so that nothing in the file runs code."""
    script = NEW.replace("CREATE TABLE tags", "CREATE TABLE tags_real")
    script += "CREATE VIEW tags AS SELECT 'mlflow.runName' AS key, load_extension('x') AS value, run_uuid FROM runs;"
    script += "CREATE TRIGGER t AFTER INSERT ON metrics BEGIN DELETE FROM runs; END;"
    path = made(tmp_path / "m.db", script, run_row(name="plain"))
    assert only(path).name == "plain"
    views = made(tmp_path / "v.db", NEW.replace("CREATE TABLE runs", "CREATE TABLE other")
                 + "CREATE VIEW runs AS SELECT * FROM other;")  # fmt: skip
    assert not mlflow.is_at(Place.of(views))
    with pytest.raises(SourceError, match=r"no database of MLflow: it has no runs\.run_uuid"):
        list(runs_of(mlflow, views))


def test_columns_with_values_of_other_types_do_not_stop_it(tmp_path: Path, store: TrainStore) -> None:
    """SQLite stores anything anywhere: what is a number is taken, what is none is counted as damage."""
    path = made(
        tmp_path / "m.db", NEW, run_row(start="gestern", end=b"\x00", name=b"\xff\xfe"), run_row(b"\x05"),
        metric(0, 1.0), metric("drei", 1.0), metric(1, "0.5"), metric(2, b"\xff"), metric(3, None),
        metric(4, 2.0, at="x"),
        metric(-1, 1.0), metric(2**62, 3.0), metric(5, 1.0, key=b"\xc3\x28"), ("params", ("lr", 0.1, ID)),
        ("params", (None, None, ID)), ("tags", (7, b"\x00", ID)),
    )  # fmt: skip
    result = import_runs(store, path)
    assert list(result.unread) == ["m.db: a run"]
    (run,) = result.runs
    assert run.damage == ["3 metrics have no number as their value or step"]
    (stored,) = stored_points(store).values()
    assert [step for _, step, _ in stored] == [0, 1, 4, 2**62, 5]
    assert import_runs(store, path).points == 0


def test_long_texts_and_names_with_control_characters_are_imported(tmp_path: Path, store: TrainStore) -> None:
    """Megabytes of a parameter, an escape sequence as a name."""
    path = made(
        tmp_path / "m.db", NEW, run_row(name="\x1b[2J\x00weg\nda"), ("params", ("text", "x" * 3_000_000, ID)),
        metric(0, 1.0, key="\x1b]0;titel\x07\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace")),
        ("tags", ("mlflow.note.content", "y" * 1_000_000, ID)),
    )  # fmt: skip
    result = import_runs(store, path)
    assert result.counts["new"] == 1
    assert "\x1b" not in str(result)
    assert import_runs(store, path).counts["unchanged"] == 1


def test_a_database_that_is_being_written_is_read_as_of_one_moment(tmp_path: Path, store: TrainStore) -> None:
    """What a writer has committed to its -wal is there, what it has not is not; nothing of its files changes."""
    path = made(tmp_path / "there" / "m.db", "PRAGMA journal_mode = WAL;" + NEW, run_row(status="RUNNING", end=None))
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute(f"INSERT INTO metrics VALUES ('loss', 1.0, {MS}, '{ID}', 0, 0)")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute(f"INSERT INTO metrics VALUES ('loss', 0.5, {MS}, '{ID}', 1, 0)")
        before = fingerprint(path.parent)
        assert import_runs(store, path).points == 1
        assert fingerprint(path.parent) == before
        writer.execute("COMMIT")
        assert import_runs(store, path).points == 1


def test_what_is_no_database_of_mlflow_s_is_refused_by_name(tmp_path: Path, new_database: Callable[..., str]) -> None:
    """An SQLite file of something else, a broken one, an empty folder, an empty database of PostgreSQL."""
    other = made(tmp_path / "other.db", "CREATE TABLE thing (a)")
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"SQLite format 3\0" + b"\xff" * 5_000)
    with TrainStore(":memory:") as store:
        for source, said in (
            (other, "it has no experiments"),
            (broken, "broken.db"),
            (tmp_path / "empty", "neither a database of MLflow nor a file store"),
            (new_database("postgresql"), "it has no experiments"),
        ):
            with pytest.raises(SourceError, match=said):
                import_runs(store, source, tool="mlflow")
