"""Optuna's databases (its RDB storage): a trial is a run, a study its project.

What a trial becomes, `optuna_trial` says.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import column, func, select, table

from trainstore.errors import SourceError
from trainstore.importing.columns import zone_of
from trainstore.importing.databases import (
    Database,
    Digests,
    Query,
    Schema,
    databases,
    has,
    have,
    int_of,
    query,
    text_of,
)
from trainstore.importing.foreign import Entry, ForeignRun, Options, Session, Unread
from trainstore.importing.optuna_trial import Trial, tags_of
from trainstore.importing.places import Place
from trainstore.importing.reports import plural
from trainstore.importing.texts import parse_json

TOOL = "optuna"
LABEL = "Optuna"

_NEEDED = ("studies.study_name", "trials.study_id", "trials.state", "trial_params")
_NAMES = dict(enumerate(("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")))  # as TrialState counts them
_VALUES = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}
_INTEGERS = {"IntDistribution", "IntUniformDistribution", "IntLogUniformDistribution"}
_TRIAL = ("trial_id", "number", "study_id", "state", "value", "datetime_start", "datetime_complete")


def is_at(place: Place) -> bool:
    """Whether there is a database with Optuna's tables."""
    return have(place, *_NEEDED)


def runs(place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
    """The trials of all studies of all databases."""
    zone = zone_of(options.timezone)
    found = False
    for database in databases(place):
        if isinstance(database, Unread):
            yield database
        elif has(database[1], *_NEEDED):
            found = True
            yield from _Studies(*database, zone).runs()
    if not found:
        raise SourceError(f"{place.shown} holds no database of Optuna")


@dataclass(slots=True)
class _Study:
    name: str
    directions: tuple[str, ...] = ()
    tags: dict[str, Any] = field(default_factory=dict)
    waiting: int = 0


class _Studies:
    """A database of Optuna's."""

    def __init__(self, database: Database, schema: Schema, zone: tzinfo | None) -> None:
        self.database = database
        self.schema = schema
        self.zone = zone
        self._repeats: dict[Any, int] = {}  # trials' ids → the numbers of the failed ones that they repeat

    def runs(self) -> Iterator[ForeignRun | Unread]:
        """The trials, study by study, by their numbers."""
        with self.database.reading():
            studies = self._studies()
            digests = self._digests()
            self._repeats = self._repeated()
            statement, there = query(self.schema, "trials", _TRIAL)
            order = [there[name] for name in ("study_id", "number", "trial_id") if name in there]
            identities: dict[tuple[Any, int], str] = {}
            for rows in list(self.database.chunks(statement.order_by(*order))):
                for row in rows:
                    study = studies.get(row.study_id)
                    if study is None:
                        yield Unread(self.database.where(f"trial {row.trial_id}"), "belongs to no study")
                        continue
                    trial = self._trial(row, study)
                    if trial.state == "WAITING":
                        study.waiting += 1
                        continue
                    identities[row.study_id, trial.number] = trial.identity
                    yield self._run(row, trial, study, digests, identities)
            for study in studies.values():
                if study.waiting:
                    yield Unread(
                        self.database.where(study.name),
                        f"has {plural(study.waiting, 'trial')} waiting to be run, of which there is nothing yet",
                    )

    def _run(
        self, row: Any, trial: Trial, study: _Study, digests: Digests, identities: Mapping[tuple[Any, int], str]
    ) -> ForeignRun:
        parent = self._repeats.get(row.trial_id)
        of_study = (study.name, study.directions, study.tags, self.zone)
        text = f"{tuple(row)!r}:{digests.of(row.trial_id)}:{of_study!r}"
        stamp = hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()
        started_at = trial.started_at(self.zone)

        def load(damage: list[str]) -> Trial:
            return self._loaded(row, study, damage)

        return ForeignRun(
            identity=trial.identity,
            name=trial.name,
            started_at=started_at,
            where=self.database.where(f"{study.name}, trial {trial.number}"),
            sessions=[_Session(trial.identity, started_at, stamp, load, self.zone)],
            project=study.name,
            parent=None if parent is None else identities.get((row.study_id, parent)),
        )

    def _trial(self, row: Any, study: _Study) -> Trial:
        """A trial without what lies in other tables."""
        number = int_of(row.number)
        state = row.state if isinstance(row.state, str) else _NAMES.get(row.state, "RUNNING")
        return Trial(
            study.name,
            number if number is not None else int_of(row.trial_id) or 0,
            state,
            _time(row.datetime_start),
            _time(row.datetime_complete),
            directions=study.directions,
        )

    def _loaded(self, row: Any, study: _Study, damage: list[str]) -> Trial:
        """A trial with everything; what it reported is read while it is used."""
        trial = self._trial(row, study)
        trial.params = self._params(row.trial_id, damage)
        own = self.attributes("trial_user_attributes", "trial_id", row.trial_id, damage)
        trial.tags = tags_of(study.tags, own)
        trial.system = self.attributes("trial_system_attributes", "trial_id", row.trial_id, damage)
        trial.objectives = self._objectives(row)
        trial.reported = self._reported(row.trial_id, damage)
        return trial

    def _studies(self) -> dict[Any, _Study]:
        statement, _ = query(self.schema, "studies", ("study_id", "study_name", "direction"))
        found: dict[Any, _Study] = {}
        for row in self.database.rows(statement):
            study = _Study(text_of(row.study_name) or str(row.study_id))
            study.directions = (row.direction,) if isinstance(row.direction, str) else ()
            found[row.study_id] = study
        if has(self.schema, "study_directions.study_id"):
            statement, there = query(self.schema, "study_directions", ("study_id", "direction", "objective"))
            order = [there[name] for name in ("study_id", "objective") if name in there]
            for row in self.database.rows(statement.order_by(*order)):
                if row.study_id in found and isinstance(row.direction, str):
                    found[row.study_id].directions += (row.direction,)
        for key, study in found.items():
            study.tags = self.attributes("study_user_attributes", "study_id", key, [])
        return found

    def _digests(self) -> Digests:
        """What changes with everything that is stored of a trial, by its id."""
        found = Digests()
        for name in ("trial_params", "trial_values", "trial_user_attributes", "trial_system_attributes"):
            if has(self.schema, f"{name}.trial_id"):
                columns = ["trial_id", *sorted(self.schema[name] - {"trial_id"})]
                for row in self.database.rows(query(self.schema, name, columns)[0]):
                    found.add(row[0], name, *row[1:])
        name = "trial_intermediate_values"
        if has(self.schema, f"{name}.trial_id", f"{name}.step"):
            counted: Any = (column("trial_id"), func.count(), func.max(column("step")))
            statement: Query = select(*counted).select_from(table(name)).group_by(column("trial_id"))
            for row in self.database.rows(statement):
                found.add(row[0], name, *row[1:])
        return found

    def _repeated(self) -> dict[Any, int]:
        name = "trial_system_attributes"
        if not has(self.schema, f"{name}.trial_id", f"{name}.key", f"{name}.value_json"):
            return {}
        statement, _ = query(self.schema, name, ("trial_id", "value_json"))
        rows = self.database.rows(statement.where(column("key") == "failed_trial"))
        numbers = {row.trial_id: int_of(text_of(row.value_json)) for row in rows}
        return {trial_id: number for trial_id, number in numbers.items() if number is not None}

    def attributes(self, name: str, by: str, key: Any, damage: list[str]) -> dict[str, Any]:
        """The attributes of a trial or a study."""
        if not has(self.schema, f"{name}.{by}", f"{name}.key", f"{name}.value_json"):
            return {}
        statement, there = query(self.schema, name, ("key", "value_json"))
        found: dict[str, Any] = {}
        for row in self.database.rows(statement.where(column(by) == key).order_by(there["key"])):
            attribute, text = text_of(row.key) or "", text_of(row.value_json) or ""
            try:
                found[attribute] = parse_json(text, f"attribute {attribute}")
            except SourceError as error:
                damage.append(str(error))
                found[attribute] = text
        return found

    def _params(self, trial_id: Any, damage: list[str]) -> dict[str, Any]:
        wanted = ("param_id", "param_name", "param_value", "distribution_json")
        statement, there = query(self.schema, "trial_params", wanted)
        order = [there[name] for name in ("param_id", "param_name") if name in there]
        found: dict[str, Any] = {}
        for row in self.database.rows(statement.where(column("trial_id") == trial_id).order_by(*order)):
            name = text_of(row.param_name) or ""
            try:
                found[name] = _param(row.param_value, text_of(row.distribution_json) or "")
            except (SourceError, TypeError, ValueError, LookupError, OverflowError):
                damage.append(f"parameter {name}: its distribution cannot be read; its number is kept as it is")
                found[name] = row.param_value
        return found

    def _objectives(self, row: Any) -> dict[int, Any]:
        name = "trial_values"
        if not has(self.schema, f"{name}.trial_id", f"{name}.value"):
            return {0: row.value} if isinstance(row.value, float) else {}
        statement, there = query(self.schema, name, ("objective", "value", "value_type"))
        order = [there["objective"]] if "objective" in there else []
        rows = self.database.rows(statement.where(column("trial_id") == row.trial_id).order_by(*order))
        found = {int_of(one.objective) or 0: _value(one.value, one.value_type) for one in rows}
        return {place: value for place, value in found.items() if value is not None}

    def _reported(self, trial_id: Any, damage: list[str]) -> Iterator[tuple[int, Any]]:
        name = "trial_intermediate_values"
        if not has(self.schema, f"{name}.trial_id", f"{name}.step", f"{name}.intermediate_value"):
            return
        statement, there = query(self.schema, name, ("step", "intermediate_value", "intermediate_value_type"))
        odd = 0
        for row in self.database.rows(statement.where(column("trial_id") == trial_id).order_by(there["step"])):
            value = _value(row.intermediate_value, row.intermediate_value_type)
            if value is None or type(row.step) is not int:
                odd += 1
            else:
                yield row.step, value
        if odd:
            damage.append(f"{odd:,} intermediate values have no number as their value or step")


class _Session(Session):
    """A trial in a database."""

    def __init__(
        self,
        identity: str,
        started_at: int,
        stamp: str,
        load: Callable[[list[str]], Trial],
        zone: tzinfo | None,
    ) -> None:
        super().__init__()
        self.identity = identity
        self.started_at = started_at
        self.stamp = stamp
        self._load = load
        self._zone = zone

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """All of it."""
        trial = self._load(self.damage)
        yield from trial.entries(self._zone, self.left_out)


def _param(value: Any, distribution: str) -> Any:
    """A parameter's value: its number means what its distribution says."""
    parsed = parse_json(distribution, "distribution")
    name, attributes = parsed["name"], parsed["attributes"]
    if name == "CategoricalDistribution":
        place = int(value)
        if place < 0:
            raise IndexError(place)
        return attributes["choices"][place]
    return int(value) if name in _INTEGERS else float(value)


def _value(value: Any, kind: Any) -> float | None:
    """A number as it was reported; None if it is none."""
    if isinstance(kind, str) and kind in _VALUES:
        return _VALUES[kind]
    if value is None and kind is None:
        return math.nan  # older schemas have NULL for it
    try:
        return None if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _time(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(text_of(value) or "")
    except ValueError:
        return None
