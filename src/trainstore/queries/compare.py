"""What differs between runs, what matters first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from trainstore.errors import InvalidArgumentError
from trainstore.queries.frames import TEXT, assemble, comparable, parse, series
from trainstore.queries.metric_names import is_effort
from trainstore.queries.names import flat, run_labels, spelled
from trainstore.queries.reader import Reader, RunKey, is_one_run, resolve_runs
from trainstore.queries.record_display import LAST_KEYS
from trainstore.queries.records import RunRecord
from trainstore.queries.run_source import run_source
from trainstore.queries.runs import SUMMARIES, check_choice, get_run
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
    records = {key: get_run(reader, key.uid) for key in resolve_runs(reader, _several(runs, more))}
    facts = {key: _facts(reader, key, record, summary) for key, record in records.items()}
    there = {fact for of_run in facts.values() for fact, value in of_run.items() if value is not None}
    if not everything:
        there = _differing(there, list(facts.values()), [_defaults(record) for record in records.values()])
        there -= {("", "name")} if columns == "name" else set()  # the headings say it
    shown = sorted(there, key=lambda fact: (_GROUPS.index(fact[0]), fact[1]))
    labels = run_labels({key.id: record.name for key, record in records.items()})
    values = {
        key.uid if columns == "uid" else labels[key.id]: series([of_run.get(fact) for fact in shown], TEXT)
        for key, of_run in facts.items()
    }
    table = assemble(values, len(shown))
    table.index = pd.Index([name for _, name in shown], dtype=object, name="key")
    return table


def _differing(there: set[_Fact], facts: Sequence[dict[_Fact, Any]], defaults: Sequence[set[str]]) -> set[_Fact]:
    """The facts that tell the runs apart.

    Not how long it took, as no two runs take the same time. Not the defaults of a Trainer's arguments that other runs
    lack. And what is known of the model, the data or the environment is compared among the runs that recorded such
    facts: otherwise each of them would tell a Trainer's run from a plain one.
    """
    recorded = {group: [of_run for of_run in facts if any(fact[0] == group for fact in of_run)] for group in _ABOUT}

    def differs(fact: _Fact) -> bool:
        group, name = fact
        values = {comparable(of_run.get(fact)) for of_run in recorded.get(group, facts)}
        chosen = [
            name not in defaults_of_run
            for of_run, defaults_of_run in zip(facts, defaults, strict=True)
            if of_run.get(fact) is not None
        ]
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


def _facts(reader: Reader, key: RunKey, record: RunRecord, summary: str) -> dict[_Fact, Any]:
    """Everything that is known of a run."""
    facts: dict[_Fact, Any] = {("", name): getattr(record, name) for name in _OF_RUN}
    for namespace, field in _NAMESPACES.items():
        values = flat(namespace, getattr(record, field)).items()
        facts |= {("place" if name in _PLACES else namespace, name): value for name, value in values}
    facts |= _metrics(reader, key, summary)
    versions = flat("attempt.versions", _versions(reader, key))
    return facts | {("attempt", name): value for name, value in versions.items()}


def _metrics(reader: Reader, key: RunKey, summary: str) -> dict[_Fact, Any]:
    table = reader.models.metric_summary.c
    shown = SUMMARIES if summary == "all" else (summary,)
    statement = select(table.metric, *(table[name] for name in shown)).where(table.run_id == key.id, table.count > 0)
    facts: dict[_Fact, Any] = {}
    for metric, *values in reader.rows(statement):
        group, name = "effort" if is_effort(metric) else "metric", spelled("metric", metric)
        for kind, value in zip(shown, values, strict=True):
            label = f"{name}.{kind}" if summary == "all" else name
            facts[group, label] = float("nan") if value is None and kind == "last" else value
    return facts


def _versions(reader: Reader, key: RunKey) -> dict[str, Any]:
    """The versions of libraries in the attempt that is shown."""
    run, source = reader.models.run.c, run_source(reader.models)
    text = reader.backend.json_text(source.head.c.versions)
    statement = source.statement.with_only_columns(text, maintain_column_froms=True).where(run.id == key.id)
    found = [parse(row[0]) for row in reader.rows(statement)]
    return found[0] if found and isinstance(found[0], dict) else {}
