"""CSV, TSV and Parquet of any tool: which column is what, which rows are of which run, and what is told otherwise."""

from __future__ import annotations

import itertools
import math
import os
import re
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from importing.reading import SAMPLES, points, runs_of, true_points, truth, unread_of
from trainstore.errors import InvalidArgumentError, SourceError
from trainstore.importing import columns, parquet, rows
from trainstore.importing.delimited import Delimited
from trainstore.importing.foreign import Entry, ForeignRun, Step
from trainstore.importing.places import Place

SAMPLE = SAMPLES / "csv" / "files"


def entries(run: ForeignRun) -> list[Entry]:
    return list(run.sessions[0].entries())


def csv_file(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def steps(run: ForeignRun) -> list[tuple[int, dict[str, Any]]]:
    return [(entry.step, dict(entry.metrics)) for entry in entries(run) if isinstance(entry, Step)]


def test_the_sample_s_runs_are_as_the_truth() -> None:
    """Interleaved runs, W&B's history and chart, a spreadsheet and Parquet: every point, typed, steps ascending."""
    found = runs_of(columns, SAMPLE)
    assert set(found) == {run["source_id"] for run in truth("csv")}
    for run in truth("csv"):
        read = found[run["source_id"]]
        given = [point for point in run["points"] if point[0] != "epoch"]
        assert points(entries(read)) == true_points(given)
        assert (read.project or None) == run.get("project")
        order = [step for step, _ in steps(read)]
        assert order == sorted(order)
        assert read.sessions[0].damage == []
    assert found["b"].sessions[0].left_out == {}
    list(found["sweep - a"].sessions[0].entries())
    assert found["sweep - a"].sessions[0].left_out == {"column of W&B's bounds (__MIN, __MAX)": 8}
    assert found["history"].sessions[0].left_out == {"column without a name": 1}
    assert [entry.at for entry in entries(found["history"])[:2] if isinstance(entry, Step)] == [
        1_780_000_000_000_000,
        1_780_000_000_750_000,
    ]


@pytest.mark.parametrize("name", ["Step", "GLOBAL_STEP", "_step", "trainer/global_step", "iteration", "iter", "epoch"])
def test_the_column_of_steps_is_guessed_by_its_name(tmp_path: Path, name: str) -> None:
    """The names that tools give it, in whatever case."""
    csv_file(tmp_path / "a.csv", f"loss,{name}\n1.0,0\n0.5,1.0\n")
    assert steps(runs_of(columns, tmp_path / "a.csv")["a"]) == [(0, {"loss": 1.0}), (1, {"loss": 0.5})]


def test_columns_may_be_named(tmp_path: Path) -> None:
    """--step, --run and --time count before any guess; what they name is no metric."""
    path = csv_file(
        tmp_path / "a.csv", "step,n,who,when,loss\n7,0,x,2026-01-01 00:00:00,1\n7,1,y,2026-01-01 00:00:10,2\n"
    )
    found = runs_of(columns, path, step="N", run="who", time="when", timezone="Asia/Tokyo")
    assert {name: steps(run) for name, run in found.items()} == {
        "x": [(0, {"step": 7, "loss": 1})],
        "y": [(1, {"step": 7, "loss": 2})],
    }
    assert found["x"].started_at == 1_767_193_200_000_000  # 9 hours before midnight in UTC
    assert found["x"].project == "a"
    assert found["x"].identity not in {run.identity for run in runs_of(columns, path).values()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"a\.csv has no column of steps .*name it with --step: its columns are a, b"),
        ({"step": "s"}, r"a\.csv has no column 's', which --step names: its columns are a, b"),
        ({"step": "a", "run": "r"}, r"no column 'r', which --run names"),
        ({"step": "a", "time": "b"}, r"no times in column 'b', but '0\.5'"),
    ],
)
def test_a_column_that_is_not_there_is_told_with_those_that_are(
    tmp_path: Path, options: dict[str, str], message: str
) -> None:
    """The error names the option and the file's columns."""
    path = csv_file(tmp_path / "a.csv", "a,b\n1,0.5\n")
    with pytest.raises(SourceError, match=message):
        runs_of(columns, path, **options)


def test_an_unknown_time_zone_is_told(tmp_path: Path) -> None:
    """With an example of one."""
    path = csv_file(tmp_path / "a.csv", "step,b\n1,0.5\n")
    for name in ("Mars/Base", "../etc/passwd"):
        with pytest.raises(InvalidArgumentError, match="Europe/Berlin"):
            runs_of(columns, path, timezone=name)


def test_files_of_a_folder_stand_for_themselves(tmp_path: Path) -> None:
    """Each file is a run; one that cannot be read is named, the others are read; two alike are two runs."""
    csv_file(tmp_path / "a.csv", "step,loss\n0,1\n")
    csv_file(tmp_path / "sub/a.csv", "step,loss\n0,1\n")
    csv_file(tmp_path / "b.tsv", "step\tloss\n0\t1\n")
    csv_file(tmp_path / "empty.csv", "")
    csv_file(tmp_path / "bare.csv", "step,loss\n")
    csv_file(tmp_path / "other.csv", "x,y\n0,1\n")
    csv_file(tmp_path / "odd.csv", "step,loss\nx,1\n")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    found = runs_of(columns, tmp_path)
    assert set(found) == {"a", "sub/a", "b"}
    assert len({run.identity for run in found.values()}) == 3
    unread = unread_of(columns, tmp_path)
    assert set(unread) == {"empty.csv", "bare.csv", "other.csv", "odd.csv", "torn.parquet"}
    assert unread["bare.csv"] == "has no rows with values"
    assert unread["odd.csv"].startswith("has no row that can be read: the row at 10 has no step")
    assert unread["torn.parquet"].startswith("is not a Parquet file")
    with pytest.raises(SourceError, match=r"bare\.csv has no rows"):
        runs_of(columns, tmp_path / "bare.csv")


def test_a_folder_of_other_things_is_not_taken_for_csv(tmp_path: Path) -> None:
    """One file of another kind is enough; then it must be named, or --from csv said."""
    csv_file(tmp_path / "a.csv", "step,loss\n0,1\n")
    assert columns.is_at(Place.of(tmp_path))
    assert columns.is_at(Place.of(tmp_path / "a.csv"))
    (tmp_path / ".DS_Store").write_text("")
    assert columns.is_at(Place.of(tmp_path))
    (tmp_path / "model.pt").write_text("")
    assert not columns.is_at(Place.of(tmp_path))
    assert set(runs_of(columns, tmp_path)) == {"a"}
    assert not columns.is_at(Place.of(SAMPLES / "lightning_csv" / "größe"))
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SourceError, match=r"holds no file whose name ends in \.csv"):
        runs_of(columns, tmp_path)


def test_damaged_rows_stand_with_the_first_run(tmp_path: Path) -> None:
    """They are of no run that could be told; values of unknown kinds stay texts."""
    path = csv_file(tmp_path / "a.csv", "run,step,loss\nx,0,1\nx,1\ny,0,abc\n,3,1\ny,z,1\ny,1,\ny,2,2\n")
    found = runs_of(columns, path)
    assert {name: steps(run) for name, run in found.items()} == {
        "x": [(0, {"loss": 1})],
        "y": [(0, {"loss": "abc"}), (2, {"loss": 2})],
    }
    assert found["y"].sessions[0].damage == []
    assert found["x"].sessions[0].damage == [
        "the row at 32 has no run",
        "the row at 37 has no step that is a whole number: 'z'",
        "the row at byte 20 has 2 fields, not 3",
    ]


def test_names_that_come_again_are_numbered(tmp_path: Path) -> None:
    """As pandas does; a column without a name is left out and counted."""
    path = csv_file(tmp_path / "a.csv", "step,loss,loss,,loss\n0,1,2,3,4\n")
    (run,) = runs_of(columns, path).values()
    assert steps(run) == [(0, {"loss": 1, "loss.1": 2, "loss.2": 4})]
    assert run.sessions[0].left_out == {"column without a name": 1}


def test_a_wrong_column_of_runs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column of numbers would make a run of each row."""
    monkeypatch.setattr(rows, "MAX_RUNS", 3)
    path = csv_file(tmp_path / "a.csv", "step,loss,acc\n" + "".join(f"{step},{step / 10},1\n" for step in range(5)))
    with pytest.raises(SourceError, match=r"'loss' has more than 3 different values; .* --run"):
        runs_of(columns, path, run="loss")


def test_only_runs_that_changed_have_another_stamp(tmp_path: Path) -> None:
    """A new row of one run is no change of the others, though they share a file."""
    path = csv_file(tmp_path / "a.csv", "run,step,loss\nx,0,1\ny,0,1\n")
    before = runs_of(columns, path)
    csv_file(path, "run,step,loss,acc\nx,0,1,\ny,0,1,\nx,1,2,0.5\n")
    after = runs_of(columns, path)
    assert {name: run.identity for name, run in after.items()} == {name: run.identity for name, run in before.items()}
    csv_file(path, "run,step,loss,acc\nx,0,1,\ny,0,1,\nx,1,2,0.5\ny,1,1,\n")
    last = runs_of(columns, path)
    assert last["x"].sessions[0].stamp == after["x"].sessions[0].stamp
    assert last["y"].sessions[0].stamp != after["y"].sessions[0].stamp


def test_times_of_many_kinds() -> None:
    """Seconds, ms, µs, ns since 1970, dates with and without a zone; a number of seconds since the start is none."""
    at = 1_780_000_000_000_000
    for value in (1_780_000_000, 1_780_000_000.0, 1_780_000_000_000, at, at * 1_000, "2026-05-28T20:26:40Z"):
        assert rows.moment(value, None) == at
    assert rows.moment("2026/05/28 20:26:40+00:00", None) == at
    for other in (12.5, -1, math.nan, "now", None, True, "0001-01-01", 1e30):
        assert rows.moment(other, None) is None or other == "0001-01-01"


def test_a_time_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    """Its row has the file's time instead."""
    path = csv_file(tmp_path / "a.csv", "step,time,loss\n0,1780000000,1\n1,soon,2\n")
    (run,) = runs_of(columns, path).values()
    assert [entry.at for entry in entries(run) if isinstance(entry, Step)] == [1780000000000000, 1700000000000000]
    assert run.sessions[0].left_out == {"time that cannot be read": 1}


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    pq.write_table(pa.table({"step": [0], "loss": [1.0]}), tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SourceError, match=r"pip install 'trainstore\[parquet\]'"):
        runs_of(columns, tmp_path / "a.parquet")


def test_a_damaged_row_group_of_parquet_is_named(tmp_path: Path) -> None:
    """The others are read."""
    path = tmp_path / "a.parquet"
    table = pa.table({"step": range(300), "loss": [1 / (step + 1) for step in range(300)]})
    pq.write_table(table, path, row_group_size=100, compression="zstd", use_dictionary=False)
    start = pq.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset
    whole = bytearray(path.read_bytes())
    whole[start + 40 : start + 400] = bytes(360)
    path.write_bytes(whole)
    (run,) = runs_of(columns, path).values()
    assert [step for step, _ in steps(run)] == [*range(100), *range(200, 300)]
    assert len(run.sessions[0].damage) == 1
    assert run.sessions[0].damage[0].startswith("rows 100 to 200 cannot be read")


@pytest.mark.parametrize(
    "odd", [pa.array([1, 2**31 - 1], pa.date32()), pa.array([1, 2], pa.timestamp("us", tz="No/Such"))], ids=range(2)
)
@pytest.mark.parametrize("numbers", [[0, 1], [1, 0]])
def test_values_of_parquet_that_python_cannot_hold_are_named(tmp_path: Path, odd: pa.Array, numbers: list[int]) -> None:
    """Their rows are not read, whether the steps ascend or not."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"step": numbers, "loss": [1.0, 2.0], "odd": odd}), path)
    with pytest.raises(SourceError, match=r"a\.parquet has no row that can be read: rows 0 to 2 cannot be read"):
        runs_of(columns, path)


def counting(rows_of: Callable[..., Iterator[Any]], count: list[int]) -> Callable[..., Iterator[Any]]:
    def counted(*arguments: Any) -> Iterator[Any]:
        for row in rows_of(*arguments):
            count[0] += 1
            yield row

    return counted


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_of_many_runs_between_each_other_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """A table sorted by step: reading all of it for each run would take hours."""
    count, parsed = 50, [0]
    frame = pd.DataFrame([(step, f"r{run}", step / (run + 1)) for step in range(20) for run in range(count)])
    frame.columns = pd.Index(["step", "run", "loss"])
    path = tmp_path / f"a.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    for kind, name in itertools.product((Delimited, parquet.Parquet), ("rows", "at")):
        monkeypatch.setattr(kind, name, counting(getattr(kind, name), parsed))
    found = runs_of(columns, path)
    for run in range(count):
        assert steps(found[f"r{run}"]) == [(step, {"loss": step / (run + 1)}) for step in range(20)]
    assert parsed[0] <= 3 * len(frame)
    together = frame.sort_values(["run", "step"])
    together.to_csv(path, index=False) if ending == "csv" else together.to_parquet(path)
    found = runs_of(columns, path)
    assert steps(found["r7"]) == [(step, {"loss": step / 8}) for step in range(20)]


@pytest.mark.parametrize("ascending", [True, False])
def test_a_small_parquet_file_of_long_texts_needs_little_memory(
    tmp_path: Path, ascending: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One text that stands in many rows is written once; it is not made as often as it stands there."""
    monkeypatch.setattr(parquet, "_AT_ONCE", 4 << 20)
    path, steps = tmp_path / "a.parquet", list(range(100))
    texts = ["x" * (1 << 20)] * len(steps)
    table = pa.table({"step": steps if ascending else steps[::-1], "loss": [1.0] * len(steps), "text": texts})
    pq.write_table(table, path)
    assert path.stat().st_size < 1 << 20
    del table, texts
    tracemalloc.start()
    try:
        (run,) = runs_of(columns, path).values()
        assert sum(isinstance(entry, Step) for entry in run.sessions[0].entries()) == len(steps)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


def test_a_row_group_that_unpacks_to_gigabytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how large it is, and what to do; the others are read."""
    path = tmp_path / "a.parquet"
    with pq.ParquetWriter(path, pa.schema({"step": pa.int64(), "loss": pa.float64()})) as writer:
        writer.write_table(pa.table({"step": [0], "loss": [1.0]}))
        writer.write_table(pa.table({"step": range(1, 5_000), "loss": [float(n) for n in range(1, 5_000)]}))
    monkeypatch.setattr(parquet, "_MAX_GROUP", 10_000)
    (run,) = runs_of(columns, path).values()
    assert [entry.step for entry in run.sessions[0].entries() if isinstance(entry, Step)] == [0]
    (line,) = run.sessions[0].damage
    assert re.match(r"rows 1 to 5,000 cannot be read: they are [\d,]+ bytes unpacked; write the file with", line)


def test_parquet_is_read_in_order_of_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of several row groups whose steps do not ascend, and of several runs; absent values stay absent."""
    monkeypatch.setattr(parquet, "_GROUPS", 1)
    numbers = [(7 * number) % 20 for number in range(20)]
    table = pa.table({"run": ["a", "b"] * 10, "step": numbers, "loss": [None if n == 4 else n / 2 for n in numbers]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=6)
    found = runs_of(columns, tmp_path / "a.parquet")
    for name, begin in (("a", 0), ("b", 1)):
        expected = sorted(numbers[begin::2])
        assert steps(found[name]) == [(n, {"loss": n / 2}) for n in expected if n != 4]
