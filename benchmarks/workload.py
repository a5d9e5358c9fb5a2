"""The points that are recorded, and the narrowest table that holds them."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.cases import is_sqlite

METRICS = ("loss", "grad_norm", "learning_rate", "accuracy", "tokens_per_second", "samples_per_second")
# What TRL's trainers log, epoch apart, which has a column of its own.
TRAINER_METRICS = ("loss", "grad_norm", "learning_rate", "entropy", "num_tokens", "mean_token_accuracy")
ROWS_A_TRANSACTION = 1_000

Point = tuple[int, int, int, float]  # run, metric, step, value


def metrics_of(step: int, names: Iterable[str] = METRICS) -> dict[str, float]:
    """The metrics of one step: floats with all their digits, another value each."""
    return {name: (step + 1) / (index + 3) for index, name in enumerate(names)}


def sum_of(steps: int, index: int = 0) -> float:
    """What the values of one metric add up to."""
    return steps * (steps + 1) / 2 / (index + 3)


def trainer_metrics(steps: int) -> Iterator[dict[str, float]]:
    """The metrics of each step as a Trainer has them: 32-bit floats from tensors, a scheduler's rate, a count."""
    dice = random.Random(0)

    def item(value: float) -> float:
        return float(struct.unpack("f", struct.pack("f", value))[0])

    for step in range(steps):
        yield {
            "loss": item(2 + dice.random()),
            "grad_norm": item(dice.random()),
            "learning_rate": 5e-5 * (1 - step / steps),
            "entropy": item(1 + dice.random()),
            "num_tokens": 4096.0 * (step + 1),
            "mean_token_accuracy": item(dice.random()),
        }


def points_of(rows: Iterable[dict[str, float]], run: int = 1) -> Iterator[Point]:
    """The same as rows of the narrow table: metrics by number."""
    return (
        (run, metric, step, value) for step, metrics in enumerate(rows) for metric, value in enumerate(metrics.values())
    )


class NarrowTable:
    """One row a value, nothing else: no name, no time, no identity. What a floor writes and reads.

    ``keyed`` adds the primary key without which one series cannot be found.
    """

    def __init__(self, connection: Any, url: str, *, keyed: bool = False) -> None:
        self._connection = connection
        self._sqlite = is_sqlite(url)
        self._keyed = keyed

    def create(self) -> None:
        """Make it."""
        kinds = ("INTEGER", "REAL") if self._sqlite else ("BIGINT", "DOUBLE PRECISION")
        key = ", PRIMARY KEY (run, metric, step)" if self._keyed else ""
        small = kinds[0] if self._sqlite else "INTEGER"
        self._connection.execute(
            f"CREATE TABLE point (run {small}, metric {small}, step {kinds[0]}, value {kinds[1]}{key})"
            + (" WITHOUT ROWID" if self._keyed and self._sqlite else "")
        )

    def write(self, points: Iterable[Point]) -> None:
        """Write points, 1,000 a transaction: by executemany on SQLite, by COPY on PostgreSQL."""
        points = iter(points)
        while batch := [point for _, point in zip(range(ROWS_A_TRANSACTION), points, strict=False)]:
            if self._sqlite:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("INSERT INTO point VALUES (?, ?, ?, ?)", batch)
                self._connection.execute("COMMIT")
            else:
                with self._connection.cursor() as cursor, cursor.copy("COPY point FROM STDIN") as copy:
                    for point in batch:
                        copy.write_row(point)

    def totals(self) -> tuple[int, float]:
        """How many rows, and the sum of the first metric."""
        count, total = self._connection.execute(
            "SELECT count(*), sum(CASE WHEN metric = 0 THEN value END) FROM point"
        ).fetchone()
        return count, total
