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


@case()
def accelerate(place: Place) -> Figures:
    """`Accelerator.log` of 6 metrics: through our tracker, and through Accelerate's for TensorBoard."""
    from accelerate import Accelerator

    from trainstore.integrations.accelerate import TrainStoreTracker

    steps = place.size.steps
    with TrainStore(place.url) as store:
        accelerator = Accelerator(cpu=True, log_with=TrainStoreTracker(store_or_run=store, name="ours"))
        accelerator.init_trackers("benchmark")
        ours = timed(accelerator.log, steps)
        accelerator.end_training()
        check("their sum", float(store.list_step_logs("ours", metrics=METRICS[:1])[METRICS[0]].sum()), sum_of(steps))
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=str(place.folder))
    accelerator.init_trackers("benchmark")
    tensorboard = timed(accelerator.log, max(steps // 10, 1))
    accelerator.end_training()
    return {"us": ours["median_us"], "tensorboard_us": tensorboard["median_us"]}
