"""What differs between runs, what matters first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from trainstore.errors import InvalidArgumentError
from trainstore.queries.frames import TEXT, assemble, comparable, parse, series
from trainstore.queries.metric_names import is_effort
from trainstore.queries.names import flat, run_labels, spelled
from trainstore.queries.reader import Reader, RunKey, among, is_one_run, resolve_runs
from trainstore.queries.record_display import LAST_KEYS
from trainstore.queries.records import RunRecord
from trainstore.queries.run_source import run_source
from trainstore.queries.runs import SUMMARIES, check_choice, get_runs
from trainstore.queries.training_arguments import is_default

if TYPE_CHECKING:
    from pandas import DataFrame

_OF_RUN = (
    "project", "name", "status", "error", "last_step", "source", "model_name", "parent_uid", "parent_step", "attempts",
    "host", "command", "git_commit", "git_dirty", "notes",
)  # fmt: skip
_PLACES = tuple(spelled("hp", name) for name in LAST_KEYS)
_NAMESPACES = {
    "hp": "hyperparams",
    "mth": "model_hyperparams",
    "dbh": "data_hyperparams",
    "env": "environment",
    "tag": "tags",
}
_GROUPS = ("hp", "metric", "mth", "dbh", "tag", "", "env", "attempt", "place", "effort")
_ABOUT = ("mth", "dbh", "env", "attempt")

_Fact = tuple[str, str]  # its group and its name


class Known(NamedTuple):
    """What is known of a run: every fact, and the names of a Trainer's arguments that nobody set."""

    facts: dict[_Fact, Any]
    unset: set[str]


def compare_runs(
    reader: Reader,
    runs: object,
    *more: object,
    summary: str = "last",
    everything: bool = False,
    columns: str = "name",
) -> DataFrame:
    """What differs between runs, or everything."""
    import pandas as pd

    check_choice("summary", summary, (*SUMMARIES, "all"))
    check_choice("columns", columns, ("name", "uid"))
    known = known_of(reader, resolve_runs(reader, _several(runs, more)), summary)
    shown = facts_of(known.values())
    if not everything:
        kept = _differing(set(shown), list(known.values()))
        kept -= {("", "name")} if columns == "name" else set()  # the headings say it
        shown = [fact for fact in shown if fact in kept]
    labels = run_labels({key.id: one.facts["", "name"] for key, one in known.items()})
    values = {
        key.uid if columns == "uid" else labels[key.id]: series([one.facts.get(fact) for fact in shown], TEXT)
        for key, one in known.items()
    }
    table = assemble(values, len(shown))
    table.index = pd.Index([name for _, name in shown], dtype=object, name="key")
    return table


def known_of(reader: Reader, keys: Iterable[RunKey], summary: str = "last") -> dict[RunKey, Known]:
    """Everything that is known of these runs."""
    records = get_runs(reader, list(keys))
    ids = [key.id for key in records]
    metrics, versions = _metrics(reader, ids, summary), _versions(reader, ids)
    return {
        key: Known(_facts(record) | metrics[key.id] | versions[key.id], _defaults(record))
        for key, record in records.items()
    }


def facts_of(known: Iterable[Known]) -> list[_Fact]:
    """The facts that at least one run has, what matters first."""
    there = {fact for one in known for fact, value in one.facts.items() if value is not None}
    return sorted(there, key=lambda fact: (_GROUPS.index(fact[0]), fact[1]))


def _differing(there: set[_Fact], known: Sequence[Known]) -> set[_Fact]:
    """The facts that tell the runs apart.

    Not how long it took, as no two runs take the same time. Not the defaults of a Trainer's arguments that other runs
    lack. And what is known of the model, the data or the environment is compared among the runs that recorded such
    facts: otherwise each of them would tell a Trainer's run from a plain one.
    """
    facts = [one.facts for one in known]
    recorded = {group: [of_run for of_run in facts if any(fact[0] == group for fact in of_run)] for group in _ABOUT}

    def differs(fact: _Fact) -> bool:
        group, name = fact
        values = {comparable(of_run.get(fact)) for of_run in recorded.get(group, facts)}
        chosen = [name not in one.unset for one in known if one.facts.get(fact) is not None]
        return group != "effort" and len(values) > 1 and any(chosen)

    return {fact for fact in there if differs(fact)}


def _defaults(record: RunRecord) -> set[str]:
    """The names of a Trainer's arguments that nobody set."""
    if record.source != "transformers":
        return set()
    return set(flat("hp", {name: value for name, value in record.hyperparams.items() if is_default(name, value)}))


def _several(runs: object, more: tuple[object, ...]) -> object:
    """The runs, given as one list or one by one."""
    if not more and is_one_run(runs):
        raise InvalidArgumentError(f"compare_runs needs several runs, or a list of runs, not only {runs!r}")
    for run in (runs, *more) if more else ():
        if not is_one_run(run):
            raise InvalidArgumentError(f"compare_runs takes one list, or runs one by one; {run!r} is not a run")
    return [runs, *more] if more else runs


def _facts(record: RunRecord) -> dict[_Fact, Any]:
    """What a run's record says."""
    facts: dict[_Fact, Any] = {("", name): getattr(record, name) for name in _OF_RUN}
    for namespace, field in _NAMESPACES.items():
        values = flat(namespace, getattr(record, field)).items()
        facts |= {("place" if name in _PLACES else namespace, name): value for name, value in values}
    return facts


def _metrics(reader: Reader, ids: Sequence[int], summary: str) -> dict[int, dict[_Fact, Any]]:
    """The metrics of each run."""
    table = reader.models.metric_summary.c
    shown = SUMMARIES if summary == "all" else (summary,)
    statement = select(table.run_id, table.metric, *(table[name] for name in shown)).where(table.count > 0)
    facts: dict[int, dict[_Fact, Any]] = {run_id: {} for run_id in ids}
    for condition in among(table.run_id, ids):
        for run_id, metric, *values in reader.rows(statement.where(condition)):
            group, name = "effort" if is_effort(metric) else "metric", spelled("metric", metric)
            for kind, value in zip(shown, values, strict=True):
                label = f"{name}.{kind}" if summary == "all" else name
                facts[run_id][group, label] = float("nan") if value is None and kind == "last" else value
    return facts


def _versions(reader: Reader, ids: Sequence[int]) -> dict[int, dict[_Fact, Any]]:
    """The versions of libraries in the attempt of each run that is shown."""
    run, source = reader.models.run.c, run_source(reader.models)
    text = reader.backend.json_text(source.head.c.versions)
    statement = source.statement.with_only_columns(run.id, text, maintain_column_froms=True)
    facts: dict[int, dict[_Fact, Any]] = {run_id: {} for run_id in ids}
    for condition in among(run.id, ids):
        for run_id, found in reader.rows(statement.where(condition)):
            versions = parse(found)
            if isinstance(versions, dict):
                facts[run_id] = {("attempt", name): value for name, value in flat("attempt.versions", versions).items()}
    return facts
