"""Steps in bulk: the usual case, new rows in ascending order of their steps.

Records' JSON becomes columns, some records at a time: their objects are gone again before the garbage collector looks
at them, and a server works on the first rows while the next are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from operator import lt

import orjson

from trainstore.backends.base import Columns
from trainstore.recording.attempts import Attempt
from trainstore.recording.summary import Summaries

CHUNK = 100  # records


class NewSteps:
    """Columns of new rows of one attempt; their values go into ``summaries``."""

    def __init__(self, run_id: int, attempt: Attempt, summaries: Summaries) -> None:
        self._run_id = run_id
        self._attempt = attempt
        self._summaries = summaries
        self.count = 0  # how many records were taken
        # The highest step so far. Up to start_step rows would be an earlier attempt's.
        self.last = attempt.start_step if attempt.last_step is None else max(attempt.start_step, attempt.last_step)

    def take(self, records: Sequence[bytes]) -> Iterator[Columns]:
        """The columns of ``statements.STEP_COLUMNS``, chunk by chunk, up to a record that is not such a step."""
        for start in range(0, len(records), CHUNK):
            chunk = orjson.loads(b"[%b]" % b",".join(records[start : start + CHUNK]))
            steps = [record["step"] for record in chunk]
            if not self._are_new(steps):
                return
            metrics = [record["metrics"] for record in chunk]
            self._summaries.add_rows(steps, metrics)
            yield (
                [self._run_id] * len(chunk),
                steps,
                [self._attempt.attempt] * len(chunk),
                [record["at"] for record in chunk],
                [record.get("epoch") for record in chunk],
                [record.get("step_time") for record in chunk],
                metrics,
                [record.get("details") for record in chunk],
            )
            self.count += len(chunk)
            self.last = steps[-1]

    def _are_new(self, steps: Sequence[int]) -> bool:
        ascend = all(map(lt, steps, islice(steps, 1, None)))
        return ascend and steps[0] > self.last and steps[-1] <= self._attempt.end_step
