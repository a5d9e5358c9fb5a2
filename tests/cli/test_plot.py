"""``trainstore plot``, and the charts that it draws over each other."""

import io
import json
import math
import sys

import pytest

from trainstore import TrainStore
from trainstore.cli import main
from trainstore.cli.chart import LINE_MARKS, MARK, chart


def rows(drawn):
    return ["".join(text for text, _ in cells) for cells in drawn.cells]


def test_lines_share_their_axes():
    """The scale is that of all; each character knows which line drew it."""
    falling, rising = [(x, 10.0 - x) for x in range(11)], [(x, float(x)) for x in range(11, 21)]
    drawn = chart([falling, rising], width=60, height=8)
    assert (drawn.left[0].split()[0], drawn.left[-1].split()[0]) == ("20", "0")
    assert drawn.below[-1].split() == ["0", "20"]
    numbers = [[number for _, number in cells] for cells in drawn.cells]
    assert numbers[0][-1] == 1
    assert {number for cells in numbers for number in cells[:25]} == {-1, 0}


def test_each_line_ends_beside_its_mark():
    """On the right; where two end together, in the nearest row."""
    lines = [[(0, 0.0), (1, 1.0)], [(0, 1.0), (1, 1.0)], [(0, 0.0), (1, 0.0)]]
    ends = [row[-1] for row in rows(chart(lines, width=40, height=4))]
    assert ends == [LINE_MARKS[0], LINE_MARKS[1], " ", LINE_MARKS[2]]
    assert rows(chart(lines[:1], width=40, height=4))[0][-1] not in LINE_MARKS


def test_marks_take_the_place_of_dots():
    """Then no character is outside ASCII."""
    drawn = chart([[(0, 0.0), (1, 1.0)], [(0, 1.0), (1, 0.0)]], width=40, height=6, marks=True)
    text = "".join(rows(drawn))
    assert text.isascii()
    assert {*LINE_MARKS[:2], " "} == set(text)


def test_a_logarithmic_axis_has_equal_decades():
    """Values up to 0 are left out, labels are the values themselves, NaN is marked."""
    drawn = chart([[(0, 1.0), (1, 10.0), (2, 100.0), (3, 0.0), (4, math.nan)]], width=40, height=9, log=True)
    assert [drawn.left[row].split()[0] for row in (0, 4, 8)] == ["100", "10", "1"]
    assert drawn.below[0].endswith(MARK)


# --- The command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(database_url, monkeypatch):
    with TrainStore(database_url) as store:
        for name, factor in (("slow", 1.0), ("fast", 2.0)):
            with store.start_run(name=name, hyperparams={"lr": factor}) as run:
                for step in range(40):
                    metrics = {"loss": math.nan if name == "fast" and step == 20 else 1 / (1 + factor * step)}
                    if step % 20 == 19:
                        metrics["eval_loss"] = factor
                    run.log(metrics, step=step, epoch=step / 10)
        store.start_run(name="empty").finish()
    monkeypatch.setenv("TRAINSTORE_URL", database_url)


class Terminal(io.StringIO):
    """Standard output as a terminal of 80 columns."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Calls the command at a terminal with colours; gives the exit code and what was written to it."""
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "40", "COLORTERM": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*arguments):
        stream = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            with pytest.raises(SystemExit) as ended:
                main(list(arguments))
        return ended.value.code, stream.getvalue()

    return run


def test_plot_draws_runs_over_each_other(call, runs):
    """In a pipe each line is made of its mark, and no colour is written; a legend names the runs."""
    code, out, err = call("plot", "slow", "fast", "--metric", "loss")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert out.startswith("loss over step\n")
    assert out.count("└") == 1
    assert "  o slow  last 0.025\n" in out
    assert f"  x fast  last 0.0126582  ({MARK} 1 of 40 values are NaN or infinite)\n" in out
    chart_rows = [line.partition("│")[2] for line in out.splitlines() if "│" in line]
    assert {"o", "x", " "} == set("".join(chart_rows))


def test_without_arguments_plot_shows_the_loss_of_the_newest_runs(call, runs):
    """Runs without it are left out."""
    out = call("plot").out
    assert out.startswith("loss over step")
    assert [line.split()[1] for line in out.splitlines() if line.startswith(("  o", "  x"))] == ["fast", "slow"]
    assert "empty" not in out


def test_filters_choose_the_runs(call, runs, database_url):
    """The newest of those that match and have the metric; what is wrong is said."""
    out = call("plot", "--hp", "lr>1", "--metric", "loss").out
    assert "fast" in out
    assert "slow" not in out
    with TrainStore(database_url) as store:
        for number in range(12):
            with store.start_run(project="many", name=f"n{number}") as run:
                run.log({"loss": number}, step=0)
    out = call("plot", "--project", "many").out
    assert "the 10 newest of 12 runs" in out
    assert [name for name in ("n0", "n1", "n2", "n11", "slow") if f" {name} " in out] == ["n2", "n11"]
    shown = json.loads(call("plot", "--where", "name in (n1, n2)", "--json").out)
    assert [curve["label"] for curve in shown] == ["n2", "n1"]
    assert "no run matches" in call("plot", "--status", "failed").err
    called = call("plot", "--project", "mnay")
    assert called.err.startswith("Warning: there is no project 'mnay'; did you mean many?\nError: no run matches")
    called = call("plot", "--project", "many", "--metric", "eval_loss")
    assert "none of these runs has numbers of the metric 'eval_loss'" in called.err
    assert "not both" in call("plot", "slow", "--project", "many").err


def test_one_run_is_drawn_with_dots(call, runs):
    """Finer than marks, which it does not need; of a sparse metric too."""
    out = call("plot", "slow", "--metric", "eval_loss", "--metric", "loss").out
    assert out.count("└") == 2
    assert any("\u2801" <= character <= "\u28ff" for character in out)
    assert "o slow" not in out


@pytest.mark.parametrize(("x", "label"), [("epoch", "epoch"), ("time", "time (UTC)"), ("relative", "start (s)")])
def test_plot_over_epochs_and_times(call, runs, x, label):
    """The axis says what it is, and ends in its values."""
    lines = call("plot", "slow", "--x", x).out.splitlines()
    assert lines[0].endswith(label)
    ends = next(lines[place + 1] for place, line in enumerate(lines) if "└" in line)
    assert (ends.split() == ["0", "3.9"]) == (x == "epoch")
    assert all(word[:2] == "20" or word.count(":") == 2 for word in ends.split()) == (x == "time")


def test_plot_groups_smooths_and_takes_logarithms(call, runs):
    """As store.plot does."""
    out = call("plot", "--group-by", "lr", "--smoothing", "0.5", "--log").out
    assert "loss over step, logarithmic" in out
    assert "lr=1" in out
    assert "lr=2" in out


def test_plot_as_json(call, runs):
    """The points of each line, NaN as text."""
    (curve,) = json.loads(call("plot", "fast", "--metric", "loss", "--json").out)
    assert (curve["metric"], curve["label"], curve["x_label"]) == ("loss", "fast", "step")
    assert curve["steps"] == list(range(40))
    assert curve["values"][20] == "NaN"
    assert curve["values"][1] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_plot_writes_a_picture(call, runs, tmp_path, ending, start):
    """By its ending; a file that is there is kept unless --force is given."""
    path = tmp_path / f"loss.{ending}"
    assert call("plot", "--metric", "loss", "--metric", "eval_loss", "-o", path).out == f"{path}: 4 lines\n"
    assert path.read_bytes().startswith(start)
    again = call("plot", "-o", path)
    assert (again.code, "already exists; --force overwrites it" in again.err) == (1, True)
    assert call("plot", "-o", path, "--force").code == 0
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith((".", "loss"))] == [path.name]


def test_a_terminal_gets_colours_and_dots(runs, terminal):
    """Each line in its own colour, ending beside its mark, within the width."""
    code, out = terminal("plot", "slow", "fast", "--metric", "loss")
    assert code == 0
    assert "\x1b[36m" in out
    assert "\x1b[33m" in out
    assert any("\u2801" <= character <= "\u28ff" for character in out)


def test_watch_draws_again_until_it_is_interrupted(runs, terminal, monkeypatch, database_url):
    """What was logged meanwhile is in the next drawing; Ctrl-C ends it with exit code 130."""
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt
        with TrainStore(database_url) as store, store.start_run(name="third") as run:
            run.log({"loss": 0.5}, step=0)

    monkeypatch.setattr("trainstore.cli.plot.sleep", wait)
    code, out = terminal("plot", "--metric", "loss", "--watch")
    assert (code, waits) == (130, [2.0, 2.0])
    before, _, after = out.partition("third")
    assert "slow" in before
    assert "slow" in after


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--watch",), 2, "--watch draws again and again in a terminal, which standard output is not"),
        (("--watch", "-o", "x.png"), 2, "leave out --output and --json"),
        (("-o", "x.gif"), 2, "x.gif: its ending is not one of .png, .svg and .pdf"),
        (("--smoothing", "1"), 2, "--smoothing"),
        (("--x", "steps"), 2, "'steps'"),
        (("--metric", "los"), 1, "did you mean loss?"),
        (("empty",), 1, "there are no metrics to plot"),
        (("nobody",), 1, "there is no run 'nobody'"),
        (("--group-by", "lrr"), 1, "did you mean lr?"),
        (("-o", "nowhere/x.png"), 1, "nowhere does not exist"),
    ],
)
def test_what_cannot_be_plotted(call, runs, arguments, code, words):
    """A line that says what to do."""
    called = call("plot", *arguments)
    assert called.code == code
    assert words in " ".join(called.err.split())
