"""Data sets, model templates, models and their epochs: the SELECTs of ScalarStop's vocabulary.

The best epoch is found in Python, from each epoch's metrics: those that ScalarStop wrote may contain NaN, text or any
name, which the databases' JSON functions treat differently or refuse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Select, func, select

from trainstore.errors import InvalidArgumentError, ModelNotFoundError
from trainstore.queries.filters import texts
from trainstore.queries.frames import TEXT, TIME, Columns, frame, series
from trainstore.queries.reader import IN_LIMIT, Reader
from trainstore.values import number_of, plain_text, restore

if TYPE_CHECKING:
    from pandas import DataFrame

Names = str | Sequence[str] | None

_NAMED: Columns = (("name", TEXT), ("group_name", TEXT), ("hyperparams", TEXT))
_DATABLOBS: Columns = (*_NAMED, ("hyperparams_flat", TEXT), ("last_modified", TIME))
_MODEL_TEMPLATES: Columns = (*_NAMED, ("last_modified", TIME))
_MODELS: Columns = (
    ("model_name", TEXT),
    ("model_class_name", TEXT),
    ("model_last_modified", TIME),
    ("datablob_name", TEXT),
    ("datablob_group_name", TEXT),
    ("model_template_name", TEXT),
    ("model_template_group_name", TEXT),
)
_EPOCHS: Columns = (("epoch_num", "int64"), ("model_name", TEXT), ("last_modified", TIME))
_STEPS = ("steps_per_epoch", "validation_steps_per_epoch")


@dataclass(frozen=True)
class ModelRecord:
    """A model with its best epoch by a metric, as `TrainStore.get_best_model` returns it."""

    model_name: str
    model_class_name: str
    model_epoch_metrics: dict[str, Any]
    """All metrics of that epoch."""
    model_last_modified: datetime
    """UTC."""
    datablob_name: str
    datablob_group_name: str
    datablob_hyperparams: dict[str, Any]
    datablob_hyperparams_flat: dict[str, Any]
    """Including those of the data sets that it was made from."""
    model_template_name: str
    model_template_group_name: str
    model_template_hyperparams: dict[str, Any]
    sort_metric_name: str
    sort_metric_value: float

    def __hash__(self) -> int:
        return hash(self.model_name)


class ModelFilter(NamedTuple):
    """Which models: by the name or group of what they are trained on, and of what they are made from."""

    datablob_name: Names = None
    datablob_group_name: Names = None
    model_template_name: Names = None
    model_template_group_name: Names = None


def list_datablobs(reader: Reader, name: Names, group_name: Names) -> DataFrame:
    """Every data set, oldest change first."""
    table = reader.models.datablob.c
    statement = select(
        table.datablob_name,
        table.datablob_group_name,
        table.datablob_hyperparams,
        table.datablob_hyperparams_flat,
        table.datablob_last_modified,
    ).where(*_either("datablob", table.datablob_name, name, table.datablob_group_name, group_name))
    rows = reader.rows(statement.order_by(table.datablob_last_modified, table.datablob_name))
    return frame(_DATABLOBS, [(*row[:2], restore(row[2]), _flat(row[2], row[3]), row[4]) for row in rows])


def list_model_templates(reader: Reader, name: Names, group_name: Names) -> DataFrame:
    """Every model template, oldest change first."""
    table = reader.models.model_template.c
    statement = select(
        table.model_template_name,
        table.model_template_group_name,
        table.model_template_hyperparams,
        table.model_template_last_modified,
    ).where(*_either("model_template", table.model_template_name, name, table.model_template_group_name, group_name))
    rows = reader.rows(statement.order_by(table.model_template_last_modified, table.model_template_name))
    return frame(_MODEL_TEMPLATES, [(*row[:2], restore(row[2]), row[3]) for row in rows])


def list_models(reader: Reader, wanted: ModelFilter) -> DataFrame:
    """Every model, oldest change first."""
    return _models_frame(_models(reader, wanted))


def list_models_grouped_by_epoch_metric(
    reader: Reader, metric_name: str, metric_direction: str, wanted: ModelFilter
) -> DataFrame:
    """Every model that has an epoch, the best first; those without a finite value last."""
    models = {model.model_name: model for model in _models(reader, wanted)}
    ranked = _ranked(reader, models, metric_name, metric_direction)
    return _models_frame(
        [models[name] for name in ranked], [math.nan if best is None else best[0] for best in ranked.values()]
    )


def get_best_model(reader: Reader, metric_name: str, metric_direction: str, wanted: ModelFilter) -> ModelRecord:
    """The model that has the best epoch. Raises `ModelNotFoundError`."""
    models = {model.model_name: model for model in _models(reader, wanted)}
    name, best = next(iter(_ranked(reader, models, metric_name, metric_direction).items()), ("", None))
    if best is None:
        raise ModelNotFoundError(
            f"none of these {len(models)} models has an epoch with a finite {metric_name!r}; list_model_epochs() shows "
            "the metrics that there are"
        )
    value, metrics = best
    row = models[name]
    return ModelRecord(
        model_name=row.model_name,
        model_class_name=row.model_class_name,
        model_epoch_metrics=restore(metrics),
        model_last_modified=row.model_last_modified,
        datablob_name=row.datablob_name,
        datablob_group_name=row.datablob_group_name,
        datablob_hyperparams=restore(row.datablob_hyperparams),
        datablob_hyperparams_flat=_flat(row.datablob_hyperparams, row.datablob_hyperparams_flat),
        model_template_name=row.model_template_name,
        model_template_group_name=row.model_template_group_name,
        model_template_hyperparams=restore(row.model_template_hyperparams),
        sort_metric_name=metric_name,
        sort_metric_value=value,
    )


def list_model_epochs(reader: Reader, model_name: Names) -> DataFrame:
    """Every epoch, by number; those of one number in the order in which they were stored."""
    table = reader.models.model_epoch.c
    statement = (
        select(
            table.model_epoch_num,
            table.model_name,
            table.model_epoch_last_modified,
            table.steps_per_epoch,
            table.validation_steps_per_epoch,
            table.model_epoch_metrics,
        )
        .where(*_among("model_name", table.model_name, model_name))
        .order_by(table.model_epoch_num, table.model_epoch_id)
    )
    rows = reader.rows(statement)
    fixed = frame(_EPOCHS, [row[:3] for row in rows])
    steps = [dict(zip(_STEPS, row[3:5], strict=True)) for row in rows]
    metrics = [{f"metric__{name}": value for name, value in restore(row[5]).items()} for row in rows]
    return _beside(fixed, (steps, _STEPS), (metrics, ()))


def get_current_epoch(reader: Reader, model_name: str) -> int:
    """The highest epoch number of a model; 0 if it has none."""
    table = reader.models.model_epoch.c
    highest = select(func.max(table.model_epoch_num)).where(table.model_name == plain_text(model_name))
    return reader.connection.execute(highest).scalar() or 0


# --- How -------------------------------------------------------------------------------------------------------------


def _models(reader: Reader, wanted: ModelFilter) -> Sequence[Any]:
    model, datablob, template = reader.models.model, reader.models.datablob, reader.models.model_template
    statement: Select[Any] = (
        select(
            model.c.model_name,
            model.c.model_class_name,
            model.c.model_last_modified,
            datablob.c.datablob_name,
            datablob.c.datablob_group_name,
            template.c.model_template_name,
            template.c.model_template_group_name,
            datablob.c.datablob_hyperparams,
            datablob.c.datablob_hyperparams_flat,
            template.c.model_template_hyperparams,
        )
        .join_from(model, datablob, model.c.datablob_name == datablob.c.datablob_name)
        .join(template, model.c.model_template_name == template.c.model_template_name)
        .where(
            *_either(
                "datablob",
                datablob.c.datablob_name,
                wanted.datablob_name,
                datablob.c.datablob_group_name,
                wanted.datablob_group_name,
            ),
            *_either(
                "model_template",
                template.c.model_template_name,
                wanted.model_template_name,
                template.c.model_template_group_name,
                wanted.model_template_group_name,
            ),
        )
        .order_by(model.c.model_last_modified, model.c.model_name)
    )
    return reader.rows(statement)


def _models_frame(models: Sequence[Any], sort_values: Sequence[float] | None = None) -> DataFrame:
    fixed = frame(_MODELS, [row[: len(_MODELS)] for row in models])
    if sort_values is not None:
        fixed["sort_metric_value"] = series(sort_values, "float64")
    data = [_flat(row.datablob_hyperparams, row.datablob_hyperparams_flat) for row in models]
    templates = [restore(row.model_template_hyperparams) for row in models]
    return _beside(fixed, (list(_prefixed("dbh__", data)), ()), (list(_prefixed("mth__", templates)), ()))


def _prefixed(prefix: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    return ({f"{prefix}{name}": value for name, value in row.items()} for row in rows)


def _beside(fixed: DataFrame, *parts: tuple[list[dict[str, Any]], Sequence[str]]) -> DataFrame:
    """``fixed`` with a column for every key of the parts; pandas decides their dtypes, but text stays object."""
    import pandas as pd

    frames = [fixed]
    for rows, always in parts:
        names = list(dict.fromkeys([*always, *(name for row in rows for name in row)]))
        part = pd.DataFrame(rows, columns=pd.Index(names, dtype=object), index=fixed.index)
        frames.append(part.astype({name: object for name in names if pd.api.types.is_string_dtype(part[name])}))
    return pd.concat(frames, axis=1)


def _ranked(
    reader: Reader, models: Mapping[str, Any], metric_name: str, metric_direction: str
) -> dict[str, tuple[float, dict[str, Any]] | None]:
    """For each model that has an epoch, the best value and that epoch's metrics, the best model first.

    None, and last, if no epoch has a finite value. Ties go to the earlier epoch and the earlier model.
    """
    if metric_direction not in ("min", "max"):
        raise InvalidArgumentError(f"metric_direction {metric_direction!r} is neither 'min' nor 'max'")
    if not isinstance(metric_name, str) or not metric_name:
        raise InvalidArgumentError(f"metric_name {metric_name!r} is not the name of a metric; pass a str")
    sign = 1 if metric_direction == "min" else -1
    best: dict[str, tuple[float, dict[str, Any]] | None] = {}
    table = reader.models.model_epoch.c
    epochs = select(table.model_name, table.model_epoch_metrics).order_by(table.model_epoch_num)
    if len(models) <= IN_LIMIT:
        epochs = epochs.where(table.model_name.in_(models))
    for name, metrics in reader.rows(epochs):
        if name not in models:
            continue
        value = number_of(metrics.get(metric_name))
        if value is None or not math.isfinite(value):
            best.setdefault(name, None)
            continue
        before = best.get(name)
        if before is None or sign * value < sign * before[0]:
            best[name] = (value, metrics)
    places = {name: place for place, name in enumerate(models)}
    return dict(
        sorted(best.items(), key=lambda item: (math.inf if item[1] is None else sign * item[1][0], places[item[0]]))
    )


def _either(what: str, column: Column[Any], name: Names, group_column: Column[Any], group: Names) -> list[Any]:
    """By name or by group. None, or an empty list, means all, as in ScalarStop."""
    by_name, by_group = _among(f"{what}_name", column, name), _among(f"{what}_group_name", group_column, group)
    if by_name and by_group:
        raise InvalidArgumentError(
            f"{what}_name {name!r} and {what}_group_name {group!r}: pass one of them, the name for one, the group for "
            "several"
        )
    return by_name or by_group


def _among(argument: str, column: Column[Any], names: Names) -> list[ColumnElement[bool]]:
    wanted = [] if names is None or (isinstance(names, str) and not names) else texts(argument, names)
    return [column.in_(wanted)] if wanted else []


def _flat(hyperparams: dict[str, Any], flat: dict[str, Any] | None) -> dict[str, Any]:
    """The flattened hyperparameters; as they are if ScalarStop before 1.0 stored them, which did not flatten."""
    result: dict[str, Any] = restore(hyperparams if flat is None else flat)
    return result
