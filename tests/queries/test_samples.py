"""list_samples: what a model wrote, one row a sample."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from queries.builders import Builder
from trainstore import TrainStore
from trainstore.errors import InvalidArgumentError, RunNotFoundError, UnknownNameWarning

FIXED = {"run": "object", "step": "int64", "set": "object", "nr": "int64", "prompt": "object", "completion": "object"}


def sample(completion: Any, prompt: str = "p", **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, **more}


def log(store: TrainStore, name: str, steps: dict[int, dict[str, Any]]) -> Any:
    with store.start_run(name=name) as run:
        for step, details in steps.items():
            run.log({"loss": 1.0}, step=step, details=details)
    return run


def cells(frame: pd.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    return list(frame[list(names)].itertuples(index=False, name=None))


def test_one_row_a_sample_in_order(store: TrainStore) -> None:
    """By run, step, set and number, which is a number: 10 comes after 9."""
    first = log(store, "a", {
        7: {"sample/text/10": sample("k"), "sample/text/9": sample("j"), "sample/code/0": sample("i")},
        2: {"sample/text/0": sample("h"), "other": {"prompt": "no"}},
        5: {"other": 1},
    })  # fmt: skip
    second = log(store, "b", {0: {"sample/text/0": sample("z")}})
    frame = store.list_samples([second, first])
    assert dict(frame.dtypes.astype(str)) == FIXED
    assert cells(frame, "run", "step", "set", "nr", "prompt", "completion") == [
        (first.uid, 2, "text", 0, "p", "h"),
        (first.uid, 7, "code", 0, "p", "i"),
        (first.uid, 7, "text", 9, "p", "j"),
        (first.uid, 7, "text", 10, "p", "k"),
        (second.uid, 0, "text", 0, "p", "z"),
    ]


def test_what_else_was_logged_is_a_column(store: TrainStore) -> None:
    """Numbers are float64, NaN where a sample has none; anything else is an object. Our own names get a prefix."""
    more = {"score": 2, "ok": True, "step": 5, "sample__x": "y", "attempt": 1}
    run = log(store, "a", {0: {"sample/t/0": sample("x", **more), "sample/t/1": sample("y", score=math.inf)}})
    frame = store.list_samples(run)
    others = dict(frame.dtypes.astype(str)[len(FIXED) :])
    assert others == {
        "sample__attempt": "float64", "ok": "object", "sample__sample__x": "object", "score": "float64",
        "sample__step": "float64",
    }  # fmt: skip
    assert frame["score"].tolist() == [2.0, math.inf]
    assert frame["ok"].tolist() == [True, None]
    assert repr(frame["sample__step"].tolist()) == "[5.0, nan]"


def test_no_sample_keeps_the_columns(store: TrainStore) -> None:
    """A run without samples, and no run at all, are an empty frame of the same dtypes."""
    run = log(store, "a", {0: {"sampled/text/0": sample("x"), "about": 'the key "sample/text/0"'}})
    for runs in (run, []):
        frame = store.list_samples(runs)
        assert len(frame) == 0
        assert dict(frame.dtypes.astype(str)) == FIXED
    assert dict(store.list_samples(run, attempts="all").dtypes.astype(str)) == {**FIXED, "attempt": "int64"}


def test_any_value_is_a_sample(store: TrainStore) -> None:
    """A text alone is the completion; a prompt may be a chat; what is missing is None; a long text stays whole."""
    chat = [{"role": "user", "content": "hi"}]
    values = ["alone", {"completion": "c"}, {"prompt": chat, "completion": "x" * 200_000}, 5]
    run = log(store, "a", {0: {f"sample/t/{nr}": value for nr, value in enumerate(values)}})
    assert cells(store.list_samples(run), "prompt", "completion") == [
        (None, "alone"), (None, "c"), (chat, "x" * 200_000), (None, 5),
    ]  # fmt: skip


@pytest.mark.parametrize("of_set", ["a/b", 'say "x"', "back\\slash", "Ünï 🦆", "100%", "a.b", " "])
def test_a_set_has_any_name(store: TrainStore, of_set: str) -> None:
    """Slashes and quotes too; it is found by that name."""
    run = log(store, "a", {0: {f"sample/{of_set}/0": sample("x"), "sample/other/0": sample("y")}})
    assert cells(store.list_samples(run, name=of_set), "set", "nr", "completion") == [(of_set, 0, "x")]


def test_what_only_looks_like_a_sample_is_none(store: TrainStore) -> None:
    """A key needs a set and a number."""
    keys = [
        "sample/text",
        "sample/text/x",
        "sample/text/-1",
        "sample/text/",
        "sample//0",
        "sample/text/²",
        "x/sample/t/0",
    ]
    run = log(store, "a", {0: dict.fromkeys(keys, sample("no"))})
    assert len(store.list_samples(run)) == 0


def test_samples_of_a_step_merge(store: TrainStore) -> None:
    """They may be logged one by one, and after the metrics; logged again, the last one counts."""
    with store.start_run(name="a") as run:
        run.log({"loss": 1.0}, step=3)
        run.log(step=3, details={"sample/t/0": sample("old")})
        run.log(step=3, details={"sample/t/1": sample("b")})
        run.log(step=3, details={"sample/t/0": sample("new")})
    assert cells(store.list_samples(run), "step", "nr", "completion") == [(3, 0, "new"), (3, 1, "b")]
    assert store.list_step_logs(run)["loss"].tolist() == [1.0]


def test_one_set_or_several(store: TrainStore) -> None:
    """A name, or a list of names; an empty list matches nothing."""
    run = log(store, "a", {0: {f"sample/{of_set}/0": sample(of_set) for of_set in "abc"}})
    assert store.list_samples(run, name="b")["set"].tolist() == ["b"]
    assert store.list_samples(run, name=["c", "a"])["set"].tolist() == ["a", "c"]
    assert store.list_samples(run, name=[])["set"].tolist() == []


def test_the_current_history_or_every_attempt(store: TrainStore) -> None:
    """Samples of superseded steps are hidden, and shown with their attempt if asked for."""
    with store.start_run(name="a") as run:
        for step in range(3):
            run.log(step=step, details={"sample/t/0": sample(f"first {step}")})
    with store.resume_run("a", step=0) as run:
        run.log(step=1, details={"sample/t/0": sample("second 1")})
    assert cells(store.list_samples("a"), "step", "completion") == [(0, "first 0"), (1, "second 1")]
    every = store.list_samples("a", attempts="all")
    assert list(every.columns) == ["run", "step", "attempt", "set", "nr", "prompt", "completion"]
    assert cells(every, "step", "attempt", "completion") == [
        (0, 1, "first 0"), (1, 1, "first 1"), (1, 2, "second 1"), (2, 1, "first 2"),
    ]  # fmt: skip


def test_a_secret_in_a_sample_is_not_stored(store: TrainStore) -> None:
    """As in all details."""
    run = log(store, "a", {0: {"sample/t/0": sample(f"hf_{'a1B2' * 9}")}})
    assert store.list_samples(run)["completion"].tolist() == ["[redacted]"]


def test_bad_arguments_are_named(store: TrainStore) -> None:
    """With the value that was given; an unknown set warns with the closest names, once."""
    run = log(store, "a", {0: {"sample/story/0": sample("x")}})
    with pytest.raises(InvalidArgumentError, match="name 5 is not"):
        store.list_samples(run, name=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="'some' is neither"):
        store.list_samples(run, attempts="some")
    with pytest.raises(RunNotFoundError):
        store.list_samples("gone")
    with pytest.warns(UnknownNameWarning, match=r"no samples called 'stori'; did you mean story\?"):
        assert len(store.list_samples(run, name="stori")) == 0
    assert len(store.list_samples(run, name="stori")) == 0


def test_rows_without_a_view(builder: Builder) -> None:
    """A run of one attempt, read straight from the table, and several runs, through the view, give the same."""
    from trainstore.queries import list_samples

    uids = [builder.run(name, steps={0: {"loss": 1}}) for name in "ab"]
    for uid in uids:
        builder.step(builder.run_id(uid), 4, {}, details={"sample/t/0": sample("x")})
    with builder.reader() as reader:
        both = list_samples(reader, uids)
        alone = [list_samples(reader, uid) for uid in uids]
    pd.testing.assert_frame_equal(both, pd.concat(alone, ignore_index=True))
    assert both["run"].tolist() == uids
