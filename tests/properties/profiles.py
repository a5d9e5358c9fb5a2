"""How hard Hypothesis searches: HYPOTHESIS_PROFILE=thorough for a long search, otherwise seconds."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

_COMMON = {
    # One database serves all examples of a test; each has a run of its own and deletes it.
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    "phases": [phase for phase in Phase if phase is not Phase.explain],
    "print_blob": True,
}
THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def examples(number: int) -> settings:
    """Settings for so many examples, eighty times as many in the thorough profile."""
    return settings(max_examples=number * 80 if THOROUGH else number, **_COMMON)
