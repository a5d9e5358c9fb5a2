"""``trainstore backup``: a copy of a whole SQLite store."""

from __future__ import annotations

import click

from trainstore.cli.files import ended_by_signals
from trainstore.cli.options import store_options
from trainstore.cli.printing import print_json
from trainstore.cli.stores import open_store
from trainstore.cli.streams import visible
from trainstore.errors import TrainStoreError


@click.command()
@click.argument("file", type=click.Path())
@store_options
def backup(file: str, url: str, prefix: str, as_json: bool) -> None:
    """Copy an SQLite store into FILE, a new file, while other processes record.

    Records that ended processes left in their journals are delivered first. For a PostgreSQL store, the error gives
    the command to run instead. The copy is exact: if a value of a run is damaged, it is in the copy, too, and the
    command ends with an error that names it.
    """
    from sqlalchemy import func, select

    from trainstore.store import TrainStore
    from trainstore.transfer.reading import damages_in

    with open_store(url, prefix) as store:
        with ended_by_signals():
            path = store.backup(file)
        left = {str(folder): reason for folder, reason in store.recovered.failed.items()}
        live = len(store.recovered.live)
    with TrainStore(path, table_name_prefix=prefix, read_only=True) as copy:
        runs = copy.connection.execute(select(func.count()).select_from(copy.table.run)).scalar_one()
        damages, _ = damages_in(copy.connection, copy._models, copy._backend)
    size = path.stat().st_size
    if as_json:
        shown = {"file": str(path), "runs": runs, "bytes": size, "live": live, "left": left, "damaged": damages}
        print_json(shown)
    else:
        click.echo(f"{visible(path)}: {runs} run{'s' * (runs != 1)}, {size:,} bytes")
        if live:
            click.echo(f"runs being recorded: {live}; what they logged in the last second may be missing")
        for folder, reason in left.items():
            click.echo(f"not in the copy: {visible(folder)} could not be delivered ({visible(reason)})")
    if damages:
        uid, why = next(iter(damages.items()))
        more = f", and {len(damages) - 1} more runs" if len(damages) > 1 else ""
        raise TrainStoreError(
            f"the store is damaged, and so is this copy of it (run {uid}: {why}{more}): keep older copies; "
            "trainstore doctor --full names the damage"
        )
