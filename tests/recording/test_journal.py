"""The journal: frames, segments, locks; no database takes part."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from trainstore.errors import JournalError
from trainstore.recording import journal as journals
from trainstore.recording.delivery import decode
from trainstore.recording.journal import (
    FileJournal,
    FoundJournal,
    MemoryJournal,
    claim,
    frame,
    frames,
    is_live,
    journal_folders,
)
from trainstore.recording.journal.dropping import without_steps
from trainstore.recording.records import event_record, kind_of, step_record

MANY = 10_000  # records; more than any batch here


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journals"


@pytest.fixture
def new_journal(root: Path) -> Iterator[Callable[..., FileJournal]]:
    """Begin a journal; those still open are closed after the test."""
    made: list[FileJournal] = []

    def make(**meta: Any) -> FileJournal:
        made.append(FileJournal(root, str(uuid.uuid4()), meta))
        return made[-1]

    yield make
    for journal in made:
        journal.close()


def everything(journal: FileJournal, batch: int = 3, size: int = 100) -> list[tuple[int, bytes]]:
    """All records, read batch by batch as a writer does."""
    found: list[tuple[int, bytes]] = []
    while part := journal.read(found[-1][0] if found else 0, batch, size):
        found += part
    return found


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def payloads(count: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(1, count + 1)]


def test_frames_come_back_as_they_were_written() -> None:
    """A row of frames reads back as numbers and payloads, also where a payload is empty or looks like a frame."""
    written = [b"", b"{}", frame(7, b"inner"), journals.MAGIC * 3, b"x" * 100_000]
    data = b"".join(frame(number, payload) for number, payload in enumerate(written, start=1))
    found = list(frames(data))
    assert [(number, payload) for _, number, payload in found] == list(enumerate(written, start=1))
    assert found[-1][0] == len(data)


def test_a_tail_torn_at_any_byte_costs_the_last_record_only() -> None:
    """Wherever a write stopped, the records before it are read and nothing is made up."""
    whole = frame(1, b"first") + frame(2, b"second")
    data = whole + frame(3, b"the last one")
    for length in range(len(whole), len(data)):
        assert [number for _, number, _ in frames(data[:length])] == [1, 2]


def test_a_flipped_bit_anywhere_costs_its_own_record_only() -> None:
    """Each single bit of header and payload is covered: its record is left out, the others are read unchanged."""
    parts = [frame(1, b"one"), frame(2, b"two"), frame(3, b"three")]
    data = b"".join(parts)
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        end, hit = 0, 0
        for number, part in enumerate(parts, start=1):
            hit = number if end <= bit // 8 < end + len(part) else hit
            end += len(part)
        expected = [(n, p) for n, p in ((1, b"one"), (2, b"two"), (3, b"three")) if n != hit]
        assert [(number, payload) for _, number, payload in frames(bytes(damaged))] == expected


def test_records_are_numbered_from_one_and_read_in_batches(new_journal: Callable[..., FileJournal]) -> None:
    """Reading goes on where the last batch ended, and from any number that the caller names."""
    journal = new_journal()
    assert [journal.append(payload) for payload in payloads(10)] == list(range(1, 11))
    assert journal.last == 10
    assert everything(journal) == list(enumerate(payloads(10), start=1))
    assert [number for number, _ in journal.read(4, 3, MANY)] == [5, 6, 7]
    assert [number for number, _ in journal.read(4, 3, MANY)] == [5, 6, 7]
    assert [number for number, _ in journal.read(7, MANY, MANY)] == [8, 9, 10]
    assert journal.read(10, MANY, MANY) == []


def test_an_interrupt_at_any_call_harms_no_other_record(
    new_journal: Callable[..., FileJournal], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctrl-C after any call that an append makes, also of one that begins a segment: the records before and after it
    are there, each with its own number; what is left to a recovery, too."""
    monkeypatch.setattr(journals.file, "SEGMENT_BYTES", 60)
    for place in itertools.count(1):
        calls = itertools.count(1)

        def interrupt(_frame: Any, what: str, _function: Any, calls: Any = calls, place: int = place) -> None:
            if what == "c_return" and next(calls) == place:
                raise KeyboardInterrupt

        journal = new_journal()
        journal.append(b"before")
        interrupted = False
        sys.setprofile(interrupt)
        try:
            journal.append(b"x" * 40)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.setprofile(None)
        told = [journal.append(payload) for payload in payloads(4)]
        kept = everything(journal)
        others = [(number, payload) for number, payload in kept if payload != b"x" * 40]
        assert others == [(1, b"before"), *zip(told, payloads(4), strict=True)]
        assert [number for number, _ in kept] == list(range(1, len(kept) + 1))
        left = tmp_path / f"{place}" / journal.uid
        shutil.copytree(journal.folder, left)
        for empty in (journal.last - 2, journal.last + 1):
            left.joinpath(f"{empty:020d}.seg").touch()
        found = FoundJournal(left, os.open(os.devnull, os.O_RDONLY), {})
        assert list(found.read(0)) == kept
        assert [number for number, _ in found.read(told[0])] == told[1:]
        if not interrupted:
            break
    assert place > 10


def test_segments_rotate_and_go_when_acknowledged(
    new_journal: Callable[..., FileJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full segment is followed by the next; whole segments go once their records are stored, the open one stays."""
    monkeypatch.setattr(journals.file, "SEGMENT_BYTES", 100)
    journal = new_journal()
    for payload in payloads(40):
        journal.append(payload)
    assert len(segments(journal.folder)) > 5
    assert everything(journal) == list(enumerate(payloads(40), start=1))
    for acked in range(41):
        journal.acknowledge(acked)
        left = segments(journal.folder)
        assert int(left[0].stem) <= acked + 1
        assert len(left) == 1 or int(left[1].stem) > acked + 1
        assert [number for number, _ in journal.read(acked, 1, 1)] == ([] if acked == 40 else [acked + 1])
    assert len(segments(journal.folder)) == 1


def test_a_record_may_be_larger_than_a_batch_and_a_segment(
    new_journal: Callable[..., FileJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record of any size is read whole, however small the batch, also when it has to be read again."""
    monkeypatch.setattr(journals.file, "SEGMENT_BYTES", 1_000)
    journal = new_journal()
    written = [b"small"] * 20 + [b"x" * 50_000] + [b"small"] * 20 + [b"y" * 50_000]
    for payload in written:
        journal.append(payload)
    assert [payload for _, payload in everything(journal, batch=2, size=10)] == written
    for after in range(len(written)):
        # Each place twice and out of order: a database that refuses a batch has it read again.
        assert journal.read(after, 1, 10) == [(after + 1, written[after])]
        assert journal.read(0, 1, 10) == [(1, written[0])]
        assert journal.read(after, 1, 10) == [(after + 1, written[after])]


def test_damage_in_a_live_segment_does_not_stop_reading(new_journal: Callable[..., FileJournal]) -> None:
    """A record that was damaged on the disk is left out; what follows is read."""
    journal = new_journal()
    for payload in payloads(5):
        journal.append(payload)
    path = segments(journal.folder)[0]
    data = bytearray(path.read_bytes())
    data[len(frame(1, payloads(1)[0])) + 25] ^= 0xFF
    path.write_bytes(data)
    assert [number for number, _ in everything(journal)] == [1, 3, 4, 5]


def test_only_the_user_can_read_a_journal(new_journal: Callable[..., FileJournal], root: Path) -> None:
    """Folders are 0700 and files 0600, whatever the umask allows."""
    before = os.umask(0)
    try:
        journal = new_journal()
        journal.update_meta(seen=True)
    finally:
        os.umask(before)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE(journal.folder.stat().st_mode) == 0o700
    files = list(journal.folder.iterdir())
    assert {path.name for path in files} >= {"lock", "meta.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_meta_names_what_the_journal_belongs_to(new_journal: Callable[..., FileJournal]) -> None:
    """meta.json holds the given entries, host and boot, and is replaced as a whole."""
    journal = new_journal(run_uid="r", prefix="p_", store_uid=None, seen=False)
    meta = journals.read_meta(journal.folder)
    assert meta is not None
    assert (meta["run_uid"], meta["prefix"], meta["store_uid"], meta["seen"]) == ("r", "p_", None, False)
    assert meta["host"] == journals.hostname()
    assert meta["boot_id"] == journals.boot_id()
    journal.update_meta(store_uid="s", seen=True)
    changed = journals.read_meta(journal.folder)
    assert changed == {**meta, "store_uid": "s", "seen": True}


def test_a_live_journal_cannot_be_claimed_in_its_own_process(new_journal: Callable[..., FileJournal]) -> None:
    """The process that writes a journal is told that it lives, and asking does not free its lock."""
    journal = new_journal()
    for _ in range(3):
        assert claim(journal.folder) is None
        assert is_live(journal.folder)
    journal.close()
    assert not is_live(journal.folder)


def test_a_live_journal_cannot_be_claimed_by_another_process(
    new_journal: Callable[..., FileJournal], start_script: Callable[..., Any]
) -> None:
    """Another process sees the lock, also after this process has asked about its own journal."""
    journal = new_journal()
    assert is_live(journal.folder)
    ask = """
        import sys
        from pathlib import Path
        from trainstore.recording.journal import claim, is_live
        for line in sys.stdin:
            found = claim(Path(sys.argv[1]))
            print("live" if found is None else f"claimed {[n for n, _ in found.read(0)]}")
            if found: found.release()
        """
    script = start_script(ask, journal.folder)
    journal.append(b"{}")
    script.send("?")
    assert script.wait_for("") == "live"
    assert is_live(journal.folder)
    script.send("?")
    assert script.wait_for("") == "live"
    journal.close()
    script.send("?")
    assert script.wait_for("") == "claimed [1]"


def test_the_lock_ends_with_the_process(root: Path, start_script: Callable[..., Any]) -> None:
    """A process killed with SIGKILL leaves a journal that can be claimed, with every record of it."""
    script = start_script(
        """
        import sys, time
        from pathlib import Path
        from trainstore.recording.journal import FileJournal
        journal = FileJournal(Path(sys.argv[1]), "7d0fef56-7fd2-4e59-ae2f-0f4f6ba0ba02", {})
        for number in range(100):
            journal.append(b"x" * number)
        print("ready")
        time.sleep(600)
        """,
        root,
    )
    script.wait_for("ready")
    (folder,) = journal_folders(root)
    assert claim(folder) is None
    script.kill()
    found = claim(folder)
    assert found is not None
    assert [(number, len(payload)) for number, payload in found.read(0)] == [(n + 1, n) for n in range(100)]
    assert claim(folder) is None, "one that is claimed is not claimed again"
    found.release()


def test_a_claimed_journal_is_read_across_segments(
    new_journal: Callable[..., FileJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery reads every record after the watermark, whatever segment it stands in, and past damage."""
    monkeypatch.setattr(journals.file, "SEGMENT_BYTES", 100)
    journal = new_journal()
    for payload in payloads(30):
        journal.append(payload)
    journal.close()
    middle = segments(journal.folder)[2]
    middle.write_bytes(b"\x00" * 5 + middle.read_bytes()[5:])
    lost = int(middle.stem)
    found = claim(journal.folder)
    assert found is not None
    for after in (0, 1, lost - 1, lost, 29, 30):
        assert [number for number, _ in found.read(after)] == [n for n in range(after + 1, 31) if n != lost]
    found.remove()
    assert not journal.folder.exists()
    assert claim(journal.folder) is None


def test_a_journal_set_aside_is_found_by_no_recovery(new_journal: Callable[..., FileJournal], root: Path) -> None:
    """Setting aside keeps the records in a folder that is no journal's any more, by owner and by recovery."""
    own, left = new_journal(), new_journal()
    for journal in (own, left):
        journal.append(b"kept")
    kept = own.set_aside()
    left.close()
    found = claim(left.folder)
    assert found is not None
    assert journal_folders(root) == [left.folder]
    also_kept = found.set_aside()
    assert journal_folders(root) == []
    for folder in (kept, also_kept):
        assert folder is not None
        assert folder.suffix == ".aside"
        assert [payload for _, _, payload in frames(segments(folder)[0].read_bytes())] == [b"kept"]


def test_a_journal_goes_only_when_everything_is_stored(new_journal: Callable[..., FileJournal], root: Path) -> None:
    """A record that came after the last one stored keeps the journal; the last one takes the empty folder along."""
    journal = new_journal()
    for payload in payloads(3):
        journal.append(payload)
    assert not journal.remove(2)
    assert journal.append(b"more") == 4
    assert journal.remove(4)
    assert not root.exists()
    with pytest.raises(JournalError, match="closed"):
        journal.append(b"late")


def test_many_threads_append_without_gaps(new_journal: Callable[..., FileJournal]) -> None:
    """Eight threads that append at once get consecutive numbers, and every record is read while they write."""
    journal = new_journal()
    got: list[list[tuple[int, bytes]]] = [[] for _ in range(8)]
    start = threading.Barrier(9)

    def work(index: int) -> None:
        start.wait()
        for number in range(300):
            payload = b"%d:%d" % (index, number)
            got[index].append((journal.append(payload), payload))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    start.wait()
    found: list[tuple[int, bytes]] = []
    while len(found) < 2_400:
        found += journal.read(found[-1][0] if found else 0, 100, 1_000)
    for thread in threads:
        thread.join()
    assert found == sorted(pair for pairs in got for pair in pairs)
    assert [number for number, _ in found] == list(range(1, 2_401))


def test_a_full_disk_leaves_the_journal_readable(
    new_journal: Callable[..., FileJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that the disk takes only in part is undone and raised; the next record follows without a gap."""
    journal = new_journal()
    journal.append(b"before")
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[: len(data) // 2]))
        with pytest.raises(OSError, match="no space"):
            journal.append(b"half of this")
    assert journal.append(b"after") == 2
    assert [payload for _, payload in everything(journal)] == [b"before", b"after"]


def test_an_unusable_folder_is_named(tmp_path: Path) -> None:
    """Where no journal can be kept the error names the folder and the variable that chooses another."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(JournalError, match="TRAINSTORE_JOURNAL_DIR") as error:
        FileJournal(blocked, str(uuid.uuid4()), {})
    assert str(blocked) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"], ids=["empty", "torn", "a list", "no text"])
def test_a_folder_without_a_readable_meta_is_left_alone(
    new_journal: Callable[..., FileJournal], content: bytes
) -> None:
    """A journal whose meta.json cannot be read belongs to nobody: it is neither claimed nor deleted."""
    journal = new_journal()
    journal.append(b"{}")
    journal.close()
    (journal.folder / "meta.json").write_bytes(content)
    assert claim(journal.folder) is None
    assert segments(journal.folder)
    assert claim(journal.folder) is None


def test_folders_that_are_no_journals_are_passed_over(new_journal: Callable[..., FileJournal], root: Path) -> None:
    """Other files and folders, and a root that does not exist, are no journals."""
    journal = new_journal()
    (root / "notes.txt").write_text("x")
    (root / "empty").mkdir()
    shutil.copytree(journal.folder, root / f"{journal.uid}-copy.aside")
    assert journal_folders(root) == [journal.folder]
    assert journal_folders(root / "missing") == []
    assert claim(root / "empty") is None


def test_memory_keeps_records_like_a_file() -> None:
    """The journal of a store in memory numbers, reads, acknowledges and ends as one on disk does."""
    journal = MemoryJournal("m")
    for payload in payloads(5):
        journal.append(payload)
    assert [number for number, _ in journal.read(1, 2, MANY)] == [2, 3]
    journal.acknowledge(3)
    assert [number for number, _ in journal.read(0, MANY, MANY)] == [4, 5]
    assert not journal.remove(4)
    assert journal.remove(5)
    assert journal.set_aside() is None
    with pytest.raises(JournalError, match="closed"):
        journal.append(b"late")


def test_journals_that_come_and_go_at_once_find_their_folder(root: Path) -> None:
    """The last journal's end removes the folder that another one's beginning has just made or seen: it is made anew."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(150):
                journal = FileJournal(root, str(uuid.uuid4()), {})
                assert journal.append(b"{}") == 1
                assert journal.remove(1)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert not root.exists()


# --- No room ---------------------------------------------------------------------------------------------------------


def step(number: int, size: int = 10) -> bytes:
    return orjson.dumps({"kind": "step", "at": 1, "step": number, "metrics": {"x": "." * size}})


def records_of(journal: FileJournal, acked: int = 0) -> list[tuple[int, dict[str, Any]]]:
    """What a delivery would store, as it reads it: batch by batch, gaps filled in."""
    result: list[tuple[int, dict[str, Any]]] = []
    while batch := journal.read(acked, 100, 10_000):
        for number, record in decode(acked, batch):
            result.append((number, orjson.loads(record) if isinstance(record, bytes) else record))
        acked = result[-1][0]
    return result


def refusing(kinds: str, left: int = 0) -> Callable[[int, bytes], int]:
    """os.write on a disk that takes ``left`` more records, and then none whose kind is one of these."""
    write = os.write
    room = [left]

    def fail(descriptor: int, data: bytes) -> int:
        if any(f'"kind":"{kind}"'.encode() in data for kind in kinds.split()):
            if not room[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            room[0] -= 1
        return write(descriptor, data)

    return fail


def full_disk(reserve: Path, allowed: bytes) -> Callable[[int, bytes], int]:
    """os.write on a disk that has room for one record only, and only after something of the reserve was given up."""
    write, before = os.write, reserve.stat().st_size

    def fail(descriptor: int, data: bytes) -> int:
        if allowed not in data or reserve.stat().st_size == before:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    return fail


def test_the_reserve_is_made_with_the_first_sync(new_journal: Callable[..., FileJournal]) -> None:
    """A run that ends within a second never makes it; one that goes on has it in full, in a readable journal."""
    short, long = new_journal(), new_journal()
    for journal in (short, long):
        journal.append(step(0))
    long.sync()
    assert not (short.folder / "reserve").exists()
    assert (long.folder / "reserve").stat().st_size == journals.RESERVE_BYTES
    assert (journals.read_meta(long.folder) or {})["writer_uid"] == long.uid
    assert short.remove(1)
    assert not short.folder.exists()


def test_a_journal_that_grows_has_a_reserve_before_the_first_sync(new_journal: Callable[..., FileJournal]) -> None:
    """A disk that fills within the first second finds room for the gap's record too."""
    journal = new_journal()
    while journal.last * len(step(0)) < journals.reserve.SHORT:
        journal.append(step(0))
    assert (journal.folder / "reserve").stat().st_size == journals.RESERVE_BYTES


def test_a_full_disk_costs_steps_and_says_which(
    new_journal: Callable[..., FileJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first step that finds no room is told at once, from what was put by; all of them when there is room again."""
    monkeypatch.setattr(journals.file, "LOOK_AGAIN", 0.0)
    journal = new_journal()
    journal.sync()  # fills the reserve
    reserve = journal.folder / "reserve"
    journal.append(step(0))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full_disk(reserve, allowed=b"more may follow"))
        for number in (1, 2, 3):
            with pytest.raises(OSError, match=r"[Nn]o space"):
                journal.append(step(number))
    # Smaller files than before: there is some room, but not for what was put by and as much again.
    reserve.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(journals.disk, "free_space", lambda _folder: journals.RESERVE_BYTES - 1)
        with pytest.raises(OSError, match="no space"):
            journal.append(step(4))
    journal.append(step(5))
    kinds = [(number, record["kind"], record.get("details", {}).get("steps")) for number, record in records_of(journal)]
    assert kinds == [(1, "step", None), (2, "gap", [1, 1]), (3, "gap", [1, 4]), (4, "step", None)]
    assert records_of(journal)[2][1]["details"]["lost"] == 4
    assert reserve.stat().st_size == journals.RESERVE_BYTES
    assert stat.S_IMODE(reserve.stat().st_mode) == 0o600


def test_a_full_disk_that_is_not_looked_at_again_loses_steps_only(
    new_journal: Callable[..., FileJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks a step is lost without being tried; an event is written, and the end tells what went."""
    monkeypatch.setattr(journals.file, "LOOK_AGAIN", 3_600.0)
    journal = new_journal()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refusing("step"))
        with pytest.raises(OSError, match="No space"):
            journal.append(step(1))
    with pytest.raises(OSError, match="no space"):
        journal.append(step(2))
    journal.append(orjson.dumps({"kind": "event"}))
    journal.append(orjson.dumps({"kind": "status", "status": "finished"}))
    kinds = [(record["kind"], record.get("details", {}).get("steps")) for _, record in records_of(journal)]
    assert kinds == [("gap", [1, 1]), ("event", None), ("gap", [1, 2]), ("status", None)]


def test_the_end_of_a_run_finds_room_on_a_full_disk(
    new_journal: Callable[..., FileJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no step gives back what was put by and is tried again; a disk that stays full is an error."""
    journal = new_journal()
    journal.sync()  # fills the reserve
    reserve = journal.folder / "reserve"
    before = reserve.stat().st_size
    status = orjson.dumps({"kind": "status", "status": "finished", "error": None, "at": 1})
    failing = iter([True, True, False])
    write = os.write

    def once(descriptor: int, data: bytes) -> int:
        if next(failing, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", once)
        assert journal.append(status) == 1
    assert 0 < reserve.stat().st_size < before
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refusing("status"))
        with pytest.raises(OSError, match="No space"):
            journal.append(status)
    assert [record["kind"] for _, record in records_of(journal)] == ["status", "gap"]
    assert records_of(journal)[1][1]["details"]["lost"] == 1


def test_the_oldest_steps_make_room(tmp_path: Path) -> None:
    """Past its limit a journal keeps everything but old steps, and says which of them went."""
    journal = FileJournal(tmp_path, str(uuid.uuid4()), {}, limit=20_000)
    journal.append(orjson.dumps({"kind": "run"}))
    for number in range(400):
        journal.append(step(number, 50))
        if number == 7:
            journal.append(orjson.dumps({"kind": "event"}))
    size = sum(path.stat().st_size for path in journal.folder.glob("*.seg"))
    assert size > 40_000
    journal.make_room(acked=5, low_space=False)
    assert sum(path.stat().st_size for path in journal.folder.glob("*.seg")) < 22_500
    records = records_of(journal, acked=5)
    kept = {record["step"] for _, record in records if record["kind"] == "step"}
    gaps = [record["details"] for _, record in records if record["kind"] == "gap"]
    assert [gap["reason"] for gap in gaps] == ["the journal reached its limit"] * len(gaps)
    named = {number for gap in gaps for number in range(gap["steps"][0], gap["steps"][1] + 1)}
    # Records 2 to 5 were the steps 0 to 3, which the database has.
    assert kept | named == set(range(4, 400))
    assert not kept & named
    assert sum(gap["lost"] for gap in gaps) == len(named)
    assert 399 in kept
    assert [record["kind"] for _, record in records].count("event") == 1
    assert records[-1][0] == journal.last
    journal.make_room(acked=5, low_space=False)
    assert records_of(journal, acked=5) == records
    assert journal.remove(journal.last)


def test_a_nearly_full_disk_makes_room_only_where_nothing_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database answers, what waits is about to go by itself."""
    monkeypatch.setattr(journals.disk, "free_space", lambda _folder: 1)
    journal = FileJournal(tmp_path, str(uuid.uuid4()), {}, limit=1_000_000)
    monkeypatch.setattr(journal, "_segment_bytes", 5_000)
    for number in range(200):
        journal.append(step(number, 50))
    journal.make_room(acked=0, low_space=False)
    assert {record["kind"] for _, record in records_of(journal)} == {"step"}
    journal.make_room(acked=0, low_space=True)
    assert {record["kind"] for _, record in records_of(journal)} == {"gap", "step"}
    journal.close()


def test_room_is_made_on_a_full_disk(new_journal: Callable[..., FileJournal], monkeypatch: pytest.MonkeyPatch) -> None:
    """What stays of a segment is written beside it first; the space for that was put by."""
    monkeypatch.setattr(journals.disk, "free_space", lambda _folder: 1)
    journal = new_journal()
    monkeypatch.setattr(journal, "_segment_bytes", 5_000)
    for number in range(200):
        journal.append(step(number, 50))
    journal.sync()  # fills the reserve
    reserve = journal.folder / "reserve"
    write_file = journals.disk.write_file

    def full(path: Path, data: bytes, target: Path, *, sync: bool = True) -> None:
        if reserve.stat().st_size == journals.RESERVE_BYTES:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_file(path, data, target, sync=sync)

    with monkeypatch.context() as patched:
        patched.setattr(journals.disk, "write_file", full)
        journal.make_room(acked=0, low_space=True)
    assert reserve.stat().st_size < journals.RESERVE_BYTES
    assert "gap" in {record["kind"] for _, record in records_of(journal)}


def test_a_full_disk_does_not_keep_records_from_the_database(
    new_journal: Callable[..., FileJournal], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """meta.json is brought up to date when there is room; of a journal that was left, what was put by makes some."""
    journal = new_journal()
    journal.sync()
    write_file = journals.disk.write_file

    def full(path: Path, data: bytes, target: Path, *, sync: bool = True) -> None:
        if (journal.folder / "reserve").stat().st_size:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_file(path, data, target, sync=sync)

    with monkeypatch.context() as patched:
        patched.setattr(journals.disk, "write_file", full)
        journal.update_meta(seen=True)
        assert "seen" not in (journals.read_meta(journal.folder) or {})
    journal.touch()
    assert (journals.read_meta(journal.folder) or {})["seen"] is True
    journal.close()
    found = claim(journal.folder)
    assert found is not None
    with monkeypatch.context() as patched:
        patched.setattr(journals.disk, "write_file", full)
        found.update_meta(seen=False)
    assert (journals.read_meta(journal.folder) or {})["seen"] is False
    found.release()


def test_a_journal_is_written_anew_after_a_failed_sync(
    new_journal: Callable[..., FileJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk refused may be gone although the next sync succeeds: it is brought there in another file."""
    journal = new_journal()
    journal.append(step(1))
    (segment,) = journal.folder.glob("*.seg")
    inode = segment.stat().st_ino

    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(journals.disk, "sync_file", broken)
        journal.sync()
    assert segment.stat().st_ino != inode
    journal.append(step(2))
    journal.sync()
    assert [record["step"] for _, record in records_of(journal)] == [1, 2]
    assert [path.name for path in journal.folder.glob("*.partial")] == []


def test_missing_numbers_are_a_gap() -> None:
    """Damage is named where it was; a gap that the journal wrote speaks for itself; the order stays."""

    def frames(*records: tuple[int, dict[str, Any]]) -> list[tuple[int, bytes]]:
        return [(number, orjson.dumps(record)) for number, record in records]

    damaged = decode(3, frames((4, {"kind": "a"}), (7, {"kind": "b"}), (8, {"kind": "c"})))
    assert [(number, record["kind"]) for number, record in damaged] == [(4, "a"), (6, "gap"), (7, "b"), (8, "c")]
    assert damaged[1][1]["details"] == {"reason": "damage", "records": [5, 6]}
    own = {"kind": "gap", "details": {"reason": "limit", "records": [5, 9]}}
    skip = {"kind": "skip", "first": 5}
    told = decode(4, frames((6, skip), (7, {"kind": "event"}), (9, own), (11, {"kind": "step"})))
    assert [(number, kind_of(record)) for number, record in told] == [
        (6, "skip"),
        (7, "event"),
        (9, "gap"),
        (10, "gap"),
        (11, "step"),
    ]
    # Wherever the database turns out to be, the gap is read, and nothing before it passes for damage.
    for acked in range(4, 9):
        waiting = [pair for pair in frames((6, skip), (7, {"kind": "event"}), (9, own)) if pair[0] > acked]
        assert [record["kind"] for _, record in decode(acked, waiting)][-1] == "gap"
        assert [record["details"]["reason"] for _, record in decode(acked, waiting) if record["kind"] == "gap"] == [
            "limit"
        ]


def test_a_segment_without_its_steps_says_what_is_missing() -> None:
    """Other records stay in their places; a gap stands for the steps not stored yet, a skip for each earlier range."""
    events = {4, 7, 8}
    segment = b"".join(
        frame(
            number,
            orjson.dumps(
                event_record("note", 0, None, None) if number in events else step_record(0, number * 10, {"loss": 1.0})
            ),
        )
        for number in range(1, 11)
    )
    data, lost = without_steps(segment, acked=2)
    assert (lost.records, lost.first_step, lost.last_step) == (5, 30, 100)
    records = [(number, orjson.loads(payload)) for _, number, payload in frames(data)]
    kinds = [(number, kind_of(record)) for number, record in records]
    assert kinds == [(3, "skip"), (4, "event"), (6, "skip"), (7, "event"), (8, "event"), (10, "gap")]
    assert [record["first"] for _, record in records if kind_of(record) == "skip"] == [3, 5]
    assert records[-1][1]["details"]["records"] == [3, 10]
    # A reader that goes on after the watermark finds the gap alone, and no damage.
    found = decode(2, [(number, payload) for _, number, payload in frames(data)])
    assert [kind_of(record) for _, record in found].count("gap") == 1
    assert without_steps(data, acked=2) == (data, type(lost)())
