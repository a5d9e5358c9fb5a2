"""``trainstore recover``: deliver the journals that ended processes left."""

from __future__ import annotations

import click

from trainstore.cli.options import store_argument, store_options
from trainstore.cli.printing import print_json
from trainstore.cli.stores import open_store
from trainstore.cli.streams import visible
from trainstore.errors import TrainStoreError


@click.command()
@store_argument
@store_options
def recover(url: str, prefix: str, as_json: bool) -> None:
    """Deliver the records that ended processes left in their journals."""
    # If a run started while the database was away, its journal may be all that exists of the store.
    with open_store(url, prefix, make_tables=True) as store:
        done = store.recovered
        runs = sorted(set(done.runs))
        if as_json:
            print_json(
                {
                    "records": done.records,
                    "runs": runs,
                    "live": [str(path) for path in done.live],
                    "set_aside": [str(path) for path in done.set_aside],
                    "failed": {str(path): reason for path, reason in done.failed.items()},
                }
            )
        else:
            click.echo(f"delivered {done.records} records of {len(runs)} run{'s' * (len(runs) != 1)}")
            for path in done.live:
                click.echo(f"skipped because its process is still running: {visible(path)}")
            for path in done.set_aside:
                click.echo(f"set aside because its run was deleted: {visible(path)}")
        if done.failed:
            raise TrainStoreError(
                "; ".join(f"{path} could not be delivered ({reason})" for path, reason in done.failed.items())
            )
