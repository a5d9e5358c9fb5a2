"""``trainstore backup``: a copy of a whole SQLite store."""

from __future__ import annotations

import click

from trainstore.cli.files import ended_by_signals
from trainstore.cli.options import store_options
from trainstore.cli.printing import print_json
from trainstore.cli.stores import open_store
from trainstore.cli.streams import visible


@click.command()
@click.argument("file", type=click.Path())
@store_options
def backup(file: str, url: str, prefix: str, as_json: bool) -> None:
    """Copy an SQLite store into FILE, a new file, while other processes record.

    Records that ended processes left in their journals are delivered first. For a PostgreSQL store, the error gives
    the command to run instead.
    """
    from trainstore.store import TrainStore

    with open_store(url, prefix) as store:
        with ended_by_signals():
            path = store.backup(file)
        left = {str(folder): reason for folder, reason in store.recovered.failed.items()}
        live = len(store.recovered.live)
    with TrainStore(path, table_name_prefix=prefix, read_only=True) as copy:
        runs = len(copy.list_runs(hyperparams=[], metrics=[]))
    size = path.stat().st_size
    if as_json:
        print_json({"file": str(path), "runs": runs, "bytes": size, "live": live, "left": left})
        return
    click.echo(f"{visible(path)}: {runs} run{'s' * (runs != 1)}, {size:,} bytes")
    if live:
        click.echo(f"runs being recorded: {live}; what they logged in the last second may be missing")
    for folder, reason in left.items():
        click.echo(f"not in the copy: {visible(folder)} could not be delivered ({visible(reason)})")
