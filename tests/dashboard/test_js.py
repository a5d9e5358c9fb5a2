"""The page's functions in Node: what needs no browser is tested without one. `tests/dashboard/js/*.test.js`"""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import trainstore.dashboard
from trainstore.dashboard.buckets import bucketed
from trainstore.dashboard.wire import Curve, to_frame

ASSETS = Path(trainstore.dashboard.__file__).parent / "assets"
FILES = sorted(Path(__file__).with_name("js").glob("*.test.js"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name.removesuffix(".test.js"))
def test_in_node(node, file):
    """Every test of this file passes, and there is at least one."""
    done = subprocess.run([*node, "--test", "--test-reporter=tap", file], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), done.stdout


def test_a_frame_arrives_exactly(node, tmp_path):
    """What Python sends is what the page reads: every bit of every number, NaN and infinities too."""
    chance = np.random.default_rng(1)
    values = chance.normal(size=500)
    values[[3, 77]], values[100], values[101] = np.nan, np.inf, -np.inf
    curves = [
        Curve(bucketed(np.arange(500.0), values, 40), {"run": "ä</script>", "metric": "loss"}),
        Curve(bucketed(np.empty(0), np.empty(0), 40), {"run": "b", "metric": "empty"}),
        Curve(bucketed(np.array([5e-324, 2.0**60]), np.array([-0.0, 0.1]), 40), {"run": "c", "metric": "tiny"}),
    ]
    frame = tmp_path / "frame"
    frame.write_bytes(to_frame(curves))
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ curvesOfFrame }} from {json.dumps((ASSETS / "wire.js").as_uri())};
        const bytes = readFileSync({json.dumps(str(frame))});
        const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
        const hex = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("hex");
        const names = ["x", "mean", "low", "high", "count", "oddX", "odd"];
        console.log(JSON.stringify(curvesOfFrame(buffer).map((curve) => ({{
          run: curve.run, metric: curve.metric, arrays: names.map((name) => hex(curve[name])),
        }}))));
    """
    ask = [*node, "--input-type=module", "-e", script]
    found = json.loads(subprocess.run(ask, check=True, capture_output=True, text=True).stdout)
    assert [(one["run"], one["metric"]) for one in found] == [tuple(one.head.values()) for one in curves]
    for one, curve in zip(found, curves, strict=True):
        sent = curve.buckets
        arrays = (sent.x, sent.mean, sent.low, sent.high, sent.count, sent.odd_x, sent.odd)
        assert one["arrays"] == [np.asarray(array, dtype="<f8").tobytes().hex() for array in arrays]
