"""Records an Optuna study: each trial is a run, the same that ``trainstore import`` makes of it.

::

    from trainstore.integrations.optuna import TrainStoreCallback

    callback = TrainStoreCallback("trainstore.db")

    def objective(trial):
        with callback.live(trial) as run:  # only for curves: without it, the callback records the trial at its end
            for step in range(100):
                run.log({"loss": …}, step=step)
        return …

    study.optimize(objective, n_trials=20, callbacks=[callback])
"""

from trainstore.integrations.optuna.callback import TrainStoreCallback

__all__ = ["TrainStoreCallback"]
