"""What an empty answer may be due to: a name that no run has, with the closest names that there are.

The database is asked only about names that the answer does not show. A store without runs knows no name, and nothing
is said about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, exists, or_, select

from trainstore.errors import InvalidArgumentError
from trainstore.models import NAMESPACES
from trainstore.queries import language
from trainstore.queries.columns import metric_names
from trainstore.queries.fields import Scope
from trainstore.queries.metric_names import results_first
from trainstore.queries.names import Name, did_you_mean, is_there, known_names, resolve_name
from trainstore.queries.reader import IN_LIMIT, Reader
from trainstore.queries.run_source import liveness, run_source
from trainstore.queries.samples import list_samples
from trainstore.queries.steps import column_name
from trainstore.values import plain_text, stored_label, stored_name

if TYPE_CHECKING:
    from pandas import DataFrame

CLOSE_NAMES = 1_000  # runs' names that are compared with one that was not found: the newest
MOST_NAMED = 3  # unknown names of one kind; a query may ask for thousands
MOST_CHECKED = 100  # hyperparameters that the database is asked about, one by one


def about_runs(
    reader: Reader,
    found: DataFrame | None,
    *,
    project: Any = None,
    name: Any = None,
    tag: Any = None,
    hyperparams: Any = None,
    where: Any = None,
    metrics: Any = None,
    ranked_by: str | None = None,
    **_others: Any,
) -> list[str]:
    """One sentence for each unknown name among the arguments of a query for runs.

    Args:
        reader: What the query read with.
        found: Its answer; None if there is none.
        project, name, tag, hyperparams, where, metrics: As for the query.
        ranked_by: The metric of `get_best_run` and its like.
    """
    empty = found is None or found.empty
    said = _labels(reader, "project", project, found) + _labels(reader, "name", name, found)
    if empty:
        said += _unknown(reader, [(text, Name("tag", stored_label(text))) for text in _texts(tag)])
        said += _unknown_tags(reader, where)
        if isinstance(hyperparams, Mapping):
            said += _unknown(reader, _resolved(reader, hyperparams))
        if ranked_by is not None:
            said += _metrics(reader, [stored_name(ranked_by)])
        return said
    assert found is not None
    if not isinstance(hyperparams, str | Mapping) and _all_missing(found, NAMESPACES):
        said += _unknown(reader, _resolved(reader, _texts(hyperparams)))
    wanted = () if isinstance(metrics, str) else _texts(metrics)
    columns = {text: f"metric__{text}" for text in map(stored_name, wanted)}
    missing = [text for text, column in columns.items() if column in found and found[column].isna().all()]
    return said + _metrics(reader, missing)


def about_steps(reader: Reader, found: DataFrame, metrics: Any) -> list[str]:
    """One sentence for each of the metrics that is in none of the steps found, and that no run has."""
    if metrics is None or isinstance(metrics, Iterator) or found.empty:
        return []
    tidy = "metric" in found and "value" in found
    there = set(found["metric"]) if tidy else {name for name in found if not found[name].isna().all()}
    names = [name for name in metric_names(metrics) or () if name not in ("epoch", "step_time")]
    return _metrics(reader, [name for name in names if (name if tidy else column_name(name)) not in there])


def about_key(reader: Reader, found: DataFrame, key: str | None) -> list[str]:
    """A sentence if nothing was found because no hyperparameter has this key."""
    if key is None or not found.empty:
        return []
    table, name = reader.models.hyperparam.c, resolve_name(reader, key)
    there = exists().where(or_(table.key == stored_label(key), table.key == name.key))
    return [] if reader.rows(select(there))[0][0] else _unknown(reader, [(key, name)])


def closest_metrics(reader: Reader, *names: str) -> str:
    """The end of an error about metrics: for each that no run has, the closest ones; "" if there are such metrics."""
    table = reader.models.metric_summary.c
    known = results_first(row[0] for row in reader.rows(select(table.metric).where(table.count > 0).distinct()))
    unknown = [stored_name(name) for name in names if stored_name(name) not in known]
    return "".join(dict.fromkeys(did_you_mean(name, known) for name in unknown[:MOST_NAMED]))


def about_samples(reader: Reader, found: DataFrame, runs: Any, name: Any) -> list[str]:
    """One sentence for each set of samples that was asked for, if nothing was found because these runs lack it."""
    if not found.empty or not _texts(name):
        return []
    known = sorted(set(list_samples(reader, runs, attempts="all")["set"]))
    unknown = [text for text in map(stored_label, _texts(name)) if text not in known]
    if not known:
        return []
    return [f"there are no samples called {text!r}{did_you_mean(text, known)}" for text in unknown[:MOST_NAMED]]


# --- One kind of name ------------------------------------------------------------------------------------------------


def _labels(reader: Reader, argument: str, asked: Any, found: DataFrame | None) -> list[str]:
    """Projects or names of runs."""
    wanted = [stored_label(text) for text in _texts(asked)]
    shown = set(found[argument]) if wanted and found is not None else set()
    missing = [text for text in wanted if text not in shown][:IN_LIMIT]
    if not missing:
        return []
    column: ColumnElement[str] = reader.models.run.c[argument]
    there = {row[0] for row in reader.rows(select(column).where(column.in_(missing)).distinct())}
    unknown = [text for text in missing if text not in there]
    if not unknown:
        return []
    newest = select(column).order_by(reader.models.run.c.id.desc()).limit(CLOSE_NAMES)
    statement = newest if argument == "name" else select(column).distinct()
    known = list(dict.fromkeys(row[0] for row in reader.rows(statement)))
    kind = "project" if argument == "project" else "run"
    return [f"there is no {kind} {text!r}{did_you_mean(text, known)}" for text in unknown[:MOST_NAMED]] if known else []


def _resolved(reader: Reader, texts: Iterable[str]) -> Iterator[tuple[str, Name]]:
    return ((text, resolve_name(reader, text)) for text in texts)


def _unknown(reader: Reader, names: Iterable[tuple[str, Name]]) -> list[str]:
    """Hyperparameters and tags, each with the text that means it."""
    absent = ((text, name) for text, name in islice(names, MOST_CHECKED) if not is_there(reader, name))
    unknown = list(islice(absent, MOST_NAMED))
    if not unknown or not _any_run(reader):
        return []
    known = known_names(reader)
    tags = [name.removeprefix("tag.") for name in known if name.startswith("tag.")]
    return [
        f"there is no tag {name.key!r}{did_you_mean(name.key, tags)}"
        if name.namespace == "tag"
        else f"there is no hyperparameter {stored_label(text)!r}{did_you_mean(text, known)}"
        for text, name in unknown
    ]


def _metrics(reader: Reader, names: list[str]) -> list[str]:
    table = reader.models.metric_summary.c
    if not names:
        return []
    known = sorted(row[0] for row in reader.rows(select(table.metric).where(table.count > 0).distinct()))
    unknown = [name for name in names if name not in known]
    if not unknown or not (known or _any_run(reader)):
        return []
    return [f"no run has numbers of the metric {name!r}{did_you_mean(name, known)}" for name in unknown[:MOST_NAMED]]


def _unknown_tags(reader: Reader, where: Any) -> list[str]:
    """Tags in filters as text; any other unknown name there is an error."""
    said = []
    for text in _texts(where):
        if text.strip():
            scope = Scope(reader, text, run_source(reader.models), liveness(reader))
            said += _unknown(reader, _missing_tags(reader, language.parse(scope)))
    return said


def _missing_tags(reader: Reader, node: Any) -> list[tuple[str, Name]]:
    """The tags in a tree that may be why nothing is found: of "or", only if each part has such a tag."""
    if isinstance(node, language.Group):
        parts = [_missing_tags(reader, part) for part in node.parts]
        if node.joined_by == "and":
            return [name for part in parts for name in part]
        return parts[0] if all(parts) else []
    token = getattr(node, "name", None) or getattr(node, "token", None)
    if token is None or not token.raw.startswith("tag."):
        return []
    try:
        name = resolve_name(reader, token.raw)
    except InvalidArgumentError:
        return []
    return [(name.key, name)] if name.namespace == "tag" and not is_there(reader, name) else []


# --- What was asked --------------------------------------------------------------------------------------------------


def _texts(value: Any) -> list[str]:
    """The texts among an argument; a generator has been used up by the query."""
    if isinstance(value, str):
        return [plain_text(value)]
    if not isinstance(value, Iterable) or isinstance(value, Iterator):
        return []
    return [plain_text(text) for text in value if isinstance(text, str)]


def _all_missing(found: DataFrame, namespaces: Iterable[str]) -> bool:
    """Whether a column of a hyperparameter is empty."""
    columns = [name for name in found if str(name).partition("__")[0] in namespaces]
    return any(found[name].isna().all() for name in columns)


def _any_run(reader: Reader) -> bool:
    return bool(reader.rows(select(reader.models.run.c.id).limit(1)))
