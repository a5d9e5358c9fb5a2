"""What the adapters for libraries cost a call, beside the library's own logger where it has one.

A library is imported by its case alone: it would be in the figures of the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.calls import timed
from benchmarks.cases import Cases, Figures, Place, check
from benchmarks.workload import METRICS, sum_of
from trainstore import TrainStore

case = Cases("adapters")


@case()
def wandb(place: Place) -> Figures:
    """A script written for W&B: `wandb.log` of 6 metrics, and with a step that `define_metric` names."""
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


@case()
def xgboost(place: Place) -> Figures:
    """Our callback's iteration in a training of small trees, beside XGBoost's own monitor without its output."""
    import xgboost as library

    from trainstore.integrations.xgboost import TrainStoreCallback

    rounds = place.size.training_steps
    data = library.DMatrix(*_table())
    options = {"evals": [(data, "train"), (data, "valid")], "verbose_eval": False}
    with TrainStore(place.url) as store:
        ours = TrainStoreCallback(store)
        monitor = library.callback.EvaluationMonitor(logger=lambda text: None)
        times = [_timing(callback, "after_iteration") for callback in (ours, monitor)]
        library.train({"max_depth": 1, "nthread": 1}, data, rounds, callbacks=[ours, monitor], **options)
        check("iterations", len(store.list_step_logs(ours.run)), rounds)
    return {"us": _median_us(times[0]), "own_us": _median_us(times[1])}


@case()
def lightgbm(place: Place) -> Figures:
    """The same of LightGBM, beside its `record_evaluation`."""
    import lightgbm as library

    from trainstore.integrations.lightgbm import TrainStoreCallback

    rounds = place.size.training_steps
    features, labels = _table()
    data = library.Dataset(features, labels)
    params = {"num_leaves": 2, "num_threads": 1, "verbosity": -1, "metric": ["l1", "l2"]}
    with TrainStore(place.url) as store:
        ours = TrainStoreCallback(store)
        times: tuple[list[int], list[int]] = ([], [])
        callbacks = [_timed_call(ours, times[0], 25), _timed_call(library.record_evaluation({}), times[1], 26)]
        library.train(params, data, rounds, valid_sets=[data], callbacks=callbacks)
        check("iterations", len(store.list_step_logs(ours.run)), rounds)
    return {"us": _median_us(times[0]), "own_us": _median_us(times[1])}


@case()
def keras(place: Place) -> Figures:
    """Our callback's batch in a fit of a small model on the CPU."""
    import os

    os.environ["KERAS_BACKEND"] = "torch"
    import keras as library
    import numpy as np

    from trainstore.integrations.keras import TrainStoreCallback

    steps = place.size.training_steps
    model = library.Sequential([library.Input((4,)), library.layers.Dense(1)])
    model.compile("sgd", "mse")
    features, labels = np.zeros((2 * steps, 4), "float32"), np.zeros((2 * steps, 1), "float32")
    with TrainStore(place.url) as store:
        ours = TrainStoreCallback(store)
        times = _timing(ours, "on_train_batch_end")
        model.fit(features, labels, batch_size=2, verbose=0, callbacks=[ours])
        check("steps", len(store.list_step_logs(ours.run)), steps)
    return {"us": _median_us(times)}


@case()
def ignite(place: Place) -> Figures:
    """Our handler of an iteration's output, beside that of Ignite's logger for TensorBoard."""
    from ignite.engine import Engine, Events
    from ignite.handlers import TensorboardLogger

    from trainstore.integrations.ignite import TrainStoreLogger

    steps = place.size.steps
    trainer = Engine(lambda engine, batch: {"loss": 1 / engine.state.iteration, "accuracy": 0.5})
    times: list[list[int]] = [[], []]
    with TrainStore(place.url) as store:
        ours, tensorboard = TrainStoreLogger(store, trainer=trainer), TensorboardLogger(log_dir=str(place.folder))
        for logger, kept in zip((ours, tensorboard), times, strict=True):
            handler = logger._create_output_handler("train", output_transform=lambda output: output)
            logger.attach(trainer, _timed_call(handler, kept), Events.ITERATION_COMPLETED)
        trainer.run(range(steps))
        tensorboard.close()
        check("iterations", len(store.list_step_logs(ours.run)), steps)
    return {"us": _median_us(times[0]), "tensorboard_us": _median_us(times[1])}


@case()
def optuna(place: Place) -> Figures:
    """The end of a trial of 10 reported values, until it is stored, beside a trial in Optuna's own SQLite file."""
    import optuna as library

    from trainstore.integrations.optuna import TrainStoreCallback

    def objective(trial: Any) -> float:
        for step in range(10):
            trial.report(1 / (step + 1), step)
        return float(trial.suggest_float("rate", 0, 1))

    library.logging.set_verbosity(library.logging.ERROR)
    trials, times = place.size.short_runs, []
    sampler = library.samplers.RandomSampler(seed=0)
    with TrainStore(place.url) as store:
        callback = _timed_call(TrainStoreCallback(store), times)
        library.create_study(study_name="s", sampler=sampler).optimize(objective, n_trials=trials, callbacks=[callback])
        check("trials", len(store.list_runs(project="s")), trials)
    stored = library.create_study(storage=f"sqlite:///{place.folder / 'study.db'}", sampler=sampler)
    began = time.perf_counter()
    stored.optimize(objective, n_trials=trials)
    return {"ms": _median_us(times) / 1e3, "own_ms": (time.perf_counter() - began) * 1e3 / trials}


@case()
def lightning(place: Place) -> Figures:
    """A logger's `log_metrics` of 6 metrics, as a trainer calls it: ours, and Lightning's for CSV files.

    CSVLogger keeps rows in memory, and writes every 100 steps; ours are on disk when the call returns.
    """
    import logging

    from lightning.pytorch.loggers import CSVLogger

    from trainstore.integrations.lightning import TrainStoreLogger

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    steps = place.size.steps
    with TrainStore(place.url) as store:
        ours = TrainStoreLogger(store, name="ours")
        figures = timed(ours.log_metrics, steps)
        ours.finalize("success")
        check("their sum", float(store.list_step_logs("ours", metrics=METRICS[:1])[METRICS[0]].sum()), sum_of(steps))
    theirs = CSVLogger(place.folder)
    csv = timed(theirs.log_metrics, steps)
    theirs.finalize("success")
    return {"us": figures["median_us"], "p99_us": figures["p99_us"], "csv_us": csv["median_us"]}


def _table() -> tuple[Any, Any]:
    """A few rows to grow trees on."""
    import numpy as np

    random = np.random.default_rng(0)
    return random.random((60, 4)), random.random(60)


def _timing(owner: object, name: str) -> list[int]:
    """What the calls of a method take from now on, in nanoseconds."""
    times: list[int] = []
    setattr(owner, name, _timed_call(getattr(owner, name), times))
    return times


def _timed_call(function: Callable[..., Any], times: list[int], order: int = 0) -> Callable[..., Any]:
    clock = time.perf_counter_ns

    def call(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        answer = function(*args, **kwargs)
        times.append(clock() - began)
        return answer

    call.order = order  # type: ignore[attr-defined]
    return call


def _median_us(times: list[int]) -> float:
    return sorted(times)[len(times) // 2] / 1e3
