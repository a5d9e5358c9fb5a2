"""``trainstore show --samples``, and the alerts on a run's page."""

import json

import pytest

from trainstore import TrainStore

LONG = "one\ntwo " + "words " * 100


@pytest.fixture
def told(database_url, monkeypatch):
    """A run with samples of two prompts over 12 steps, and alerts."""
    with TrainStore(database_url) as store, store.start_run(name="teller") as run:
        for step in range(0, 120, 10):
            prompts = {0: ("Once upon", f"text {step}"), 1: ("The king", LONG)}
            details = {
                f"sample/story/{nr}": dict(zip(("prompt", "completion"), pair, strict=True))
                for nr, pair in prompts.items()
            }
            details["sample/story/0"]["score"] = step / 4
            run.log({"loss": 1.0}, step=step, details=details)
        for level in ("info", "warn", "error", "info", "warn"):
            run.alert("slow", f"{level} text", level=level, step=5)
        run.alert("a last\none", "")
        store.start_run(name="empty").finish()
    monkeypatch.setenv("TRAINSTORE_URL", database_url)


def test_each_prompt_with_its_last_completions(call, told):
    """A line a step, cut to the width of the output, with what else was logged."""
    called = call("show", "teller", "--samples")
    assert (called.code, called.err) == (0, "")
    lines = called.out.splitlines()
    assert lines[0] == "story 0  Once upon"
    assert [line.split() for line in lines[1:3]] == [
        ["step", "20", "score=5", "text", "20"], ["step", "30", "score=7.5", "text", "30"],
    ]  # fmt: skip
    king = lines.index("story 1  The king")
    assert lines[king - 1] == ""
    assert lines[king + 1].startswith("   step 20  one two words words ")
    assert lines[king + 1].rstrip().endswith("…")
    assert max(map(len, lines)) <= 160
    assert lines[-1] == "(4 earlier samples are not shown; --all prints them all, and whole)"
    assert "score" not in "\n".join(lines[king:])


def test_fewer_of_each(call, told):
    """--last counts the samples of each prompt."""
    lines = call("show", "teller", "--samples", "--last", "1").out.splitlines()
    assert [line.split()[1] for line in lines if line.lstrip().startswith("step")] == ["110", "110"]
    assert lines[-1].startswith("(22 earlier samples")


def test_what_is_shown_whole_needs_no_note(call, database_url, monkeypatch, store):
    """The last line names --all only if it would show more: an earlier sample, a longer text, or a text's lines."""
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    for name, completion in (("short", "a b"), ("long", "word " * 100), ("lines", "a\nb")):
        with store.start_run(name=name) as run:
            run.log(loss=1.0, step=1, details={"sample/text/0": {"prompt": "p", "completion": completion}})
    assert call("show", "short", "--samples").out.splitlines() == ["text 0  p", "  step 1  a b", ""]
    for name in ("long", "lines"):
        assert call("show", name, "--samples").out.splitlines()[-1] == "(--all prints the texts whole)"
        assert "--all" not in call("show", name, "--samples", "--all").out


def test_all_are_whole(call, told):
    """With their lines, and nothing is said to be missing."""
    out = call("show", "teller", "--samples", "--all").out
    assert out.count("step ") == 24
    assert "…" not in out
    assert "earlier" not in out
    assert out.count("words") == 12 * 100
    assert sum(line.endswith(" one") for line in map(str.rstrip, out.splitlines())) == 12


def test_json_has_every_sample(call, told):
    """All of them, whole, as list_samples gives them."""
    found = json.loads(call("show", "teller", "--samples", "--json").out)
    assert list(found) == ["uid", "name", "samples"]
    assert len(found["samples"]) == 24
    assert found["samples"][1] == {
        "step": 0, "set": "story", "nr": 1, "prompt": "The king", "completion": LONG, "score": None,
    }  # fmt: skip


def test_a_run_without_samples(call, told):
    """Says so; and of two things that cannot be shown at once, that too."""
    assert call("show", "empty", "--samples").out == "no samples\n"
    called = call("show", "teller", "--samples", "--steps")
    assert called.code == 2
    assert "Choose --samples, or --steps" in called.err


def test_the_page_begins_with_the_last_alerts(call, told):
    """Level, title and text, with the step; the events count them all, and a run without any has no such part."""
    out = call("show", "teller").out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    place = lines.index("Alerts (1 more, see --section events)")
    assert [line.partition("step 5 ")[2] for line in lines[place + 1 : place + 5]] == [
        "warn: slow: warn text", "error: slow: error text", "info: slow: info text", "warn: slow: warn text",
    ]  # fmt: skip
    assert lines[place + 5].endswith("info: a last")
    assert lines[place + 6] == "one"
    assert place < lines.index("Metrics")
    assert "events alert (6)" in lines
    events = call("show", "teller", "--section", "events").out
    assert events.count("slow") == 5
    assert "Alerts" not in call("show", "empty").out


def test_the_page_says_that_there_are_samples(call, told):
    """In its last line, which names what else can be shown."""
    assert call("show", "teller").out.splitlines()[-1] == "More: --samples, --all, or --section metrics, events"
    assert "--samples" not in call("show", "empty").out
