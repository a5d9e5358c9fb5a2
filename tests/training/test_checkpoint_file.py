"""A checkpoint's file: plain data, whole or not there, and read without running anything in it."""

import collections
import datetime
import enum
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from trainstore.errors import CheckpointError, InvalidArgumentError
from trainstore.training.checkpoint_file import newest_checkpoint, read_checkpoint, write_checkpoint


class Mode(enum.Enum):
    """A choice, as configurations have it."""

    MIN = "min"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (np.float64(0.5), 0.5),
        (np.uint32(7), 7),
        (np.array(4), 4),
        (np.bool_(True), True),
        (np.array(["a", "b"]), ["a", "b"]),
        (Mode.MIN, "min"),
        (Path("a/b"), "a/b"),
        (collections.defaultdict(int, a=1), {"a": 1}),
        ({"a": (1, [2, None, "c"])}, {"a": (1, [2, None, "c"])}),
    ],
    ids=repr,
)
def test_values_are_kept_as_what_they_mean(tmp_path, value, read):
    """Of types that PyTorch would refuse to read."""
    write_checkpoint(tmp_path / "a.pt", {"value": value})
    found = read_checkpoint(tmp_path / "a.pt")["value"]
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", "int64", "float16", "float32", "bool"])
def test_arrays_are_kept_as_tensors(tmp_path, kind):
    """With their types."""
    write_checkpoint(tmp_path / "a.pt", {"value": np.ones(3, kind)})
    found = read_checkpoint(tmp_path / "a.pt")["value"]
    assert found.dtype == getattr(torch, kind)
    assert found.tolist() == np.ones(3, kind).tolist()


@pytest.mark.parametrize(
    "value",
    [datetime.date(2026, 1, 2), object(), {1, 2}, torch.Generator()],
    ids=["date", "object", "set", "generator"],
)
def test_what_cannot_be_kept_is_named_by_its_place(tmp_path, value):
    """At the first saving, not when it is read."""
    with pytest.raises(InvalidArgumentError, match=rf"config\.runs\[1\] is a {type(value).__name__}"):
        write_checkpoint(tmp_path / "a.pt", {"config": {"runs": [0, value]}})
    assert list(tmp_path.iterdir()) == []


def test_the_former_file_stays_if_the_next_one_cannot_be_written(tmp_path, monkeypatch):
    """Nothing of the next one does."""
    path = tmp_path / "a.pt"
    write_checkpoint(path, {"value": 1})

    def full(content, file):
        file.write(b"the beginning")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match=r"a\.pt cannot be written .*No space left on device"):
        write_checkpoint(path, {"value": 2})
    assert list(tmp_path.iterdir()) == [path]
    assert read_checkpoint(path) == {"value": 1}


def test_what_a_killed_process_left_is_removed_and_never_taken_for_a_checkpoint(tmp_path):
    """Of a file whose name is a pattern for others, too."""
    left, other = tmp_path / ".writing-123-a[1].pt", tmp_path / ".writing-123-a1.pt"
    left.write_bytes(b"the beginning")
    other.write_bytes(b"of another file")
    assert newest_checkpoint(tmp_path, "*") is None
    write_checkpoint(tmp_path / "a[1].pt", {"value": 1})
    assert not left.exists()
    assert other.exists()
    assert newest_checkpoint(tmp_path, "*.pt") == tmp_path / "a[1].pt"


def whole(folder):
    """Files in each form that PyTorch reads: its own, the former one, and a bare pickle."""
    write_checkpoint(folder / "zip.pt", {"weights": torch.ones(50), "names": ["a", "b"]})
    torch.save({"weights": torch.ones(3)}, folder / "former.pt", _use_new_zipfile_serialization=False)
    (folder / "pickle.pt").write_bytes(pickle.dumps({"a": 1, "b": [1, 2]}, 2))
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_whatever_is_damaged_the_error_is_ours(tmp_path):
    """Cut short, or other bytes at any place."""
    forms, chance = whole(tmp_path), random.Random(0)
    path, told = tmp_path / "damaged.pt", []
    for _ in range(600):
        content = bytearray(chance.choice(forms))
        if chance.random() < 0.4:
            del content[chance.randrange(len(content)) :]
        else:
            for _ in range(3):
                content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            told.append(str(error))
    assert len(told) > 300
    assert all("damaged.pt" in one for one in told)
