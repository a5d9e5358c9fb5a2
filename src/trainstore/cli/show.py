"""``trainstore show``."""

from __future__ import annotations

import click

from trainstore.cli.common import RUN, open_store, store_options
from trainstore.cli.printing import facts, print_json, print_pairs, print_table, record_fields, records


@click.command()
@click.argument("run", type=RUN)
@store_options
def show(run: str, url: str, prefix: str, as_json: bool) -> None:
    """Show one RUN (a uid, an id or a name): hyperparameters, metrics, attempts and events."""
    with open_store(url, prefix) as store:
        record = store.get_run(run)
        metrics = store.list_metrics(record)
        hyperparams = store.list_hyperparams(record)
        events = store.list_events(record)
        if as_json:
            print_json(
                {
                    "run": record_fields(record),
                    "metrics": records(metrics),
                    "hyperparams": records(hyperparams),
                    "events": records(events),
                }
            )
            return
        print_pairs(f"Run {record.name}", facts(record))
        print_table("Metrics", metrics.drop(columns=["uid"]))
        print_table("Hyperparameters", hyperparams[["namespace", "key", "value"]].dropna())
        if not events.empty:
            print_table("Events", events[["at", "step", "kind", "details"]])
