"""``trainstore compare``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from trainstore.cli.common import RUN, open_store, store_options, visible
from trainstore.cli.printing import plain, print_json, print_table

if TYPE_CHECKING:
    from trainstore.store import TrainStore

OF_RUN = (
    "project", "status", "error", "last_step", "source", "model_name", "parent_uid", "parent_step", "attempts", "host",
    "command", "git_commit", "git_dirty", "notes",
)  # fmt: skip
NAMESPACES = {
    "hp": "hyperparams", "mth": "model_hyperparams", "dbh": "data_hyperparams", "env": "environment", "tag": "tags",
}  # fmt: skip


@click.command()
@click.argument("runs", metavar="RUN RUN...", type=RUN, nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Also what is the same in all of them.")
@store_options
def compare(runs: Sequence[str], everything: bool, url: str, prefix: str, as_json: bool) -> None:
    """Show what differs between RUNs, or everything.

    Hyperparameters of every namespace (hp, mth, dbh, env, tag; nested ones by dotted names), each metric's last,
    smallest and largest value, how the runs ended, and the facts of the attempts that are shown: where they ran, on
    which code and versions.
    """
    with open_store(url, prefix) as store:
        records = list({record.uid: record for record in map(store.get_run, runs)}.values())
        if len(records) < 2:
            raise click.UsageError("Name at least two different runs.")
        facts = [_facts(store, record) for record in records]
    names = list(dict.fromkeys(name for of_run in facts for name in of_run))
    places = {name: place for place, name in enumerate(sorted(names, key=_order))}
    shown = [name for name in places if everything or _differs([of_run.get(name) for of_run in facts])]
    if as_json:
        uids = [record.uid for record in records]
        rows = {name: dict(zip(uids, (of_run.get(name) for of_run in facts), strict=True)) for name in shown}
        print_json({"runs": [{"uid": record.uid, "name": record.name} for record in records], "values": rows})
    elif not shown:
        click.echo("nothing differs; --all shows what they have in common")
    else:
        import pandas as pd

        labels = [record.name for record in records]
        titles = [
            visible(record.name if labels.count(record.name) == 1 else f"{record.name} ({record.uid[:8]})")
            for record in records
        ]
        columns = [[_text(of_run.get(name)) for name in shown] for of_run in facts]
        frame = pd.DataFrame(dict(enumerate([shown, *columns])), dtype=object)
        frame.columns = pd.Index(["", *titles])
        print_table(None, frame)


def _facts(store: TrainStore, record: Any) -> dict[str, Any]:
    """Everything that is known of a run, by dotted names; what it does not have is missing."""
    facts = {name: getattr(record, name) for name in OF_RUN}
    for namespace, field in NAMESPACES.items():
        facts |= _flat(namespace, getattr(record, field))
    for row in store.list_metrics(record.uid).itertuples():
        name = f"metric.{row.metric}"
        facts[f"{name}.last"] = plain(row.last)
        for extreme in ("min", "max"):
            value = getattr(row, extreme)
            facts[f"{name}.{extreme}"] = None if value != value else value
    facts |= _flat("attempt.versions", _versions(store, record))
    return {name: value for name, value in facts.items() if value is not None}


def _versions(store: TrainStore, record: Any) -> dict[str, Any]:
    """Of the attempt that is shown: the last opened of those that nobody resumed."""
    from sqlalchemy import select

    attempt = store.table.attempt
    resumed = select(attempt.c.resumed_from).where(
        attempt.c.run_id == record.run_id, attempt.c.resumed_from.is_not(None)
    )
    statement = (
        select(attempt.c.versions)
        .where(attempt.c.run_id == record.run_id, attempt.c.attempt.not_in(resumed))
        .order_by(attempt.c.opened_at.desc(), attempt.c.uid.desc())
    )
    with store.session() as session:
        found = session.execute(statement).scalars().first()
    return found if isinstance(found, dict) else {}


def _flat(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}.{key}"
        if isinstance(value, dict) and value:
            result |= _flat(name, value)
        else:
            result[name] = value
    return result


def _differs(values: list[Any]) -> bool:
    from trainstore.queries.frames import comparable

    return len({comparable(value) for value in values}) > 1


def _order(name: str) -> tuple[int, str]:
    """What one looks for first: hyperparameters, then metrics, then the rest."""
    groups = ("hp.", "metric.", "mth.", "dbh.", "tag.", "", "env.", "attempt.")
    return next((place for place, group in enumerate(groups) if group and name.startswith(group)), 5), name


def _text(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return "NaN"  # a run that has no such key has an empty cell
    return str(value) if isinstance(value, (bool, list, dict)) else value
