"""docs/journal.md, recording/records.py and the journals that are really written agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson

from fixtures.pages import blocks_of
from trainstore import TrainStore
from trainstore.recording import records
from trainstore.recording.environment import writer_facts
from trainstore.recording.journal import MAGIC, frame, frames
from trainstore.recording.opening import joined_attempt, new_attempt, new_run

PAGE = (Path(__file__).parents[2] / "docs" / "journal.md").read_text(encoding="utf-8")
WRITER = {"uid": "w", "rank": 0, "started_at": 1, **writer_facts()}


def page_fields() -> dict[str, list[str]]:
    """Kind → fields, each with its "?", as the page's table has them."""
    table = PAGE.split("\n## Records\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)
    return {kind: [field.replace("`", "") for field in fields.split(", ")] for kind, fields in rows}


def docstring_fields() -> dict[str, list[str]]:
    assert records.__doc__ is not None
    rows = re.findall(r"^``(\w+)`` +(.*)$", records.__doc__, re.MULTILINE)
    return {kind: re.sub(r" \(.*\)", "", fields).split(", ") for kind, fields in rows}


def whole() -> list[dict[str, Any]]:
    """A record of each kind, with every field that it may have."""
    return [
        records.run_record(new_run(), seen=False, writer=WRITER),
        records.attempt_record(new_attempt(start_step=-1, lineage=[])),
        records.step_record(1, 2, {"loss": 1.0}, 0.5, 0.1, {"text": "a"}),
        records.hyperparam_record("hp", {"lr": 1}),
        records.tag_record(1, {"a": True}),
        records.event_record("checkpoint", 1, None, None),
        records.status_record("finished", None, 1),
        records.gap_record("damage", records=[1, 2]),
        records.skip_record(3),
    ]


def test_the_page_names_every_field_of_every_kind() -> None:
    """In the page, in the docstring and in what the constructors make: the same kinds and fields."""
    made = {record["kind"]: sorted(record.keys() - {"kind"}) for record in whole()}
    plain = {kind: sorted(field.rstrip("?") for field in fields) for kind, fields in page_fields().items()}
    assert list(page_fields()) == list(records.KINDS)
    assert page_fields() == docstring_fields()
    assert plain == made


def test_a_field_without_a_mark_is_always_there() -> None:
    """The least that the constructors make has every field that the page does not call optional."""
    least = [records.step_record(1, 2, {}), records.attempt_record(joined_attempt([["a", -1, 1]]))]
    for record in least:
        expected = {field for field in page_fields()[record["kind"]] if not field.endswith("?")}
        assert record.keys() - {"kind"} == expected


def test_kind_comes_first() -> None:
    """Steps and the end of a run are known by how their JSON begins."""
    for record in whole():
        assert next(iter(record)) == "kind"
    payloads = {record["kind"]: orjson.dumps(record) for record in whole()}
    for prefix, kind in ((records.STEP, "step"), (records.STATUS, "status")):
        assert [name for name, payload in payloads.items() if payload.startswith(prefix)] == [kind]


def test_what_a_training_writes_has_these_fields(tmp_path: Path) -> None:
    """The records of a real journal have no field and no kind that the page does not name."""
    known = {kind: {field.rstrip("?") for field in fields} for kind, fields in page_fields().items()}
    with TrainStore(tmp_path / "runs.db") as store:
        run = store.start_run(tags=["a"])
        recorder = run._recorder
        assert recorder is not None
        segment = next(recorder.journal.folder.glob("*.seg"))
        entries = orjson.loads((segment.parent / "meta.json").read_bytes()).keys()
        run.log({"loss": 1.0, "epoch": 1}, details={"text": "a"})
        run.log_measured({"loss": 1.0}, 1, 0.5, 0.1)
        run.log({"loss": 1.0}, step="no")
        run.log_hyperparams({"lr": 1})
        run.set_tags(["b"])
        run.set_notes("n")
        run.log_event("x")
        written = [orjson.loads(payload) for _, _, payload in frames(segment.read_bytes())]
        run.finish()
    assert {record["kind"] for record in written} == {"run", "attempt", "step", "hyperparam", "tag", "event"}
    for record in written:
        assert record.keys() - {"kind"} <= known[record["kind"]], record
    named = PAGE.split("\n## meta.json\n")[1].split("\n## ")[0]
    assert entries == set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", named, re.MULTILINE))))


def test_the_reader_on_the_page_reads_segments() -> None:
    """As the library does: a torn tail is ignored, and damage in the middle costs what is damaged."""
    namespace: dict[str, Any] = {}
    (code,) = [block.code for block in blocks_of(PAGE) if block.language == "python"]
    exec(code, namespace)
    good = [frame(number, orjson.dumps(record)) for number, record in enumerate(whole(), 1)]
    damaged = bytearray(good[3])
    damaged[-2] ^= 1
    assert good[0].startswith(MAGIC)
    for segment in (b"".join(good), b"".join(good)[:-3], b"".join([*good[:3], damaged, *good[4:]]), b"", b"TSj1"):
        expected = [(number, orjson.loads(payload)) for _, number, payload in frames(segment)]
        assert list(namespace["records"](segment)) == expected
