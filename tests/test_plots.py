"""TrainStore.plot: what the picture holds, read from matplotlib's own objects."""

from __future__ import annotations

import builtins
import math
from datetime import timedelta

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.dates import num2date

from trainstore.errors import InvalidArgumentError, RunNotFoundError, TrainStoreError
from trainstore.plots import COLOURS, LEGEND_LIMIT, MOST_LAYERS, plot_gradient_flow
from trainstore.queries.curves import NEWEST, smoothed

NAN = math.nan


@pytest.fixture(autouse=True)
def figures():
    """No window, and no figure is left open."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


def record(store, name, losses, *, eval_every=0, every=1, **arguments):
    """A run of these losses; with an evaluation loss at every so many steps."""
    with store.start_run(name=name, **arguments) as run:
        for place, loss in enumerate(losses):
            metrics = {} if loss is None else {"loss": loss}
            if eval_every and place % eval_every == eval_every - 1:
                metrics["eval_loss"] = 2.0 * place
            run.log(metrics, step=place * every, epoch=place / 10)
    return run.uid


def lines(ax):
    """The named lines: (name, x, y)."""
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in named(ax)}


def named(ax):
    return ax.get_legend_handles_labels()[0]


def marks(ax):
    """Where a × stands on the axis."""
    return [x for line in ax.lines if line.get_marker() == "x" for x in line.get_xdata()]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_each_run_is_a_line_of_all_its_values(store):
    """In the order given, in colours of their own, with labelled axes; the result is matplotlib's Axes."""
    record(store, "a", [3.0, 2.0, 1.0])
    record(store, "b", [6.0, 5.0])
    ax = store.plot("loss", ["b", "a"])
    assert isinstance(ax, plt.Axes)
    assert lines(ax) == {"b": ([0, 1], [6, 5]), "a": ([0, 1, 2], [3, 2, 1])}
    assert legend(ax) == ["b", "a"]
    assert [line.get_color() for line in named(ax)] == list(COLOURS[:2])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss")
    ax.figure.canvas.draw()


def test_runs_are_named_as_everywhere(store):
    """A handle's uid, a frame, a single run; without any, the newest come first."""
    first, second = record(store, "a", [1.0]), record(store, "b", [2.0])
    assert list(lines(store.plot("loss", store.list_runs()))) == ["b", "a"]
    assert list(lines(store.plot("loss"))) == ["b", "a"]
    ax = store.plot("loss", first)
    assert list(lines(ax)) == ["a"]
    assert ax.get_title(loc="left") == "a"
    assert list(lines(store.plot("loss", [second, first]))) == ["b", "a"]
    with pytest.raises(RunNotFoundError):
        store.plot("loss", "nobody")


def test_runs_of_one_name_are_told_apart_by_their_ids(store):
    """Only those whose name is not their own."""
    ids = [store.get_run(record(store, name, [1.0])).run_id for name in ("same", "same", "other")]
    assert legend(store.plot("loss")) == ["other", f"same (id {ids[1]})", f"same (id {ids[0]})"]


def test_the_newest_runs_are_drawn_and_the_others_told_of(store):
    """A legend says how many runs there are; runs without the metric do not count."""
    for number in range(NEWEST + 2):
        record(store, f"r{number}", [1.0])
    store.start_run(name="without").finish()
    ax = store.plot("loss")
    assert legend(ax) == [f"r{number}" for number in range(NEWEST + 1, 1, -1)]
    assert ax.get_legend().get_title().get_text() == f"the {NEWEST} newest of {NEWEST + 2} runs"


def test_a_legend_names_only_so_many_lines(store):
    """All are drawn, no two alike."""
    for number in range(LEGEND_LIMIT + 3):
        record(store, f"r{number}", [1.0, 2.0])
    ax = store.plot("loss", store.list_runs())
    assert len(named(ax)) == LEGEND_LIMIT + 3
    assert len(legend(ax)) == LEGEND_LIMIT
    assert ax.get_legend().get_title().get_text() == f"{LEGEND_LIMIT} of {LEGEND_LIMIT + 3} lines are named"
    looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in named(ax)}
    assert len(looks) == LEGEND_LIMIT + 3


def test_a_sparse_metric_is_points_that_are_joined(store):
    """Steps without it are no gaps, and a single point is seen."""
    record(store, "a", [1.0] * 100, eval_every=20)
    record(store, "once", [1.0] * 20, eval_every=20)
    ax = store.plot("eval_loss", ["a", "once"])
    assert lines(ax)["a"] == ([19, 39, 59, 79, 99], [38, 78, 118, 158, 198])
    assert lines(ax)["once"] == ([19], [38])
    assert [line.get_marker() for line in named(ax)] == ["o", "o"]


@pytest.mark.parametrize("odd", [NAN, math.inf, -math.inf])
def test_what_is_not_finite_breaks_the_line_and_is_marked(store, odd):
    """By × on the axis; the smoothed line breaks there too and goes on from before."""
    record(store, "a", [1.0, 2.0, odd, 4.0, odd])
    ax = store.plot("loss", "a")
    assert str(lines(ax)["a"][1]) == str([np.float64(y) for y in (1.0, 2.0, NAN, 4.0, NAN)])
    assert marks(ax) == [2, 4]
    smooth = lines(store.plot("loss", "a", smoothing=0.5))["a"][1]
    assert np.isfinite(smooth).tolist() == [True, True, False, True, False]


def test_a_point_between_two_gaps_is_seen(store):
    """In a long curve, whose points have no dots, it gets one."""
    losses = [1.0] * 200
    losses[100] = losses[102] = NAN
    record(store, "a", losses)
    (line,) = named(store.plot("loss", "a"))
    assert (line.get_marker(), line.get_markevery()) == ("o", [101])


def test_no_spike_is_lost_when_a_long_curve_is_thinned(store):
    """Of 20,000 points some thousand are drawn, with both extremes and the mark of the only NaN."""
    losses = np.zeros(20_000)
    losses[[1_234, 15_678]] = 9.0, -9.0
    losses[7_777] = NAN
    record(store, "a", losses.tolist())
    ax = store.plot("loss", "a", smoothing=0.0)
    x, y = lines(ax)["a"]
    assert len(x) < 5_000
    assert (x[int(np.nanargmax(y))], x[int(np.nanargmin(y))]) == (1_234, 15_678)
    assert (x[0], x[-1]) == (0, 19_999)
    assert marks(ax) == [7_777]


def test_several_metrics_share_the_axes(store):
    """The colour is the run, the dashes are the metric."""
    record(store, "a", [1.0] * 4, eval_every=2)
    record(store, "b", [2.0] * 4, eval_every=2)
    ax = store.plot(["loss", "eval_loss"], ["a", "b"])
    assert legend(ax) == ["a: loss", "b: loss", "a: eval_loss", "b: eval_loss"]
    colours = [line.get_color() for line in named(ax)]
    assert colours == [COLOURS[0], COLOURS[1], COLOURS[0], COLOURS[1]]
    dashes = [str(line._unscaled_dash_pattern) for line in named(ax)]
    assert dashes[0] == dashes[1] != dashes[2] == dashes[3]


def test_axes_can_be_given(store):
    """A second call adds lines in the next colours."""
    record(store, "a", [1.0])
    record(store, "b", [2.0])
    _, ax = plt.subplots()
    assert store.plot("loss", "a", ax=ax) is ax
    store.plot("loss", "b", ax=ax)
    assert [line.get_color() for line in named(ax)] == list(COLOURS[:2])
    assert legend(ax) == ["a", "b"]


def test_the_x_axis_can_be_epochs_or_times(store):
    """Epochs as recorded, times in UTC, and times since the run's start in a unit that is named."""
    uid = record(store, "a", [3.0, 2.0, 1.0])
    assert lines(store.plot("loss", uid, x="epoch"))["a"][0] == [0.0, 0.1, 0.2]
    logged = store.list_step_logs(uid)["logged_at"]
    ax = store.plot("loss", uid, x="time")
    assert ax.get_xlabel() == "time (UTC)"
    (line,) = named(ax)
    shown = [num2date(x) for x in line.get_xdata(orig=False)]
    assert all(abs(found - time) < timedelta(milliseconds=1) for found, time in zip(shown, logged, strict=True))
    ax = store.plot("loss", uid, x="relative")
    assert ax.get_xlabel() == "time since the run's start (s)"
    since = (logged - store.get_run(uid).started_at).dt.total_seconds()
    assert lines(ax)["a"][0] == pytest.approx(since.tolist(), abs=1e-5)


def test_runs_without_epochs_are_told_of(store):
    """The message says what to pass."""
    with store.start_run(name="a") as run:
        run.log({"loss": 1.0}, step=0)
    with pytest.raises(InvalidArgumentError, match="has an epoch; pass x='step'"):
        store.plot("loss", "a", x="epoch")


def test_smoothing_is_debiased_and_the_values_stay_visible(store):
    """TensorBoard's curve, which begins at the first value; what was logged is pale behind it."""
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    record(store, "a", values)
    ax = store.plot("loss", "a", smoothing=0.6)
    last, expected = 0.0, []
    for count, value in enumerate(values, 1):
        last = 0.6 * last + 0.4 * value
        expected.append(last / (1 - 0.6**count))
    assert lines(ax)["a"][1] == pytest.approx(expected)
    (pale,) = [line for line in ax.lines if line.get_alpha() is not None]
    assert list(pale.get_ydata()) == values
    assert pale.get_alpha() < 0.5
    assert ax.get_ylabel() == "loss (smoothing 0.6)"


def test_distances_weigh_where_points_are_not_equally_far_apart():
    """A value far behind weighs little; at equal times all weigh the same."""
    x, y = np.array([0.0, 1.0, 2.0, 12.0]), np.array([0.0, 0.0, 0.0, 1.0])
    weights = 0.5 ** (12 - x)
    assert smoothed(x, y, 0.5)[-1] == pytest.approx((weights * y).sum() / weights.sum())
    assert smoothed(np.zeros(4), y, 0.5).tolist() == pytest.approx([0, 0, 0, 0.25])
    assert smoothed(x, y, 0.0) is not y
    assert smoothed(x, np.array([1e308, -1e308, 1e308, NAN]), 0.9)[:3] == pytest.approx(
        [1e308, -0.05263e308, 0.33579e308], rel=1e-4
    )


def test_groups_are_a_mean_in_a_band(store):
    """From minimum to maximum, at the steps that all have which come so far; in the order of the values."""
    record(store, "a", [1.0, 2.0, 3.0, 4.0], hyperparams={"lr": 0.1, "optim": {"name": "sgd"}})
    record(store, "b", [3.0, 4.0], hyperparams={"lr": 0.1, "optim": {"name": "sgd"}})
    record(store, "c", [9.0, 9.0], hyperparams={"lr": 0.01, "optim": {"name": "adam"}})
    record(store, "d", [7.0], tags={"owner": "ann"})
    ax = store.plot("loss", group_by="lr")
    assert lines(ax) == {
        "lr=0.01": ([0, 1], [9, 9]),
        "lr=0.1 (2 runs)": ([0, 1, 2, 3], [2, 3, 3, 4]),
        "no lr": ([0], [7]),
    }
    (band,) = ax.collections
    edges = {tuple(point) for point in band.get_paths()[0].vertices.tolist()}
    assert {(0, 1), (0, 3), (1, 2), (1, 4), (3, 4)} <= edges
    assert list(lines(store.plot("loss", ["a", "c"], group_by="optim.name"))) == [
        "optim.name=adam",
        "optim.name=sgd",
    ]
    assert list(lines(store.plot("loss", ["a", "d"], group_by="tag.owner"))) == ["tag.owner=ann", "no tag.owner"]


def test_steps_that_only_some_runs_of_a_group_have(store):
    """Left out if the others come further; if runs log at other steps altogether, values between are interpolated."""
    tag = {"tags": {"g": 1}}
    record(store, "a", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], **tag)
    record(store, "b", [0.0, 1.0, None, 3.0, 4.0, 5.0], **tag)
    assert lines(store.plot("loss", ["a", "b"], group_by="tag.g"))["tag.g=1 (2 runs)"][0] == [0, 1, 3, 4, 5]
    record(store, "c", [10.0, 12.0, 14.0], every=2, **tag)
    record(store, "d", [20.0, 23.0], every=3, **tag)
    assert lines(store.plot("loss", ["c", "d"], group_by="tag.g"))["tag.g=1 (2 runs)"] == (
        [0, 2, 3, 4],
        [15, 17, 18, 14],
    )


def test_a_run_that_diverges_is_marked_in_its_group(store):
    """The mean is over the others."""
    record(store, "a", [1.0, NAN, NAN], tags={"g": 1})
    record(store, "b", [3.0, 3.0, math.inf], tags={"g": 1})
    ax = store.plot("loss", group_by="tag.g")
    assert str(lines(ax)["tag.g=1 (2 runs)"][1]) == str([np.float64(y) for y in (2.0, 3.0, NAN)])
    assert marks(ax) == [1, 2]


def test_a_logarithmic_axis(store):
    """Values up to 0 are missing there; if there are no others, an error says so."""
    record(store, "a", [1.0, 0.0, 100.0])
    record(store, "zero", [0.0])
    ax = store.plot("loss", "a", logy=True)
    assert ax.get_yscale() == "log"
    ax.figure.canvas.draw()
    with pytest.raises(InvalidArgumentError, match=r"above 0.*'loss' has none"):
        store.plot("loss", "zero", logy=True)


def test_only_steps_that_are_shown_are_drawn(store):
    """A resumed run is one line, as it is everywhere."""
    record(store, "a", [4.0, 3.0, 9.0, 9.0])
    with store.resume_run("a", step=1) as run:
        run.log({"loss": 2.0}, step=2)
    assert lines(store.plot("loss", "a"))["a"] == ([0, 1, 2], [4, 3, 2])


def test_numbers_only(store):
    """A text or a bool among a metric's values is left out; a very large int is a number."""
    with store.start_run(name="a") as run:
        for step, value in enumerate([1.5, "text", True, 10**20, None, 2]):
            run.log({"v": value}, step=step)
    assert lines(store.plot("v", "a"))["a"] == ([0, 3, 5], [1.5, 1e20, 2.0])


@pytest.mark.parametrize("name", ["_hidden", "$x$ and $y", "a\nb", "%s {}", "é"])
def test_any_name_is_shown_as_it_is(store, name):
    """No formula, no label that matplotlib hides, no line break."""
    record(store, name, [1.0])
    record(store, "other", [1.0])
    ax = store.plot("loss", [name, "other"])
    assert len(legend(ax)) == 2
    ax.figure.canvas.draw()
    assert legend(ax)[0].replace("\\$", "$").replace("\\n", "\n").strip() == name


def test_step_times_are_drawn_too(store):
    """A column of the steps, not one of their metrics."""
    with store.start_run(name="a") as run:
        for step in range(3):
            run.log({"loss": 1.0, "step_time": 0.5}, step=step)
    assert lines(store.plot("step_time", "a"))["a"] == ([0, 1, 2], [0.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"metric": "eval_los"}, ["'eval_los'", "did you mean eval_loss?"]),
        ({"metric": "eval_loss", "runs": "b"}, ["none of these runs", "'eval_loss'", "loss"]),
        ({"metric": ["loss", "acc"]}, ["'acc'"]),
        ({"metric": []}, ["[]", "name"]),
        ({"metric": 5}, ["5", "name"]),
        ({"runs": []}, ["no runs to plot"]),
        ({"x": "steps"}, ["'steps'", "'step'", "'relative'"]),
        ({"smoothing": 1}, ["smoothing 1 ", "below 1"]),
        ({"smoothing": True}, ["True"]),
        ({"smoothing": "0.9"}, ["'0.9'"]),
        ({"smoothing": NAN}, ["nan"]),
        ({"group_by": "lrr"}, ["'lrr'", "did you mean lr?"]),
        ({"group_by": 3}, ["3", "name"]),
        ({"group_by": "lr", "x": "time"}, ["x='relative'"]),
        ({"ax": "here"}, ["'here'", "Axes"]),
    ],
)
def test_what_cannot_be_drawn_is_refused(store, arguments, words):
    """The message names the value and the fix."""
    record(store, "a", [1.0] * 4, eval_every=2, hyperparams={"lr": 1})
    record(store, "b", [1.0])
    with pytest.raises(InvalidArgumentError) as error:
        store.plot(**{"metric": "loss", **arguments})
    assert all(word in str(error.value) for word in words), error.value


def test_an_empty_store_has_nothing_to_draw(store):
    """An error, not an empty picture."""
    with pytest.raises(InvalidArgumentError, match="no run has numbers of the metric 'loss'; there are none"):
        store.plot("loss")


def test_without_matplotlib_the_error_says_what_to_install(store, monkeypatch):
    """One line, one command."""
    real = builtins.__import__

    def without(name, *arguments, **more):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TrainStoreError, match=r"pip install 'trainstore\[plots\]'"):
        store.plot("loss")


# --- Gradients -------------------------------------------------------------------------------------------------------


def flow(store, *steps, layers=("in", "h.0", "h.1", "h.10"), name="flow"):
    """A run of such norms, a list of them each 10 steps; the number of a layer says nothing about its place."""
    with store.start_run(name=name) as run:
        run.log_event("gradient_layers", 10, {"layers": list(layers)})
        for place, norms in enumerate(steps, 1):
            named = dict(zip(layers, norms, strict=True))
            run.log({f"grad_norm/{layer}": norm for layer, norm in named.items() if norm is not None}, 10 * place)
    return name


def cells(ax):
    """The norms that are drawn, layer by layer; None is grey."""
    mesh = ax.collections[0]
    return [[None if value is np.ma.masked else value for value in row] for row in mesh.get_array()]


def test_gradients_are_layers_by_steps(store):
    """In the order of the model, first layer first; zeros and what is missing are grey, NaN and infinities marked."""
    run = flow(store, [1.0, 2.0, 3.0, 4.0], [0.1, 0.0, NAN, math.inf], [0.5, None, 30.0, 1.0])
    ax = plot_gradient_flow(store, run)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["in", "h.0", "h.1", "h.10"]
    assert cells(ax) == [[1.0, 0.1, 0.5], [2.0, None, None], [3.0, None, 30.0], [4.0, None, 1.0]]
    assert ax.get_xlim() == (5.0, 35.0)
    (marked,) = ax.lines
    assert sorted(zip(marked.get_xdata(), marked.get_ydata(), strict=True)) == [(20, 2), (20, 3)]
    scale = ax.collections[0].norm
    assert (scale.vmin, scale.vmax) == (0.1, 30.0)
    assert ax.figure.axes[1].get_ylabel() == "norm of the gradients"


def test_gradients_of_one_step(store):
    """Have a cell of their own, also if nothing of it is above zero; a snapshot and given axes are fine."""
    run = flow(store, [0.0, NAN, 0.0, 0.0])
    axes = plt.subplots()[1]
    with store.snapshot() as now:
        ax = plot_gradient_flow(now, run, ax=axes)
    assert ax is axes
    assert cells(ax) == [[None]] * 4
    assert ax.get_xlim() == (9.5, 10.5)


def test_gradients_of_many_layers(store):
    """All are drawn, and some are named."""
    layers = [f"h.{number}" for number in range(100)]
    ax = plot_gradient_flow(store, flow(store, [1.0] * 100, [2.0] * 100, layers=layers))
    assert len(cells(ax)) == 100
    assert [label.get_text() for label in ax.get_yticklabels()] == layers[::3]
    assert len(layers[::3]) <= MOST_LAYERS


def test_no_gradients(store):
    """The error says what records them; one about the axes and the run comes as for other plots."""
    record(store, "plain", [1.0])
    with pytest.raises(InvalidArgumentError, match=r"no metrics grad_norm/<layer>: trainstore\.callbacks"):
        plot_gradient_flow(store, "plain")
    with pytest.raises(InvalidArgumentError, match="ax 5 is not a matplotlib Axes"):
        plot_gradient_flow(store, "plain", ax=5)
    with pytest.raises(RunNotFoundError):
        plot_gradient_flow(store, "gone")
