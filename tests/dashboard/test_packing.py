"""Curves and tables packed for a file, and unpacked again in Python and by the page."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trainstore.dashboard
from trainstore.dashboard.groups import banded
from trainstore.dashboard.packing import FAITHFUL, Arrays, as_text, unpacked

ASSETS = Path(trainstore.dashboard.__file__).parent / "assets"
CORPUS = ("</script>", "<!-- <script>", "]]>", "\u2028\u2029", "ä \U0001f680 \ud7ff", "\x00\x1b[31m")

numbers = st.lists(st.floats(width=64), max_size=60).map(lambda values: np.array(values, dtype=np.float64))


def ask_node(node, module, code, **values):
    """What a piece of code, which may use a module and values, prints as JSON."""
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import * as module from {json.dumps((ASSETS / module).as_uri())};
        const given = {json.dumps(values)};
        const show = (value) => console.log(JSON.stringify(value));
        const hex = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("hex");
        {code}
    """
    done = subprocess.run([*node, "--input-type=module", "-e", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@given(numbers)
def test_places_on_an_axis_arrive_exactly(values):
    """Every bit, whether differences can say it or not."""
    arrays = Arrays()
    number = arrays.add_exactly(values)
    _, found = unpacked(arrays.packed({}))
    assert np.array_equal(found[number], values, equal_nan=True)


@given(numbers)
def test_values_that_are_asked_for_exactly_arrive_exactly(values):
    """Each kind of them."""
    arrays = Arrays(exact=True)
    added = [arrays.add(values), arrays.add_edge(values, upper=True), arrays.add_edge(values, upper=False)]
    _, found = unpacked(arrays.packed({}))
    assert all(np.array_equal(found[number], values, equal_nan=True) for number in added)


@given(numbers)
def test_a_curve_looks_the_same(values):
    """No value is off by more than a part of a pixel, and the curve stays inside its band."""
    arrays = Arrays()
    added = [arrays.add_edge(values, upper=False), arrays.add(values), arrays.add_edge(values, upper=True)]
    _, found = unpacked(arrays.packed({}))
    low, curve, high = (found[number] for number in added)
    there = np.isfinite(values)
    assert np.array_equal(np.isnan(curve), np.isnan(values))
    assert np.array_equal(np.isfinite(curve), there)
    assert np.array_equal(curve[np.isinf(values)], values[np.isinf(values)])
    if there.any():
        with np.errstate(over="ignore"):
            height = float(np.ptp(values[there]))
        off = np.abs(curve[there] - values[there])
        assert (off <= max(FAITHFUL * height, 0)).all() or (off <= 2e-7 * np.abs(values[there])).all()
        assert (low[there] <= curve[there]).all()
        assert (curve[there] <= high[there]).all()


@pytest.mark.parametrize("values", [[1e300, 2e300], [1.7e9, 1.7e9 + 1e-3], [1e-300, 2e-300]])
def test_what_single_precision_would_spoil_is_kept_whole(values):
    """Numbers beyond its range, and those that differ in their last digits only."""
    arrays = Arrays()
    number = arrays.add(np.array(values))
    assert unpacked(arrays.packed({}))[1][number].tolist() == values


def test_the_same_array_is_kept_once():
    """Most metrics of a run are logged at the same steps."""
    arrays = Arrays()
    steps = np.arange(1000.0)
    assert arrays.add_exactly(steps) == arrays.add_exactly(steps.copy())
    assert len(unpacked(arrays.packed({}))[1]) == 1


def test_the_same_data_is_the_same_file():
    """No time and no chance is in it."""

    def made():
        arrays = Arrays()
        arrays.add(np.linspace(0, 1, 50))
        return arrays.packed({"title": "a"})

    assert made() == made()


@pytest.mark.parametrize("text", CORPUS)
def test_nothing_packed_can_be_taken_for_markup(text):
    """In the page it is letters and digits; unpacked, it is the same text."""
    packed = Arrays().packed({"name": text})
    assert set(as_text(packed)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
    assert unpacked(packed)[0] == {"name": text}


def test_the_page_unpacks_the_same(node, tmp_path):
    """Every array that Python packs, bit by bit, and the head; single precision shows only the digits that it has."""
    chance = np.random.default_rng(3)
    values = chance.normal(size=300)
    values[[5, 9]], values[200], values[201] = np.nan, np.inf, -np.inf
    arrays = Arrays()
    arrays.add(values)
    arrays.add_edge(values, upper=True)
    arrays.add_exactly(np.arange(0, 3000, 10.0) + 4.5)
    arrays.add_exactly(chance.normal(size=7))
    arrays.add(np.array([1e300, -0.0]))
    arrays.add(np.empty(0))
    packed = arrays.packed({"names": list(CORPUS)})
    (tmp_path / "packed").write_bytes(packed)
    found = ask_node(
        node,
        "embedded.js",
        """
        const bytes = readFileSync(given.path);
        const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
        const { head, array } = module.unpack(await new Response(stream).arrayBuffer());
        show({ head, arrays: Array.from({ length: given.count }, (_, nr) => hex(array(nr))) });
        """,
        path=str(tmp_path / "packed"),
        count=6,
    )
    assert found["head"] == {"names": list(CORPUS)}
    shown = [np.frombuffer(bytes.fromhex(text), dtype="<f8") for text in found["arrays"]]
    known = unpacked(packed)[1]
    for number in (2, 3, 4, 5):
        assert shown[number].tobytes() == known[number].astype("<f8").tobytes()
    for number in (0, 1):
        assert np.array_equal(shown[number].astype("<f4"), known[number].astype("<f4"), equal_nan=True)
        assert all(value == float(f"{value:.9g}") for value in shown[number] if np.isfinite(value))


@pytest.mark.parametrize("band", ["std", "sem", "range"])
@pytest.mark.parametrize("points", [8, 50, 1000])
def test_the_page_computes_the_same_means_of_runs(node, band, points):
    """As groups.py does, for runs of different lengths, one of them empty."""
    chance = np.random.default_rng(5)
    curves = [(np.arange(0.0, length, 2), chance.normal(size=-(-length // 2))) for length in (90, 120, 0, 61)]
    expected = banded(curves, points, band)
    found = ask_node(
        node,
        "mean.js",
        """
        const curves = given.curves.map(([x, mean]) =>
          ({ x: Float64Array.from(x), mean: Float64Array.from(mean), count: Float64Array.from(x, () => 1) }));
        const found = module.meanOfCurves(curves, given.points, given.band);
        show([...["x", "mean", "low", "high", "count"].map((name) => [...found[name]]), found.runs]);
        """,
        curves=[[x.tolist(), y.tolist()] for x, y in curves],
        points=points,
        band=band,
    )
    for array, name in zip(found, ("x", "mean", "low", "high", "count"), strict=False):
        np.testing.assert_allclose(array, getattr(expected, name), rtol=1e-12, atol=1e-12)
    assert found[-1] == 3


def test_a_bucket_counts_as_its_points_in_a_mean(node):
    """A run whose curve is thinned out weighs each bucket by the points that it stands for."""
    found = ask_node(
        node,
        "mean.js",
        """
        const curve = { x: [0, 1, 9], mean: [1, 4, 7], count: [3, 1, 1] };
        const array = (values) => Float64Array.from(values);
        const typed = { x: array(curve.x), mean: array(curve.mean), count: array(curve.count) };
        show([...module.meanOfCurves([typed], 2, "std").mean]);
        """,
    )
    assert found == [(3 * 1 + 4) / 4, 7]
