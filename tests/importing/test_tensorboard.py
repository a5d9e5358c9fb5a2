"""TensorBoard's event files: which runs and sessions they are, and that every point is there, whatever their state."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importing.reading import SAMPLES, entries_of, hyperparams, runs_of, truth, unread_of
from importing.writers import Single, event, frame, proto, scalar, start, tensor, text, version
from trainstore.errors import SourceError
from trainstore.importing import tensorboard
from trainstore.importing.foreign import Entry, ForeignRun, Hyperparams, Step
from trainstore.importing.places import Place

NAME = "events.out.tfevents.1780000000.host"
T = 1_780_000_000.0


def runs(source: Path, **options: Any) -> dict[str, ForeignRun]:
    return runs_of(tensorboard, source, **options)


def points(entries: Iterable[Entry]) -> list[tuple[str, int, Any]]:
    """Metric, step and value of each point, in their order; NaN and infinities as text."""
    return [
        (name, entry.step, value if math.isfinite(value) else str(value))
        for entry in entries
        if isinstance(entry, Step)
        for name, value in entry.metrics.items()
    ]


def texts(entries: Iterable[Entry]) -> list[list[Any]]:
    """Key, step and content of each text."""
    steps = [entry for entry in entries if isinstance(entry, Step) and entry.details]
    return [[key, step.step, content] for step in steps for key, content in (step.details or {}).items()]


def write(folder: Path, *events: bytes, name: str = NAME) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(b"".join(events))
    return path


def series(begin: int, end: int, *, at: float = T, tag: str = "loss") -> list[bytes]:
    return [event(at + step, step, scalar(tag, 1 / (step + 1))) for step in range(begin, end)]


def test_the_sample_s_runs_have_every_point_of_the_truth() -> None:
    """Runs, points, times, texts, hyperparameters, sessions and what is torn are as the sample's makers logged them."""
    found = runs(SAMPLES / "tensorboard" / "runs")
    assert set(found) == {run["source_id"] for run in truth("tensorboard")}
    for run in truth("tensorboard"):
        name = run["source_id"]
        entries = entries_of(found[name])
        words = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}
        expected = [(tag, step, words.get(value, value), at) for tag, step, value, at in run["points"]]
        timed = [
            (*point, entry.at / 1e6 if expected[0][3] else None)
            for entry in entries
            if isinstance(entry, Step)
            for point in points([entry])
        ]
        assert sorted(map(str, timed)) == sorted(map(str, expected)), name
        assert hyperparams(entries) == run["params"]
        assert texts(entries) == [[f"sample/{tag}/0", step, text] for tag, step, text in run.get("texts", [])]
    assert [session.opening() for session in found["resumed"].sessions] == [-1, 20]
    assert found["hparams/trial-1"].parent == found["hparams"].identity
    (torn,) = found["torn"].sessions
    assert list(torn.entries())
    assert torn.damage == ["its last record is torn (byte 836 of 869)"]


def test_it_is_known_by_the_names_of_its_files(tmp_path: Path) -> None:
    """A folder with event files somewhere below, or one such file, is TensorBoard's; another is not."""
    (tmp_path / "metrics.csv").write_text("step,loss\n")
    assert not tensorboard.is_at(Place.of(tmp_path))
    path = write(tmp_path / "a" / "b", version(T))
    assert tensorboard.is_at(Place.of(tmp_path))
    assert tensorboard.is_at(Place.of(path))


def test_moving_a_folder_changes_no_identity_and_a_copy_is_a_run_of_its_own(tmp_path: Path) -> None:
    """A run is known by its first file's name and time; a copied folder beside it is another run."""
    write(tmp_path / "one" / "a", version(T), *series(0, 3))
    (before,) = runs(tmp_path / "one").values()
    (tmp_path / "one").rename(tmp_path / "two")
    (after,) = runs(tmp_path / "two").values()
    assert after.identity == before.identity
    assert after.sessions[0].identity == before.sessions[0].identity
    write(tmp_path / "two" / "b", version(T), *series(0, 5))
    copied = runs(tmp_path / "two")
    assert copied["a"].identity == before.identity
    assert copied["b"].identity != before.identity


def test_a_single_file_is_a_run_named_after_its_folder(tmp_path: Path) -> None:
    """The file's own name would say nothing."""
    path = write(tmp_path / "resnet", version(T), *series(0, 3))
    ((name, run),) = runs(path).items()
    assert (name, run.project, len(points(entries_of(run)))) == ("resnet", "resnet", 3)


@pytest.mark.parametrize("kind", ["float32", "float64", "packed", "content"])
def test_scalars_may_be_tensors(tmp_path: Path, kind: str) -> None:
    """torch's new style, TensorFlow 2, and double precision: tensors without dimensions, told as scalars once only."""

    def value(number: float, first: bool) -> bytes:
        body = {
            "float32": ((1, 1), (5, Single(number))),
            "float64": ((1, 2), (6, number)),
            "packed": ((1, 1), (2, b""), (5, struct.pack("<f", number))),
            "content": ((1, 2), (2, b""), (4, struct.pack("<d", number))),
        }[kind]
        return tensor("loss", proto(*body)) if first else proto((1, "loss"), (8, proto(*body)))

    numbers = [0.0, 0.5, 0.5, math.nan, -math.inf, 0.1, 0.0]
    write(tmp_path, version(T), *(event(T + s, s, value(number, s == 0)) for s, number in enumerate(numbers)))
    read = points(entries_of(runs(tmp_path)[tmp_path.name]))
    single = kind in ("float32", "packed")
    expected = [struct.unpack("<f", struct.pack("<f", number))[0] if single else number for number in numbers]
    assert [value for _, _, value in read] == [v if math.isfinite(v) else str(v) for v in expected]


def test_a_metric_that_is_always_zero_is_read(tmp_path: Path) -> None:
    """The place of a value in an event's bytes is found by trying, not by looking for the value."""
    tags = ["\0\0\0\0", "zero", "x" * 300]
    write(tmp_path, version(T), *(event(T, s, scalar(tag, 0.0)) for s in range(300) for tag in tags))
    (run,) = runs(tmp_path).values()
    assert points(entries_of(run)) == [(tag, step, 0.0) for step in range(300) for tag in tags]


def test_values_of_one_step_are_one_entry_and_a_value_again_is_another(tmp_path: Path) -> None:
    """Events of a step that follow each other come as one; no value is overwritten."""
    write(
        tmp_path,
        version(T),
        *(event(T + s, s, scalar(tag, s)) for s in (0, 1) for tag in ("a", "b")),
        event(T + 2, 1, scalar("a", 7.0)),
        event(T + 3, 1, scalar("a", 8.0), scalar("b", 9.0), scalar("a", 10.0)),
    )
    (run,) = runs(tmp_path).values()
    steps = [(entry.step, entry.metrics) for entry in entries_of(run) if isinstance(entry, Step)]
    assert steps == [
        (0, {"a": 0.0, "b": 0.0}),
        (1, {"a": 1.0, "b": 1.0}),
        (1, {"a": 7.0}),
        (1, {"a": 8.0, "b": 9.0}),
        (1, {"a": 10.0}),
    ]


def test_what_is_no_number_is_counted(tmp_path: Path) -> None:
    """Images, audio, histograms, graphs, meshes and long texts are counted by what they are; numbers stay."""
    vector = proto((1, 1), (2, proto((2, proto((1, 3))))), (4, bytes(12)))
    image, histogram, audio = [proto((1, "x"), (kind, b"")) for kind in (4, 5, 6)]
    write(
        tmp_path,
        version(T),
        event(T, 0, image, histogram, audio, scalar("loss", 1.0)),
        event(T, 1, tensor("pr", vector, "pr_curves"), tensor("m", vector, "mesh"), proto((1, "t"), (8, vector))),
        event(
            T, 2, text("short", "a text"), text("long", "x" * 20_000), text("lines", "a", "b"), proto((1, "nothing"))
        ),
        event(T, -3, scalar("loss", 1.0)),
        frame(proto((1, T), (4, b"graph"))),
        frame(proto((1, T), (8, b"run metadata"))),
    )
    (run,) = runs(tmp_path).values()
    entries = entries_of(run)
    assert points(entries) == [("loss", 0, 1.0)]
    assert texts(entries) == [
        ["sample/short/0", 2, "a text"],
        ["sample/lines/0", 2, "a"],
        ["sample/lines/1", 2, "b"],
    ]
    assert run.sessions[0].left_out == {
        "image": 1,
        "histogram": 1,
        "audio": 1,
        "pr_curves": 1,
        "mesh": 1,
        "tensor": 1,
        "long text": 1,
        "unknown value": 1,
        "number at a negative step": 1,
        "graph": 1,
        "run metadata": 1,
    }
    assert run.sessions[0].damage == []


def test_a_trainer_s_arguments_become_hyperparameters(tmp_path: Path) -> None:
    """transformers writes a training's arguments as a text that holds JSON; other texts stay texts."""
    write(
        tmp_path,
        version(T),
        event(T, 0, text("args/text_summary", json.dumps({"learning_rate": 5e-5, "optim_args": None}))),
        event(T, 0, text("model_config/text_summary", "{}")),
        event(T, 0, text("args/text_summary", "{not JSON")),
    )
    (run,) = runs(tmp_path).values()
    first, *others = entries_of(run)
    assert isinstance(first, Hyperparams)
    assert first.values == {"learning_rate": 5e-5, "optim_args": None}
    assert [key for key, _, _ in texts(others)] == ["sample/model_config/0", "sample/args/0"]


def restarted(folder: Path, *events: bytes, name: str = NAME + ".2") -> list[int | None]:
    write(folder, *events, name=name)
    (run,) = runs(folder).values()
    return [session.opening() for session in run.sessions]


def test_a_file_that_begins_with_start_supersedes_what_follows(tmp_path: Path) -> None:
    """``purge_step=8`` keeps steps up to 7, ``purge_step=0`` keeps none."""
    write(tmp_path, version(T), *series(0, 10))
    assert restarted(tmp_path, version(T + 50), start(T + 50, 8), *series(8, 9, at=T + 50)) == [-1, 7]
    assert restarted(tmp_path, version(T + 50), start(T + 50, 0)) == [-1, -1]


def test_a_training_that_was_started_again_supersedes_what_follows_its_first_step(tmp_path: Path) -> None:
    """Without START: the file before is written no more, the steps overlap, and the tag was logged before."""
    write(tmp_path, version(T), *series(0, 26))
    assert restarted(tmp_path, version(T + 50), *series(20, 36, at=T + 50)) == [-1, 20]


@pytest.mark.parametrize(
    ("began", "events"),
    [
        (T + 5, series(3, 26, at=T + 5)),  # the first file is written to until T + 25
        (T + 50, series(26, 36, at=T + 50)),  # goes on where the first ended
        (T + 50, series(25, 26, at=T + 50)),  # an evaluation after the last step
        (T + 50, series(0, 26, at=T + 50, tag="test/accuracy")),  # other metrics of the same steps
    ],
)
def test_a_file_that_continues_or_accompanies_another_joins_it(
    tmp_path: Path, began: float, events: list[bytes]
) -> None:
    """Ranks side by side, a training that goes on, and an evaluation supersede nothing."""
    write(tmp_path, version(T), *series(0, 26))
    assert restarted(tmp_path, version(began), *events) == [-1, None]


def test_a_later_file_is_a_session_once_its_beginning_decides_how_it_opens(tmp_path: Path) -> None:
    """Until a second file has its first scalar, it is not told; an empty or torn first one is no run yet."""
    write(tmp_path, version(T), *series(0, 10))
    assert restarted(tmp_path, version(T + 50)) == [-1]
    why = "has no number yet that would tell whether it resumes the files before it"
    assert unread_of(tensorboard, tmp_path) == {f"{NAME}.2": why}
    assert restarted(tmp_path, version(T + 50), *series(5, 6, at=T + 50)) == [-1, 5]
    write(tmp_path / "empty")
    write(tmp_path / "torn", version(T)[:-3], name=NAME)
    assert len(runs(tmp_path)) == 1
    assert set(unread_of(tensorboard, tmp_path)) == {f"empty/{NAME}", f"torn/{NAME}"}


def test_curves_and_hyperparameters_in_subfolders_join_their_parent_if_asked(tmp_path: Path) -> None:
    """``add_scalars`` and ``add_hparams`` make a folder each; merged, their tags say which."""
    write(tmp_path / "r", version(T), *series(0, 3))
    write(tmp_path / "r" / "rates_lr_low", version(T + 1), *series(0, 3, tag="rates/lr"))
    write(tmp_path / "r" / "rates_lr_high/er", version(T + 1), *series(0, 2, tag="rates/lr"), name=NAME + ".2")
    write(tmp_path / "r" / "later", version(T + 1), *series(0, 2))
    pair = proto((1, "lr"), (2, proto((2, 0.5))))
    info = proto((3, proto((1, pair))))
    hparams = tensor("_hparams_/session_start_info", b"", "hparams", info)
    write(tmp_path / "r" / "1780000000.5", version(T + 2), event(T, 0, hparams), event(T, 0, scalar("hp/acc", 0.5)))
    write(tmp_path / "r" / "trial", version(T + 3), event(T, 0, hparams))
    write(tmp_path / "r" / "undecided", version(T + 3))
    apart = runs(tmp_path)
    assert sorted(apart) == sorted(
        ["r", "r/rates_lr_low", "r/rates_lr_high/er", "r/later", "r/1780000000.5", "r/trial", "r/undecided"]
    )
    assert {run.parent for name, run in apart.items() if name != "r"} == {apart["r"].identity}
    merged = runs(tmp_path, merge_subfolders=True)
    assert sorted(merged) == ["r", "r/later", "r/trial"]
    run = merged["r"]
    assert [session.opening() for session in run.sessions] == [-1, None, None, None]
    entries = entries_of(run)
    assert {name for name, _, _ in points(entries)} == {"loss", "rates/lr/low", "rates/lr/high/er", "hp/acc"}
    assert [entry.values for entry in entries if isinstance(entry, Hyperparams)] == [{"lr": 0.5}]


def test_keras_s_validation_joins_its_training_if_asked(tmp_path: Path) -> None:
    """Keras writes a folder for the training's curves and one for the validation's; merged, they are one run."""
    for folder in ("m/fit", "other"):
        write(tmp_path / folder / "train", version(T), *series(0, 3, tag="epoch_loss"))
        write(tmp_path / folder / "validation", version(T + 1), *series(0, 3, tag="epoch_loss"))
    write(tmp_path / "alone" / "validation", version(T), *series(0, 3))
    apart = runs(tmp_path)
    assert len(apart) == 5
    merged = runs(tmp_path, merge_subfolders=True)
    assert sorted(merged) == ["alone/validation", "m/fit", "other"]
    assert merged["other"].identity == apart["other/train"].identity
    assert [session.opening() for session in merged["other"].sessions] == [-1, None]
    assert {name for name, _, _ in points(entries_of(merged["m/fit"]))} == {"epoch_loss", "validation/epoch_loss"}


def test_reading_goes_on_after_any_entry_and_after_any_cut(tmp_path: Path) -> None:
    """Whatever part of a file is there when it is read: its points, and those read on after them, are all points."""
    vector = proto((1, 1), (2, proto((2, proto((1, 3))))))
    data = b"".join(
        [
            version(T),
            *series(0, 4),
            event(T, 4, scalar("a", 1.0), text("t", "one"), text("u", "two")),
            event(T, 4, text("t", "three")),
            event(T, 4, text("t", "four")),
            event(T, 4, tensor("x", vector, "mesh"), tensor("loss", proto((1, 2), (6, 0.1)))),
            *(event(T, 5, scalar(tag, 5.0)) for tag in "abcd"),
            *series(5, 8),
        ]
    )
    write(tmp_path, data)
    (run,) = runs(tmp_path).values()
    whole = entries_of(run)
    for entry in whole:
        rest = list(run.sessions[0].entries(entry.position))
        assert rest == [other for other in whole if other.position > entry.position]
    for cut in range(len(version(T)), len(data)):
        write(tmp_path, data[:cut])
        (begun,) = runs(tmp_path).values()
        before = entries_of(begun)
        after = list(run.sessions[0].entries(before[-1].position if before else 0)) if write(tmp_path, data) else []
        assert sorted(points(before + after)) == sorted(points(whole))
        assert texts(before + after) == texts(whole)
        assert begun.identity == run.identity


@given(st.data())
def test_no_bytes_of_an_event_raise(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Events whose bytes were changed behind a right checksum are read, counted, or told as damage."""
    folder = tmp_path_factory.mktemp("hostile")
    content = proto((3, proto((1, proto((1, "lr"), (2, proto((2, 0.5))))))))
    values = [
        scalar("loss", 1.0),
        text("t", "a"),
        tensor("h", b"", "hparams", content),
        tensor("x", proto((1, 2), (6, 0.1))),
    ]
    payloads = [event(T, 1, value)[12:-4] for value in values] + [start(T, 2)[12:-4], version(T)[12:-4]]
    changed = []
    for payload in data.draw(st.lists(st.sampled_from(payloads), max_size=8)):
        mutable = bytearray(payload)
        for _ in range(data.draw(st.integers(0, 3))):
            mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
        changed.append(frame(bytes(mutable[: data.draw(st.integers(0, len(mutable)))])))
    write(folder, version(T), *changed, data.draw(st.binary(max_size=30)))
    (run,) = runs(folder).values()
    entries_of(run)
    assert run.sessions[0].opening() == -1


def test_hyperparameters_that_are_nested_without_end_are_damage(tmp_path: Path) -> None:
    """A value within a value is followed for 64 levels; deeper ones are told, and what follows is read."""

    def nested(depth: int) -> bytes:
        value = proto((2, 1.0))
        for _ in range(depth):
            value = proto((6, proto((1, value))))
        content = proto((3, proto((1, proto((1, "x"), (2, value))))))
        return event(T, 0, tensor("_hparams_/session_start_info", b"", "hparams", content))

    write(tmp_path, version(T), nested(10), nested(3_000), *series(0, 1))
    (run,) = runs(tmp_path).values()
    first, step = entries_of(run)
    assert str(hyperparams([first])["x"]) == "[" * 10 + "1.0" + "]" * 10
    assert isinstance(step, Step)
    assert run.sessions[0].damage == [f"the record at byte {len(version(T) + nested(10))} is no event"]


def test_a_time_that_is_none_becomes_the_file_s(tmp_path: Path) -> None:
    """NaN, infinite, negative and far times do not reach the store."""
    times = [math.nan, math.inf, -1.0, 0.0, 1e300]
    path = write(tmp_path, version(T), *(event(at, step, scalar("loss", 1.0)) for step, at in enumerate(times)))
    (run,) = runs(tmp_path).values()
    modified = path.stat().st_mtime_ns // 1_000
    assert [entry.at for entry in entries_of(run) if isinstance(entry, Step)] == [modified] * 5


def test_sources_without_anything_to_read_say_so(tmp_path: Path) -> None:
    """No event files, compressed ones, and files that only have such a name."""
    with pytest.raises(SourceError, match="holds no event files"):
        runs(tmp_path)
    write(tmp_path, b"x", name=NAME + ".gz")
    with pytest.raises(SourceError, match=r"tfevents.*\.gz is compressed; unpack it first"):
        runs(tmp_path)
    with pytest.raises(SourceError, match=r"tfevents.* holds no whole event; it has just begun, or is no"):
        runs(write(tmp_path / "text", b"no event file, but a text" * 10))


def test_files_that_are_not_read_are_named_beside_those_that_are(tmp_path: Path) -> None:
    """A compressed file and one that is no event file do not keep the others from being read."""
    write(tmp_path / "a", version(T), *series(0, 3))
    write(tmp_path / "a", b"x", name=NAME + ".gz")
    write(tmp_path / "b", b"no event file, but a text" * 10)
    assert unread_of(tensorboard, tmp_path) == {
        f"a/{NAME}.gz": "is compressed; unpack it first",
        f"b/{NAME}": "holds no whole event; it has just begun, or is no event file",
    }
    assert list(runs(tmp_path)) == ["a"]


@pytest.fixture(scope="module")
def torch_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from torch.utils.tensorboard import SummaryWriter

    folder = tmp_path_factory.mktemp("torch")
    with SummaryWriter(folder / "run") as writer:  # type: ignore[no-untyped-call]
        for step in range(0, 1_000, 7):
            writer.add_scalar("loss", 1 / (step + 1), step)  # type: ignore[no-untyped-call]
            writer.add_scalar("new", step / 3, step, new_style=True)  # type: ignore[no-untyped-call]
            writer.add_scalar("double", 0.1, step, new_style=True, double_precision=True)  # type: ignore[no-untyped-call]
        writer.add_scalars("group", {"a": 1.0, "b": 2.0}, 3)  # type: ignore[no-untyped-call]
        writer.add_hparams({"lr": 0.1, "name": "x", "flag": True}, {"acc": 0.5})  # type: ignore[no-untyped-call]
    return folder


def test_torch_s_files_are_read_as_tensorboard_reads_them(torch_folder: Path) -> None:
    """Every scalar that TensorBoard's own reader finds in torch's files is found, with the same value and time."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    found = runs(torch_folder)
    assert len(found) == 4
    for name, run in found.items():
        theirs = EventAccumulator(str(torch_folder / name), size_guidance={"scalars": 0, "tensors": 0})  # type: ignore[no-untyped-call]
        theirs.Reload()  # type: ignore[no-untyped-call]
        tags = theirs.Tags()  # type: ignore[no-untyped-call]
        expected = [(tag, e.step, e.value) for tag in tags["scalars"] for e in theirs.Scalars(tag)]  # type: ignore[no-untyped-call]
        for tag in tags["tensors"]:
            expected += [
                (tag, e.step, tensor_util.make_ndarray(e.tensor_proto).item())  # type: ignore[no-untyped-call]
                for e in theirs.Tensors(tag)  # type: ignore[no-untyped-call]
            ]
        assert sorted(points(entries_of(run))) == sorted(expected)
    assert any(step for _, step, _ in points(entries_of(found["run"])))


def test_torch_s_subfolders_are_merged(torch_folder: Path) -> None:
    """``add_scalars`` and ``add_hparams`` of torch itself are known."""
    ((name, run),) = runs(torch_folder, merge_subfolders=True).items()
    entries = entries_of(run)
    assert name == "run"
    assert {metric for metric, _, _ in points(entries)} == {"loss", "new", "double", "group/a", "group/b", "acc"}
    assert [entry.values for entry in entries if isinstance(entry, Hyperparams)] == [
        {"lr": 0.1, "name": "x", "flag": True}
    ]


def test_what_is_not_kept_has_an_end_and_can_be_printed(tmp_path: Path) -> None:
    """A file that names ten thousand plugins is told in a few lines, without control characters."""
    write(tmp_path, version(T), *(event(T, 0, tensor("x", b"\x08\x03", f"\x1b[31m{name}")) for name in range(10_000)))
    (run,) = runs(tmp_path).values()
    assert entries_of(run) == []
    left_out = run.sessions[0].left_out
    assert sum(left_out.values()) == 10_000
    assert len(left_out) <= 31
    assert all(name.isprintable() for name in left_out)
