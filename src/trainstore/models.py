"""The schema: every table, column and view, what it holds and in which unit.

Columns are declared in mixins and the mapped classes are made from them, once for each table name prefix, by
`models_for`: ``Table.to_metadata(name=…)`` would leave the foreign keys pointing at the names without prefix.
``Run``, ``StepLog`` and the others at the end of this module are those of the empty prefix.

The picture of the schema stands in docs/concepts.md; the rules behind attempts and summaries in recording/attempts.py
and recording/summary.py. What the types of columns are on each database stands in column_types.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, ClassVar

from sqlalchemy import (
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.sql.ddl import CreateView

from trainstore.column_types import BigId, JsonType, ScalarStopJson, UTCDateTime, WholeNumber
from trainstore.errors import InvalidArgumentError

STATUSES = ("running", "finished", "failed", "interrupted", "pruned")
NAMESPACES = ("hp", "mth", "dbh", "env", "tag")
OPEN_END = 2**63 - 1
# When a writer is alive: it renews `heartbeat_at`, and counts as dead when that is older than this.
HEARTBEAT = 30.0  # seconds
LOST_AFTER = timedelta(seconds=90)
PREFIX_PATTERN = re.compile(r"(?:[a-z_][a-z0-9_]{0,19})?\Z")


def _utcnow() -> datetime:
    return datetime.now(UTC)


NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class _Columns:
    """Base of the mixins: the prefix of the classes made from it."""

    prefix: ClassVar[str] = ""
    name_: ClassVar[str]

    @classmethod
    def _key(cls, name: str) -> str:
        return f"{cls.prefix}{name}"


class StoreColumns(_Columns):
    """One row: which store this is. A new database under an old name is another store."""

    name_ = "store"
    uid: Mapped[str] = mapped_column(String(36), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class RunColumns(_Columns):
    """One training session. Its name is a label and not unique; the uid is its identity."""

    name_ = "run"
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True)  # uuid4, made by the client
    project: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16))  # of its head attempt; one of STATUSES
    started_at: Mapped[datetime] = mapped_column(UTCDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    error: Mapped[str | None] = mapped_column(Text)  # type and text of what ended it
    source: Mapped[str] = mapped_column(Text)  # which integration recorded it: "python", "transformers", …
    last_step: Mapped[int | None] = mapped_column(WholeNumber)  # the highest current step
    notes: Mapped[str | None] = mapped_column(Text)
    # A name in ``model``, if ScalarStop's tables are used; no foreign key, as a run may begin before its model.
    model_name: Mapped[str | None] = mapped_column(Text)
    # The run whose checkpoint this one started from, here or not: it may be in another store, not here yet, or deleted.
    parent_uid: Mapped[str | None] = mapped_column(String(36))
    parent_step: Mapped[int | None] = mapped_column(WholeNumber)

    @declared_attr
    @classmethod
    def parent_run_id(cls) -> Mapped[int | None]:
        """The run that ``parent_uid`` names, while it is here."""
        return mapped_column(ForeignKey(f"{cls._key('run')}.id", ondelete="SET NULL"))

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        return (
            Index(None, "project"),
            Index(None, "started_at"),
            Index(None, "name"),
            Index(None, "parent_uid"),
            Index(None, "parent_run_id"),
            {"sqlite_autoincrement": True},
        )


class _KeyedByRun(_Columns):
    """Rows that belong to a run, whose id their key begins with."""

    @declared_attr
    @classmethod
    def run_id(cls) -> Mapped[int]:
        """The run that it belongs to."""
        return mapped_column(ForeignKey(f"{cls._key('run')}.id", ondelete="CASCADE"), primary_key=True, sort_order=-1)


class AttemptColumns(_KeyedByRun):
    """One stretch of a run: from a start or a checkpoint on. Attempts form a tree (recording/attempts.py)."""

    name_ = "attempt"
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)  # only a name, not an order
    uid: Mapped[str] = mapped_column(String(36), unique=True)  # of the writer that opened it
    resumed_from: Mapped[int | None] = mapped_column(Integer)  # the attempt whose checkpoint it took up
    start_step: Mapped[int] = mapped_column(WholeNumber)  # the last step kept; -1: from nothing
    end_step: Mapped[int] = mapped_column(WholeNumber)  # its rows up to here are current; open: 2^63 - 1
    last_step: Mapped[int | None] = mapped_column(WholeNumber)  # highest stored
    opened_at: Mapped[datetime] = mapped_column(UTCDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    status: Mapped[str] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(Text)
    git_commit: Mapped[str | None] = mapped_column(String(64))
    git_dirty: Mapped[bool | None] = mapped_column()
    command: Mapped[str | None] = mapped_column(Text)  # the command line, redacted
    host: Mapped[str | None] = mapped_column(Text)
    versions: Mapped[Any | None] = mapped_column(JsonType)  # {"python": "3.11.7", "torch": …}
    changed_hyperparams: Mapped[Any | None] = mapped_column(JsonType)  # {"hp.learning_rate": [old, new]}


class StepLogColumns(_Columns):
    """Every metric of one step, as one JSON object; a step is an optimizer step."""

    name_ = "step_log"
    run_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    step: Mapped[int] = mapped_column(WholeNumber, primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    logged_at: Mapped[datetime] = mapped_column(UTCDateTime)  # of the step's first record, the caller's clock
    epoch: Mapped[float | None] = mapped_column(Double)
    step_time: Mapped[float | None] = mapped_column(Double)  # seconds
    metrics: Mapped[Any] = mapped_column(JsonType)  # {"loss": 0.5, …}, values as in values.py
    details: Mapped[Any | None] = mapped_column(JsonType)  # text samples; "earlier": replaced values

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        attempt = cls._key("attempt")
        return (
            ForeignKeyConstraint(
                ["run_id", "attempt"], [f"{attempt}.run_id", f"{attempt}.attempt"], ondelete="CASCADE"
            ),
        )


class MetricSummaryColumns(_KeyedByRun):
    """The summary of one metric over a run's current steps; always equal to a recomputation from current_step_log."""

    name_ = "metric_summary"
    metric: Mapped[str] = mapped_column(Text, primary_key=True)
    count: Mapped[int] = mapped_column(WholeNumber)  # numeric values; 0 means absent
    nonfinite_count: Mapped[int] = mapped_column(WholeNumber)  # NaN and infinities among them
    min: Mapped[float | None] = mapped_column(Double)  # over finite values
    min_step: Mapped[int | None] = mapped_column(WholeNumber)  # the earliest step that has it
    max: Mapped[float | None] = mapped_column(Double)
    max_step: Mapped[int | None] = mapped_column(WholeNumber)
    last: Mapped[float | None] = mapped_column(Double)  # at the highest step; null with last_step set: NaN
    last_step: Mapped[int | None] = mapped_column(WholeNumber)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        return (
            Index(None, "metric", "min"),
            Index(None, "metric", "max"),
            # Room in the page keeps PostgreSQL's updates in place, and only while no other column is indexed.
            {"sqlite_with_rowid": False, "postgresql_with": {"fillfactor": 70}},
        )


class HyperparamColumns(_KeyedByRun):
    """One hyperparameter or other fact of a run, key/value."""

    name_ = "hyperparam"
    # hp: training arguments and what the user passes; mth: model; dbh: data; env: environment; tag: tags
    namespace: Mapped[str] = mapped_column(String(16), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[Any | None] = mapped_column(JsonType)  # values as in values.py
    number: Mapped[float | None] = mapped_column(Double)  # the value if it is a finite number
    attempt: Mapped[int] = mapped_column(Integer)  # that set it

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        return (Index(None, "namespace", "key", "number"), {"sqlite_with_rowid": False})


class WriterColumns(_Columns):
    """One process that records, or recorded, into a run; its journal has the same uid."""

    name_ = "writer"
    uid: Mapped[str] = mapped_column(String(36), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer)
    rank: Mapped[int] = mapped_column(Integer)
    host: Mapped[str] = mapped_column(Text)
    username: Mapped[str | None] = mapped_column(Text)  # not "user": PostgreSQL reads that, unquoted, as CURRENT_USER
    pid: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(UTCDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # the database's clock
    heartbeat_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # the database's clock; see HEARTBEAT
    acked: Mapped[int] = mapped_column(WholeNumber)  # sequence number of its last record stored

    @declared_attr
    @classmethod
    def run_id(cls) -> Mapped[int]:
        """The run that it records."""
        return mapped_column(ForeignKey(f"{cls._key('run')}.id", ondelete="CASCADE"), index=True)


class EventColumns(_Columns):
    """Something that happened in a run: a checkpoint, a refused record, a note."""

    name_ = "event"
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    writer_uid: Mapped[str] = mapped_column(String(36))
    seq: Mapped[int] = mapped_column(WholeNumber)  # the record's number in its writer's journal
    at: Mapped[datetime] = mapped_column(UTCDateTime)
    step: Mapped[int | None] = mapped_column(WholeNumber)
    kind: Mapped[str] = mapped_column(Text)  # checkpoint, gap, refused, push, note, …
    details: Mapped[Any | None] = mapped_column(JsonType)

    @declared_attr
    @classmethod
    def run_id(cls) -> Mapped[int]:
        """The run that it belongs to."""
        return mapped_column(ForeignKey(f"{cls._key('run')}.id", ondelete="CASCADE"))

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        return (UniqueConstraint("run_id", "writer_uid", "seq"), {"sqlite_autoincrement": True})


class DeletedRunColumns(_Columns):
    """A run that was deleted here: merging, copying and importing do not bring it back (recording/deletion.py)."""

    name_ = "deleted_run"
    uid: Mapped[str] = mapped_column(String(36), primary_key=True)
    deleted_at: Mapped[datetime] = mapped_column(UTCDateTime)  # when it was last deleted; later than all its attempts
    revived_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # when it was last brought back on purpose


class NotificationColumns(_Columns):
    """An event that is sent to somebody, so that nobody sends it twice."""

    name_ = "notification"
    writer_uid: Mapped[str] = mapped_column(String(36), primary_key=True)  # with seq: the event
    seq: Mapped[int] = mapped_column(WholeNumber, primary_key=True, autoincrement=False)
    target: Mapped[str] = mapped_column(String(64), primary_key=True)  # a hash of where it is sent
    claimed_at: Mapped[datetime] = mapped_column(UTCDateTime)  # by the process that sends it; the database's clock
    sent_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    @declared_attr
    @classmethod
    def run_id(cls) -> Mapped[int]:
        """The run that the event belongs to."""
        return mapped_column(ForeignKey(f"{cls._key('run')}.id", ondelete="CASCADE"), index=True)


class DatablobColumns(_Columns):
    """ScalarStop: a data set and how it was made."""

    name_ = "datablob"
    datablob_name: Mapped[str] = mapped_column(Text, primary_key=True)
    datablob_group_name: Mapped[str] = mapped_column(Text)
    datablob_hyperparams: Mapped[Any] = mapped_column(ScalarStopJson)
    datablob_hyperparams_flat: Mapped[Any | None] = mapped_column(ScalarStopJson)
    datablob_last_modified: Mapped[datetime] = mapped_column(UTCDateTime, default=_utcnow, onupdate=_utcnow)


class ModelTemplateColumns(_Columns):
    """ScalarStop: an architecture with its hyperparameters."""

    name_ = "model_template"
    model_template_name: Mapped[str] = mapped_column(Text, primary_key=True)
    model_template_group_name: Mapped[str] = mapped_column(Text)
    model_template_hyperparams: Mapped[Any] = mapped_column(ScalarStopJson)
    model_template_last_modified: Mapped[datetime] = mapped_column(UTCDateTime, default=_utcnow, onupdate=_utcnow)


class ModelColumns(_Columns):
    """ScalarStop: a model template trained on a datablob."""

    name_ = "model"
    model_name: Mapped[str] = mapped_column(Text, primary_key=True)
    model_class_name: Mapped[str] = mapped_column(Text)
    model_last_modified: Mapped[datetime] = mapped_column(UTCDateTime, default=_utcnow, onupdate=_utcnow)

    @declared_attr
    @classmethod
    def datablob_name(cls) -> Mapped[str]:
        """The data set that it is trained on."""
        name = f"{cls._key('datablob')}.datablob_name"
        return mapped_column(ForeignKey(name, ondelete="CASCADE", onupdate="CASCADE"))

    @declared_attr
    @classmethod
    def model_template_name(cls) -> Mapped[str]:
        """The architecture that it has."""
        name = f"{cls._key('model_template')}.model_template_name"
        return mapped_column(ForeignKey(name, ondelete="CASCADE", onupdate="CASCADE"))


class ModelEpochColumns(_Columns):
    """ScalarStop: the metrics of one epoch of a model."""

    name_ = "model_epoch"
    model_epoch_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    model_epoch_num: Mapped[int] = mapped_column(Integer)
    model_epoch_metrics: Mapped[Any] = mapped_column(ScalarStopJson)
    model_epoch_last_modified: Mapped[datetime] = mapped_column(UTCDateTime, default=_utcnow, onupdate=_utcnow)
    steps_per_epoch: Mapped[int | None] = mapped_column(Integer)
    validation_steps_per_epoch: Mapped[int | None] = mapped_column(Integer)

    @declared_attr
    @classmethod
    def model_name(cls) -> Mapped[str]:
        """The model that was trained."""
        return mapped_column(ForeignKey(f"{cls._key('model')}.model_name", ondelete="CASCADE", onupdate="CASCADE"))

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        return (UniqueConstraint("model_epoch_num", "model_name"),)


_MIXINS: dict[str, type[_Columns]] = {
    "Store": StoreColumns,
    "Run": RunColumns,
    "Attempt": AttemptColumns,
    "StepLog": StepLogColumns,
    "MetricSummary": MetricSummaryColumns,
    "Hyperparam": HyperparamColumns,
    "Writer": WriterColumns,
    "Event": EventColumns,
    "DeletedRun": DeletedRunColumns,
    "Notification": NotificationColumns,
    "Datablob": DatablobColumns,
    "ModelTemplate": ModelTemplateColumns,
    "Model": ModelColumns,
    "ModelEpoch": ModelEpochColumns,
}
TABLE_NAMES: tuple[str, ...] = tuple(mixin.name_ for mixin in _MIXINS.values())
SCALARSTOP_TABLES = ("datablob", "model_template", "model", "model_epoch")
VIEW_NAME = "current_step_log"
VERSION_TABLE = "trainstore_version"


class Models:
    """The mapped classes, tables and view of one prefix.

    ``models.Run`` is the class, ``models.run`` its Table (and so for every table), ``models.current_step_log`` the
    view, ``models.trainstore_version`` Alembic's version table, ``models.metadata`` all of them.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.metadata = MetaData(naming_convention=NAMING_CONVENTION)
        base = type("Base", (DeclarativeBase,), {"metadata": self.metadata, "__module__": __name__})
        for class_name, mixin in _MIXINS.items():
            members = {
                "__tablename__": f"{prefix}{mixin.name_}",
                "__module__": __name__,
                "__doc__": mixin.__doc__,
                "prefix": prefix,
            }
            mapped = type(class_name, (mixin, base), members)
            setattr(self, class_name, mapped)
            setattr(self, mixin.name_, mapped.__table__)  # type: ignore[attr-defined]
        self.trainstore_version = Table(
            f"{prefix}{VERSION_TABLE}", self.metadata, Column("version_num", String(32), primary_key=True)
        )
        self.create_view = CreateView(
            select(*self.step_log.c)
            .join_from(
                self.step_log,
                self.attempt,
                (self.step_log.c.run_id == self.attempt.c.run_id) & (self.step_log.c.attempt == self.attempt.c.attempt),
            )
            .where(self.step_log.c.step <= self.attempt.c.end_step),
            f"{prefix}{VIEW_NAME}",
            metadata=self.metadata,
        )
        self.current_step_log = self.create_view.table

    # One annotation for all: the attributes are made above, by name.
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no table or class {name!r}; there are {', '.join(TABLE_NAMES)}, {VIEW_NAME}")

    @property
    def tables(self) -> SimpleNamespace:
        """The Table objects by their names without prefix, the view among them, and ``metadata``."""
        names: Sequence[str] = (*TABLE_NAMES, VIEW_NAME)
        return SimpleNamespace(**{name: getattr(self, name) for name in names}, metadata=self.metadata)

    @property
    def table_names(self) -> frozenset[str]:
        """Every name that we use in the database, prefix included: tables, version table, view."""
        return frozenset(f"{self.prefix}{name}" for name in (*TABLE_NAMES, VERSION_TABLE, VIEW_NAME))


@lru_cache(maxsize=64)
def models_for(prefix: str = "") -> Models:
    """The mapped classes of one table name prefix: the same object at every call.

    Args:
        prefix: Empty, or 1 to 20 of ``a-z 0-9 _``, not beginning with a digit.

    Raises:
        InvalidArgumentError: Any other prefix.
    """
    if not isinstance(prefix, str) or not PREFIX_PATTERN.match(prefix):
        raise InvalidArgumentError(
            f"table_name_prefix {prefix!r} cannot be used: take at most 20 of a-z, 0-9 and _, not a digit first"
        )
    return Models(prefix)


_default = models_for("")
Store = _default.Store
Run = _default.Run
Attempt = _default.Attempt
StepLog = _default.StepLog
MetricSummary = _default.MetricSummary
Hyperparam = _default.Hyperparam
Writer = _default.Writer
Event = _default.Event
DeletedRun = _default.DeletedRun
Notification = _default.Notification
Datablob = _default.Datablob
ModelTemplate = _default.ModelTemplate
Model = _default.Model
ModelEpoch = _default.ModelEpoch
