"""How an import's report counts."""

from __future__ import annotations

import pytest

from trainstore.importing.reports import plural


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "run", "1 run"),
        (2_000, "run", "2,000 runs"),
        (2, "mlflow.user tag", "2 mlflow.user tags"),
        (2, "run metadata", "2 run metadata"),
        (3, "entry of log_history without a step", "3 entries of log_history without a step"),
        (2, "value of a metric before the last 7 at one step", "2 values of a metric before the last 7 at one step"),
        (8, "column of W&B's bounds (__MIN, __MAX)", "8 columns of W&B's bounds (__MIN, __MAX)"),
        (2, "pickle (training_args.bin)", "2 pickles (training_args.bin)"),
        (2, "time that cannot be read", "2 times that cannot be read"),
        (2, "YAML value that PyYAML is needed for", "2 YAML values that PyYAML is needed for"),
        (2, "key", "2 keys"),
    ],
)
def test_nouns_have_their_plural(count: int, noun: str, text: str) -> None:
    """The noun has it, not what follows."""
    assert plural(count, noun) == text
