"""``trainstore show --steps``, and the plot that it draws."""

import json
import math

import pytest

from trainstore import TrainStore
from trainstore.cli.chart import MARK, plot

NAN = float("nan")


def dots(lines):
    """The (x, y) of every dot, from the bottom left."""
    cells = [line.partition("│")[2] for line in lines if "│" in line]
    places = {
        0x01: (0, 0),
        0x02: (0, 1),
        0x04: (0, 2),
        0x40: (0, 3),
        0x08: (1, 0),
        0x10: (1, 1),
        0x20: (1, 2),
        0x80: (1, 3),
    }
    height = 4 * len(cells)
    return {
        (2 * column + x, height - 1 - (4 * row + y))
        for row, line in enumerate(cells)
        for column, character in enumerate(line)
        for bit, (x, y) in places.items()
        if character != " " and (ord(character) - 0x2800) & bit
    }


def test_a_rising_line_rises():
    """From the bottom left to the top right, without a gap, with its ends on the axes."""
    lines = plot([(step, step / 2) for step in range(100)], width=50, height=8)
    found = dots(lines)
    xs = sorted({x for x, _ in found})
    assert xs == list(range(xs[-1] + 1))
    assert (0, 0) in found
    assert (xs[-1], 31) in found
    assert all(any((x + 1, y + up) in found for up in (0, 1, 2)) for x, y in found if x < xs[-1])
    assert lines[0].startswith(" 49.5 │")
    assert lines[7].startswith("    0 │")
    assert lines[-1].split() == ["0", "99"]
    assert max(map(len, lines)) <= 50


def test_no_spike_is_lost():
    """One value among a hundred thousand reaches the top."""
    points = [(step, 0.0) for step in range(100_000)]
    points[54_321] = (54_321, 1.0)
    found = dots(plot(points, width=60, height=5))
    assert [y for _, y in found].count(19) == 1
    assert {y for _, y in found} == set(range(20))


@pytest.mark.parametrize("odd", [NAN, math.inf, -math.inf])
def test_what_is_no_number_breaks_the_line_and_is_marked(odd):
    """The line stops, a cross on the axis says where, and the scale is that of the finite values."""
    points = [(step, odd if 40 <= step < 60 else 1.0 + step) for step in range(100)]
    lines = plot(points, width=60)
    xs = {x for x, _ in dots(lines)}
    columns = max(xs) + 1
    assert not any(0.42 * columns < x < 0.58 * columns for x in xs)
    axis = lines[-2].partition("└")[2]
    assert axis.index(MARK) == pytest.approx(0.4 * len(axis), abs=2)
    assert set(axis[axis.index(MARK) : axis.rindex(MARK) + 1]) == {MARK}
    assert lines[0].split()[0] == "100"


@pytest.mark.parametrize(
    "points",
    [
        [(0, 1.0)],
        [(0, NAN)],
        [(5, 2.0), (6, 2.0)],
        [(0, -1.7e308), (2**63 - 1, 1.7e308)],
        [(0, 5e-324), (1, 0.0)],
    ],
)
def test_every_series_can_be_drawn(points):
    """One point, no finite one, a constant, the whole range of doubles."""
    lines = plot(points, width=10)
    assert len(lines) == 12
    assert (len(dots(lines)) > 0) == any(math.isfinite(value) for _, value in points)


def test_nothing_is_said_to_be_nothing():
    """No points, no axes."""
    assert plot([], width=50) == ["(no values)"]


# --- The command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(database_url, monkeypatch):
    with TrainStore(database_url) as store, store.start_run(name="r") as run:
        for step in range(30):
            metrics = {"loss": NAN if step == 29 else 1 / (step + 1), "lr": 0.1, "[b]x": 1.0, "zz": 2}
            run.log(metrics if step % 10 else {**metrics, "eval_loss": 1.0}, step=step, epoch=step / 10)
        store.start_run(name="empty").finish()
    monkeypatch.setenv("TRAINSTORE_URL", database_url)


def test_show_steps_plots_and_lists(call, run):
    """A plot of the first metrics, the others named, then the last steps, NaN among them."""
    code, out, err = call("show", "r", "--steps")
    assert (code, err) == (0, "")
    assert out.count("└") == 3
    assert "1 of 30 values are NaN or infinite" in out
    assert "(also: lr, zz; plot one with --metric)" in out
    assert "Last 10 steps" in out
    assert "NaN" in out
    assert " 20 " in out
    assert " 19 " not in out.partition("Last 10 steps")[2]


def test_show_steps_of_one_metric(call, run):
    """--metric chooses, also without --steps; --last says how many steps are listed."""
    out = call("show", "r", "--metric", "[b]x", "--last", "2").out
    assert out.count("└") == 1
    assert out.startswith("[b]x")
    assert "Last 2 steps" in out
    assert "eval_loss" not in out
    called = call("show", "r", "--metric", "nothing")
    assert called.code == 1
    assert "its metrics are: [b]x, eval_loss, loss, lr, zz" in called.err
    assert call("show", "empty", "--steps").out == "no steps\n"


def test_show_steps_as_json(call, run):
    """--json gives every step, whole."""
    shown = json.loads(call("show", "r", "--steps", "--json").out)
    assert [step["step"] for step in shown["steps"]] == list(range(30))
    assert shown["steps"][29]["metrics"] == {"loss": "NaN", "lr": 0.1, "[b]x": 1.0, "zz": 2}
    assert shown["steps"][10]["metrics"]["eval_loss"] == 1.0
    assert shown["steps"][10]["epoch"] == 1.0
    only = json.loads(call("show", "r", "--metric", "lr", "--json").out)
    assert only["steps"][0]["metrics"] == {"lr": 0.1}
