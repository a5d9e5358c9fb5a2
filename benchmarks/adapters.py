"""What the adapters for libraries cost a call, beside the library's own logger where it has one.

A library is imported by its case alone: it would be in the figures of the others.
"""

from __future__ import annotations

from benchmarks.calls import timed
from benchmarks.cases import Cases, Figures, Place, check
from benchmarks.workload import METRICS, sum_of
from trainstore import TrainStore

case = Cases("adapters")


@case()
def wandb(place: Place) -> Figures:
    """A script in W&B's words: `wandb.log` of 6 metrics, and with a step that `define_metric` names."""
    from trainstore.integrations import wandb

    steps = place.size.steps
    with TrainStore(place.url) as store:
        run = wandb.init(store=store)
        figures = timed(wandb.log, steps)
        wandb.finish()
        check("their sum", float(store.list_step_logs(run.id, metrics=METRICS[:1])[METRICS[0]].sum()), sum_of(steps))
        run = wandb.init(store=store)
        wandb.define_metric("*", step_metric="global_step")
        axis = timed(lambda metrics, step: wandb.log({**metrics, "global_step": 10 * step}), steps)
        wandb.finish()
        check("the last step", int(store.list_step_logs(run.id, metrics=METRICS[:1])["step"].max()), 10 * steps - 10)
    return {"us": figures["median_us"], "p99_us": figures["p99_us"], "axis_us": axis["median_us"]}
