"""Which values of a metric are better: as asked for, as the study of the runs says, or as its name says."""

from __future__ import annotations

import json
import re
from typing import Any

from sqlalchemy import select

from trainstore.errors import InvalidArgumentError
from trainstore.queries import filters
from trainstore.queries.filters import RunFilter
from trainstore.queries.metric_names import better_direction
from trainstore.queries.reader import Reader
from trainstore.queries.run_source import liveness, run_source
from trainstore.queries.suggestions import closest_metrics

_LONG = {"minimize": "min", "maximize": "max"}
_OF_A_STUDY = re.compile(r"value|objective(?:_(\d{1,9}))?")  # what Optuna's callback and the import call them
_STUDY_TAG = "study.direction"


def direction_of(reader: Reader, metric: str, direction: str | None, chosen: RunFilter) -> str:
    """ "min" or "max": as asked for, else as is known.

    Raises:
        InvalidArgumentError: Another text; None was given, and neither a study nor the metric's name says it.
    """
    if direction is None:
        stated = study_direction(reader, metric, chosen)
        # A guess that more is better would rank a metric such as "score" the wrong way round without a word.
        if stated is None and better_direction(metric) != "min":
            raise InvalidArgumentError(
                f"pass metric_direction='min' or 'max' for {metric!r}: it may only be left out for names that end in "
                f"loss, error, perplexity or the like, and for a study's objective{closest_metrics(reader, metric)}"
            )
        return stated or "min"
    direction = _LONG.get(direction, direction)
    if direction not in ("min", "max"):
        raise InvalidArgumentError(f"metric_direction {direction!r} is not one of 'min', 'max'")
    return direction


def study_direction(reader: Reader, metric: str, chosen: RunFilter) -> str | None:
    """ "min" or "max", if the metric is the objective of studies, and those of the chosen runs agree.

    Args:
        reader: Of the store.
        metric: Its name.
        chosen: Which runs.
    """
    found = _OF_A_STUDY.fullmatch(metric)
    if found is None:
        return None
    source = run_source(reader.models)
    runs = source.statement.with_only_columns(reader.models.run.c.id, maintain_column_froms=True)
    table = reader.models.hyperparam.c
    text = reader.backend.json_text(table.value)
    stated = (
        select(text)
        .where(table.namespace == "tag", table.key == _STUDY_TAG)
        .where(table.run_id.in_(runs.where(*filters.conditions(reader, chosen, source.status))))
        .distinct()
    )
    with filters.refusals_explained(reader, chosen):
        rows = reader.rows(stated, liveness(reader))
    directions = {_direction(json.loads(row[0]), int(found[1] or 0)) for row in rows if row[0] is not None}
    return directions.pop() if len(directions) == 1 else None


def _direction(stated: Any, place: int) -> str | None:
    """Of the value of a study's tag: its only direction, or the one of an objective."""
    every = stated if isinstance(stated, list) else [stated]
    one = every[place] if place < len(every) else None
    return _LONG.get(one) if isinstance(one, str) else None
