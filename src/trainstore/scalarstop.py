"""ScalarStop's TrainStore: data sets, model templates, models and the metrics of their epochs.

The methods have the names, keyword arguments, DataFrame columns and exceptions of ``scalarstop.TrainStore`` (4.0), so
that ``KerasModel.fit(train_store=…)`` and other callers can use our `TrainStore`; ``table_name_prefix=
"scalarstop__"`` opens a database that ScalarStop wrote. Each call is one transaction, done when it returns.

What is different, because ScalarStop's way loses data or is wrong:

- `bulk_insert_model_epochs` numbers epochs from 1, as ``KerasModel.fit`` does. ScalarStop counts from 0 there, so an
  epoch that was logged before is stored twice and another is lost.
- A model without a finite value of a metric is never the best one (in ScalarStop it comes first for "min" on SQLite,
  for "max" on PostgreSQL). `get_best_model` raises `ModelNotFoundError` if no model has one.
- NaN, infinities, NumPy scalars and anything else can be a metric or hyperparameter; secrets are redacted.
- A dictionary of hyperparameters is not changed by storing it, and keeps its ``parent``.
- Times are aware (UTC), on SQLite too. Results without rows keep their fixed columns.
- ``table_name_prefix=None`` means no prefix, not ``"scalarstop__"``.
"""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert
from sqlalchemy.exc import ResourceClosedError

from trainstore.backends import Backend
from trainstore.configs import plain_config
from trainstore.errors import InvalidArgumentError, StoreClosedError
from trainstore.models import Models
from trainstore.queries import ModelRecord, Reader, scalarstop
from trainstore.queries.scalarstop import ModelFilter, Names
from trainstore.values import canonical_hyperparams, plain_text

if TYPE_CHECKING:
    from pandas import DataFrame

INT32_MAX = 2**31 - 1  # what ScalarStop's columns of integers hold on PostgreSQL


class ClosedError(StoreClosedError, ResourceClosedError):
    """The store was closed; also what SQLAlchemy raises then, and callers of ScalarStop catch."""


class ScalarStopMethods:
    """ScalarStop's methods: a base class of `TrainStore`, which provides what they read and write with."""

    _models: Models
    _backend: Backend

    def _reader(self) -> AbstractContextManager[Reader]:
        raise NotImplementedError

    def _transaction(self) -> AbstractContextManager[Connection]:
        raise NotImplementedError

    # --- Data sets ---------------------------------------------------------------------------------------------------

    def insert_datablob(self, datablob: Any, *, ignore_existing: bool = False) -> None:
        """Store the name, group name and hyperparameters of a ScalarStop DataBlob (or DistributedDataBlob).

        Args:
            datablob: Anything with ``name``, ``group_name`` and ``hyperparams``. It is immutable: there is no update.
            ignore_existing: Leave a row of this name as it is, without an error.

        Raises:
            sqlalchemy.exc.IntegrityError: The name exists already.
            InvalidArgumentError: Hyperparameters that are not None, a mapping, a dataclass or pairs; a name that is not
                a str.
        """
        self.insert_datablob_by_str(
            name=datablob.name,
            group_name=datablob.group_name,
            hyperparams=datablob.hyperparams,
            ignore_existing=ignore_existing,
        )

    def insert_datablob_by_str(
        self, *, name: str, group_name: str, hyperparams: Any, ignore_existing: bool = False
    ) -> None:
        """Store a data set by its name, without a DataBlob object.

        Args:
            name: Its name, unique.
            group_name: The group that it belongs to (in ScalarStop its class name).
            hyperparams: A dataclass, a mapping, pairs, or None. A ``parent`` with hyperparameters of its own is
                stored as it is, and merged into ``hyperparams_flat``, where the child's values win.
            ignore_existing: As for `insert_datablob`.

        Raises:
            sqlalchemy.exc.IntegrityError, InvalidArgumentError: As for `insert_datablob`.
        """
        stored = _hyperparams(hyperparams)
        values = {
            "datablob_name": _text("name", name),
            "datablob_group_name": _text("group_name", group_name),
            "datablob_hyperparams": stored,
            "datablob_hyperparams_flat": _flattened(stored),
        }
        self._insert("datablob", ["datablob_name"], [values], ignore_existing)

    def list_datablobs(self, *, datablob_name: Names = None, datablob_group_name: Names = None) -> DataFrame:
        """The data sets, oldest change first.

        Args:
            datablob_name: Only this name, or these (list). None, or an empty list, means all, here and below.
            datablob_group_name: Only this group, or these. Not together with a name.

        Returns:
            Columns: name, group_name, hyperparams, hyperparams_flat object (the latter two dicts); last_modified
            datetime64[us, UTC].

        Raises:
            InvalidArgumentError: A name and a group (a ValueError, as in ScalarStop), or a value that is neither a text
                nor a list of texts; the same below.
        """
        with self._reader() as reader:
            return scalarstop.list_datablobs(reader, datablob_name, datablob_group_name)

    # --- Model templates ---------------------------------------------------------------------------------------------

    def insert_model_template(self, model_template: Any, *, ignore_existing: bool = False) -> None:
        """Store the name, group name and hyperparameters of a ScalarStop ModelTemplate.

        Args:
            model_template: Anything with ``name``, ``group_name`` and ``hyperparams``.
            ignore_existing: Leave a row of this name as it is, without an error.

        Raises:
            sqlalchemy.exc.IntegrityError, InvalidArgumentError: As for `insert_datablob`.
        """
        self.insert_model_template_by_str(
            name=model_template.name,
            group_name=model_template.group_name,
            hyperparams=model_template.hyperparams,
            ignore_existing=ignore_existing,
        )

    def insert_model_template_by_str(
        self, *, name: str, group_name: str, hyperparams: Any, ignore_existing: bool = False
    ) -> None:
        """Store a model template by its name, without a ModelTemplate object.

        Args:
            name: Its name, unique.
            group_name: The group that it belongs to (in ScalarStop its class name).
            hyperparams: A dataclass, a mapping, pairs, or None.
            ignore_existing: As for `insert_model_template`.

        Raises:
            sqlalchemy.exc.IntegrityError, InvalidArgumentError: As for `insert_datablob`.
        """
        values = {
            "model_template_name": _text("name", name),
            "model_template_group_name": _text("group_name", group_name),
            "model_template_hyperparams": _hyperparams(hyperparams),
        }
        self._insert("model_template", ["model_template_name"], [values], ignore_existing)

    def list_model_templates(
        self, *, model_template_name: Names = None, model_template_group_name: Names = None
    ) -> DataFrame:
        """The model templates, oldest change first.

        Args:
            model_template_name: Only this name, or these.
            model_template_group_name: Only this group, or these. Not together with a name.

        Returns:
            Columns: name, group_name, hyperparams object (the latter dicts); last_modified datetime64[us, UTC].

        Raises:
            InvalidArgumentError: A name and a group.
        """
        with self._reader() as reader:
            return scalarstop.list_model_templates(reader, model_template_name, model_template_group_name)

    # --- Models ------------------------------------------------------------------------------------------------------

    def insert_model(self, model: Any, *, ignore_existing: bool = False) -> None:
        """Store a ScalarStop Model: which data set it is trained on, and from which template it is made.

        Args:
            model: Anything with ``name``, ``datablob.name`` and ``model_template.name``; its class name is stored.
            ignore_existing: Leave a row of this name as it is, without an error.

        Raises:
            sqlalchemy.exc.IntegrityError: The name exists already, or its data set or template does not (the latter
                also with ``ignore_existing``).
            InvalidArgumentError: A name that is not a str.
        """
        self.insert_model_by_str(
            name=model.name,
            model_class_name=type(model).__name__,
            datablob_name=model.datablob.name,
            model_template_name=model.model_template.name,
            ignore_existing=ignore_existing,
        )

    def insert_model_by_str(
        self,
        *,
        name: str,
        model_class_name: str,
        datablob_name: str,
        model_template_name: str,
        ignore_existing: bool = False,
    ) -> None:
        """Store a model by its name, without a Model object.

        Args:
            name: Its name, unique.
            model_class_name: For instance "KerasModel".
            datablob_name: Of a stored data set.
            model_template_name: Of a stored model template.
            ignore_existing: As for `insert_model`.

        Raises:
            sqlalchemy.exc.IntegrityError, InvalidArgumentError: As for `insert_model`.
        """
        values = {
            "model_name": _text("name", name),
            "model_class_name": _text("model_class_name", model_class_name),
            "datablob_name": _text("datablob_name", datablob_name),
            "model_template_name": _text("model_template_name", model_template_name),
        }
        self._insert("model", ["model_name"], [values], ignore_existing)

    def list_models(
        self,
        *,
        datablob_name: Names = None,
        datablob_group_name: Names = None,
        model_template_name: Names = None,
        model_template_group_name: Names = None,
    ) -> DataFrame:
        """The models, oldest change first.

        Args:
            datablob_name: Only those trained on this data set, or on these.
            datablob_group_name: Only those on this group. Not together with ``datablob_name``.
            model_template_name: Only those made from this template, or from these.
            model_template_group_name: Only those from this group. Not together with ``model_template_name``.

        Returns:
            Columns: model_name, model_class_name object; model_last_modified datetime64[us, UTC]; datablob_name,
            datablob_group_name, model_template_name, model_template_group_name object; then ``dbh__*``, the data
            set's hyperparameters (flat), and ``mth__*``, the template's, with dtypes as pandas infers them and NaN
            if a model has none.

        Raises:
            InvalidArgumentError: A name and a group of the same kind.
        """
        wanted = ModelFilter(datablob_name, datablob_group_name, model_template_name, model_template_group_name)
        with self._reader() as reader:
            return scalarstop.list_models(reader, wanted)

    def list_models_grouped_by_epoch_metric(
        self,
        *,
        metric_name: str,
        metric_direction: str,
        datablob_name: Names = None,
        datablob_group_name: Names = None,
        model_template_name: Names = None,
        model_template_group_name: Names = None,
    ) -> DataFrame:
        """The models that have an epoch, ranked by their best one, the best first.

        Args:
            metric_name: For instance "val_loss".
            metric_direction: "min" or "max": which is better.
            datablob_name, datablob_group_name, model_template_name, model_template_group_name: As for `list_models`.

        Returns:
            The columns of `list_models`, with sort_metric_value float64 before ``dbh__*``: NaN, and last, for models
            that have no finite value of the metric.

        Raises:
            InvalidArgumentError: A name and a group of the same kind, a direction that is neither, no metric.
        """
        wanted = ModelFilter(datablob_name, datablob_group_name, model_template_name, model_template_group_name)
        with self._reader() as reader:
            return scalarstop.list_models_grouped_by_epoch_metric(reader, metric_name, metric_direction, wanted)

    def get_best_model(
        self,
        *,
        metric_name: str,
        metric_direction: str,
        datablob_name: Names = None,
        datablob_group_name: Names = None,
        model_template_name: Names = None,
        model_template_group_name: Names = None,
    ) -> ModelRecord:
        """The model that has the best epoch by a metric; ties go to the earlier model and epoch.

        Args:
            metric_name, metric_direction: As for `list_models_grouped_by_epoch_metric`.
            datablob_name, datablob_group_name, model_template_name, model_template_group_name: As for `list_models`.

        Raises:
            ModelNotFoundError: No such model has a finite value of the metric.
            InvalidArgumentError: As for `list_models_grouped_by_epoch_metric`.
        """
        wanted = ModelFilter(datablob_name, datablob_group_name, model_template_name, model_template_group_name)
        with self._reader() as reader:
            return scalarstop.get_best_model(reader, metric_name, metric_direction, wanted)

    # --- Epochs ------------------------------------------------------------------------------------------------------

    def insert_model_epoch(
        self,
        *,
        epoch_num: int,
        model_name: str,
        metrics: Any,
        steps_per_epoch: int | None = None,
        validation_steps_per_epoch: int | None = None,
        ignore_existing: bool = False,
    ) -> None:
        """Store the metrics of one epoch of a model.

        Args:
            epoch_num: Its number, whole (NumPy's too); ``KerasModel.fit`` counts from 1.
            model_name: Of a stored model.
            metrics: Names to values.
            steps_per_epoch: Training steps that make an epoch; None: until the data is exhausted.
            validation_steps_per_epoch: Likewise for validation.
            ignore_existing: Leave an epoch of this number and model as it is, without an error.

        Raises:
            sqlalchemy.exc.IntegrityError: The model has this epoch already, or there is no such model (the latter
                also with ``ignore_existing``).
            InvalidArgumentError: Metrics that are not a mapping, a number that is not whole or beyond 32 bits, a name
                that is not a str.
        """
        values = {
            "model_epoch_num": _integer("epoch_num", epoch_num),
            "model_name": _text("model_name", model_name),
            "model_epoch_metrics": _hyperparams(metrics, "metrics"),
            "steps_per_epoch": _integer("steps_per_epoch", steps_per_epoch),
            "validation_steps_per_epoch": _integer("validation_steps_per_epoch", validation_steps_per_epoch),
        }
        self._insert("model_epoch", ["model_epoch_num", "model_name"], [values], ignore_existing)

    def bulk_insert_model_epochs(self, model: Any) -> None:
        """Store every epoch of a model's history at once; epochs that are stored already stay as they are.

        Args:
            model: A ScalarStop Model that is stored: anything with ``name``, ``current_epoch`` and ``history`` (metric
                name to a list of values, the first of them of epoch 1).

        Raises:
            sqlalchemy.exc.IntegrityError: There is no such model.
        """
        rows = [
            {
                "model_epoch_num": place + 1,
                "model_name": _text("model.name", model.name),
                "model_epoch_metrics": _hyperparams(
                    {name: values[place] for name, values in model.history.items() if place < len(values)}, "metrics"
                ),
            }
            for place in range(model.current_epoch)
        ]
        self._insert("model_epoch", ["model_epoch_num", "model_name"], rows, ignore_existing=True)

    def list_model_epochs(self, model_name: Names = None) -> DataFrame:
        """Epochs, by their number.

        Args:
            model_name: Only those of this model, or of these (list). None: of all.

        Returns:
            Columns: epoch_num int64; model_name object; last_modified datetime64[us, UTC]; steps_per_epoch,
            validation_steps_per_epoch (float64, or object if all are None); then ``metric__*``, with dtypes as pandas
            infers them and NaN if an epoch has none.
        """
        with self._reader() as reader:
            return scalarstop.list_model_epochs(reader, model_name)

    def get_current_epoch(self, model_name: str) -> int:
        """The highest epoch number of a model; 0 if it has none, or is not stored.

        Args:
            model_name: Its name.

        Raises:
            InvalidArgumentError: ``model_name`` is not a str (a ValueError, as in ScalarStop).
        """
        if not isinstance(model_name, str):
            raise InvalidArgumentError(f"model_name {model_name!r} is not a str; pass the name of one model")
        with self._reader() as reader:
            return scalarstop.get_current_epoch(reader, model_name)

    # --- How ---------------------------------------------------------------------------------------------------------

    def _insert(self, table_name: str, key: list[str], rows: list[dict[str, Any]], ignore_existing: bool) -> None:
        table = getattr(self._models, table_name)
        now = datetime.now(UTC)
        dated = [{**row, f"{table_name}_last_modified": now} for row in rows]
        with self._transaction() as connection:
            if ignore_existing:
                self._backend.insert_missing(connection, table, key, dated)
            else:
                connection.execute(insert(table), dated)


def _text(argument: str, value: str | None) -> str | None:
    """A text that both databases take. None is passed on: they refuse it with an IntegrityError, as with ScalarStop."""
    if value is not None and not isinstance(value, str):
        raise InvalidArgumentError(f"{argument} {value!r} is not a str")
    return None if value is None else plain_text(value)


def _integer(argument: str, value: Any) -> int | None:
    """A Python int, since SQLite would store NumPy's as bytes; None as for `_text`."""
    if value is None:
        return None
    try:
        number = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    except TypeError:
        raise InvalidArgumentError(f"{argument} {value!r} is not a whole number") from None
    if not -INT32_MAX <= number <= INT32_MAX:
        raise InvalidArgumentError(f"{argument} {number} is not within ±{INT32_MAX}, which the databases can hold")
    return number


def _hyperparams(values: Any, argument: str = "hyperparams") -> dict[str, Any]:
    """As stored: None becomes an empty JSON object; a mapping, a dataclass or pairs become one with their items."""
    # The value is not shown whole: it may be huge, or hold a secret.
    values = plain_config(() if values is None else values)
    try:
        return canonical_hyperparams(values if isinstance(values, Mapping) else dict(values))
    except (TypeError, ValueError):
        raise InvalidArgumentError(
            f"{argument} {reprlib.repr(values)} is neither a mapping nor a dataclass; pass a dict of names to values"
        ) from None


def _flattened(stored: dict[str, Any]) -> dict[str, Any]:
    """The hyperparameters merged with those of the parent, and of its parents; the child's win."""
    flat = {name: value for name, value in stored.items() if name != "parent"}
    parent = stored.get("parent")
    if not parent:
        return flat
    if not isinstance(parent, dict) or not isinstance(parent.get("hyperparams"), dict):
        return stored  # a hyperparameter that happens to have this name
    return {**_flattened(parent["hyperparams"]), **flat}
