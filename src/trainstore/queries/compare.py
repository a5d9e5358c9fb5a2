"""What differs between runs, what matters first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from trainstore.errors import InvalidArgumentError
from trainstore.queries.filters import run_source
from trainstore.queries.frames import TEXT, assemble, comparable, parse, series
from trainstore.queries.names import flat, spelled
from trainstore.queries.reader import Reader, RunKey, is_one_run, resolve_runs
from trainstore.queries.runs import SUMMARIES, check_choice, get_run

if TYPE_CHECKING:
    from pandas import DataFrame

_OF_RUN = (
    "project", "name", "status", "error", "last_step", "source", "model_name", "parent_uid", "parent_step", "attempts",
    "host", "command", "git_commit", "git_dirty", "notes",
)  # fmt: skip
_NAMESPACES = {
    "hp": "hyperparams", "mth": "model_hyperparams", "dbh": "data_hyperparams", "env": "environment", "tag": "tags",
}  # fmt: skip
_GROUPS = ("hp", "metric", "mth", "dbh", "tag", "", "env", "attempt", "effort")
# Metrics of how long it took and how much was processed; they differ between any two runs.
_EFFORT = re.compile(r"(?:^|[_/.])(?:runtime|time|per_second|flos|num_tokens|tokens_seen|epoch)\Z")

_Fact = tuple[str, str]  # its group and its name


def compare_runs(reader: Reader, runs: object, *, summary: str = "last", everything: bool = False) -> DataFrame:
    """What differs between runs, or everything."""
    import pandas as pd

    if is_one_run(runs):
        raise InvalidArgumentError(f"compare_runs needs a list of runs, not {runs!r}")
    check_choice("summary", summary, (*SUMMARIES, "all"))
    facts = {key.uid: _facts(reader, key, summary) for key in resolve_runs(reader, runs)}
    there = {fact for of_run in facts.values() for fact, value in of_run.items() if value is not None}
    shown = [
        fact
        for fact in sorted(there, key=lambda fact: (_GROUPS.index(fact[0]), fact[1]))
        if everything or len({comparable(of_run.get(fact)) for of_run in facts.values()}) > 1
    ]
    columns = {uid: series([of_run.get(fact) for fact in shown], TEXT) for uid, of_run in facts.items()}
    table = assemble(columns, len(shown))
    table.index = pd.Index([name for _, name in shown], dtype=object, name="key")
    return table


def _facts(reader: Reader, key: RunKey, summary: str) -> dict[_Fact, Any]:
    """Everything that is known of a run."""
    record = get_run(reader, key.uid)
    facts: dict[_Fact, Any] = {("", name): getattr(record, name) for name in _OF_RUN}
    for namespace, field in _NAMESPACES.items():
        facts |= {(namespace, name): value for name, value in flat(namespace, getattr(record, field)).items()}
    facts |= _metrics(reader, key, summary)
    versions = flat("attempt.versions", _versions(reader, key))
    return facts | {("attempt", name): value for name, value in versions.items()}


def _metrics(reader: Reader, key: RunKey, summary: str) -> dict[_Fact, Any]:
    table = reader.models.metric_summary.c
    shown = SUMMARIES if summary == "all" else (summary,)
    statement = select(table.metric, *(table[name] for name in shown)).where(table.run_id == key.id, table.count > 0)
    facts: dict[_Fact, Any] = {}
    for metric, *values in reader.rows(statement):
        group, name = "effort" if _EFFORT.search(metric) else "metric", spelled("metric", metric)
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
