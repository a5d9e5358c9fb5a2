"""The page smooths curves itself; `js/smoothing.json` holds the numbers that both languages must reach."""

import json
from pathlib import Path

import numpy as np
import pytest

from trainstore.dashboard.buckets import Buckets, smoothed

CASES = json.loads(Path(__file__).with_name("js").joinpath("smoothing.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"weight {case['weight']}")
def test_the_shared_numbers_are_those_of_the_average(case):
    """`js/ema.test.js` compares the page's line with them."""
    mean, count = np.array(case["mean"]), np.array(case["count"], dtype=np.float64)
    line = smoothed(Buckets(np.arange(float(len(mean))), mean, mean, mean, count), case["weight"])
    np.testing.assert_allclose(line, case["line"], rtol=0, atol=1e-12)
