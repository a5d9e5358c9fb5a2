"""The options that say which runs: ``--where``, ``--since``, ``--tag a=b``, ``--hp lr=1e-4`` and so on, one decorator.

Options that compare are written as filters of the filter language; the store then says what their names mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from trainstore.cli.streams import visible

if TYPE_CHECKING:
    from pandas import DataFrame

    from trainstore.queries import Reader

_OPTIONS = (
    click.option(
        "--where",
        multiple=True,
        metavar="FILTER",
        help='Only runs for which this is true, e.g. "hp.lr < 1e-3 and not tag.bad and started > -7d"; may be '
        "repeated. The page on querying has all fields and operators.",
    ),
    click.option("--since", metavar="TIME", help="Only runs that started since: 7d or 12h ago, or 2026-01-31 (UTC)."),
    click.option("--until", metavar="TIME", help="Only runs that started before."),
    click.option("--project", multiple=True, help="Only runs of this project; may be repeated."),
    click.option("--name", multiple=True, help="Only runs with this name; may be repeated."),
    click.option(
        "--status",
        multiple=True,
        help="Only runs with this status: running, finished, failed, interrupted, pruned or lost.",
    ),
    click.option(
        "--tag", multiple=True, metavar="NAME[=VALUE]", help="Only runs with this tag, or with this value of it."
    ),
    click.option(
        "--hp",
        multiple=True,
        metavar="NAME=VALUE",
        help='Only runs with this hyperparameter, e.g. lr=1e-4 or "optim.lr<1e-3"; may be repeated.',
    ),
)
_PLAIN = re.compile(r"""[^\s()=!<>~,"']+\Z""")
_COMPARISON = re.compile(r"(?P<name>[^=<>!~].*?)\s*(?P<operator><=|>=|!=|==|=|<|>|~)\s*(?P<value>.*)\Z", re.DOTALL)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options above, as ``conditions``: the arguments of a query. It is empty without them."""

    @wraps(command)
    def with_conditions(*args: Any, **options: Any) -> Any:
        given = {name: list(options.pop(name)) for name in ("where", "project", "name", "status", "tag")}
        given["where"] += map(_hyperparam, options.pop("hp"))
        given["where"] += [_tag(text) for text in given["tag"] if "=" in text]
        given["tag"] = [text for text in given["tag"] if "=" not in text]
        conditions: dict[str, Any] = {name: values for name, values in given.items() if values}
        conditions |= {name: time for name in ("since", "until") if (time := options.pop(name)) is not None}
        return command(*args, conditions=conditions, **options)

    for option in reversed(_OPTIONS):
        with_conditions = option(with_conditions)
    return with_conditions


def uids_of(reader: Reader, conditions: dict[str, Any], *, warn: bool = True) -> list[str]:
    """The uids of the runs that match, oldest first."""
    from trainstore import queries

    frame = queries.list_runs(reader, **conditions, hyperparams=[], metrics=[])
    if warn:
        warn_of_unknown(reader, frame, **conditions)
    return frame["uid"].tolist()[::-1]


def warn_of_unknown(reader: Reader, found: DataFrame, **asked: Any) -> None:
    """A line on standard error for each name that was asked for and that no run has, with the closest names."""
    from trainstore.queries.suggestions import about_runs

    for sentence in about_runs(reader, found, **asked):
        click.echo(f"Warning: {visible(sentence)}", err=True)


def _hyperparam(text: str) -> str:
    """``lr=1e-4`` as a filter: a name without a namespace is a hyperparameter's, even if a field has that name."""
    from trainstore.models import NAMESPACES

    found = _COMPARISON.match(text)
    name, operator, value = found.groups() if found else (text.strip(), "", "")
    if not name or name[0] in "=<>!~" or (found and not value):
        raise click.BadParameter(f"{text!r} is not NAME=VALUE, such as lr=1e-4.", param_hint="--hp")
    if name.partition("__")[0] in NAMESPACES and not _PLAIN.match(name):
        name = name.replace("__", ".", 1)
    spaced = name.partition("__")[0] in NAMESPACES or (name.partition(".")[0] in NAMESPACES and "." in name)
    named = _name(name if spaced else f"hp.{name}")
    return f"{named} {_compared(operator, value)}" if found else f"{named} is not null"


def _tag(text: str) -> str:
    """``a=b`` as a filter: the tag a with the value b, or a tag that is called "a=b"."""
    name, _, value = text.partition("=")
    if not name:
        raise click.BadParameter(f"{text!r} has no name before the '='.", param_hint="--tag")
    return f"tag.{_quoted(name)} {_compared('=', value)} or tag.{_quoted(text)} is not null"


def _compared(operator: str, value: str) -> str:
    if operator in ("=", "==") and _PLAIN.match(value):
        return f"in ({value}, {_quoted(value)})"  # as a number, true or false, and as a text
    return f"{operator} {value if _PLAIN.match(value) else _quoted(value)}"


def _name(name: str) -> str:
    """A dotted name as the language takes it: a part that is not a plain word is quoted."""
    if '"' in name:
        return name
    namespace, _, key = name.partition(".")
    return name if _PLAIN.match(key) else f"{namespace}.{_quoted(key)}"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def sort_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --sort and --reverse, as ``sort``: the argument of `list_runs`, or None."""

    @wraps(command)
    def with_sort(*args: Any, sort: Sequence[str], reverse: bool, **options: Any) -> Any:
        fields = list(sort) or (["-started"] if reverse else [])
        return command(*args, sort=[_reversed(field) for field in fields] if reverse else fields or None, **options)

    with_sort = click.option("--reverse", is_flag=True, help="Turn the order around.")(with_sort)
    return click.option(
        "--sort",
        multiple=True,
        metavar="FIELD",
        help="Sort by metric.loss, hp.lr, started, duration, name or another field of filters, the smallest first; "
        "-metric.loss has the largest first. May be repeated.",
    )(with_sort)


def _reversed(field: str) -> str:
    return field[1:] if field.startswith("-") else f"-{field}"
