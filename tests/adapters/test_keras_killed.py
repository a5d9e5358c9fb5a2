"""A Keras training that is killed and starts again, in processes of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal

from fixtures.adapter_tests import only_run
from trainstore import TrainStore


def train(url, folder, dies_at):
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import numpy as np

    from trainstore.integrations.keras import TrainStoreCallback

    class Dies(keras.callbacks.Callback):
        batches = 0

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1
            if self.batches == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    x = np.random.default_rng(0).random((24, 3)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    backup = keras.callbacks.BackupAndRestore(folder)
    callbacks = [TrainStoreCallback(url), backup, Dies()]
    model.fit(x, x.sum(1, keepdims=True), batch_size=4, epochs=3, verbose=0, callbacks=callbacks)


def test_a_killed_fit_goes_on_with_its_run(database_url, tmp_path):
    """Killed in the second epoch, the last backup is of the first: every step is there once, in two attempts."""
    context = multiprocessing.get_context("spawn")
    for dies_at in (9, 0):
        process = context.Process(target=train, args=(database_url, tmp_path / "backup", dies_at))
        process.start()
        process.join(200)
        assert process.exitcode == (-signal.SIGKILL if dies_at else 0)
    with TrainStore(database_url) as store:
        run = only_run(store)
        assert (run.status, run.attempts, run.last_step) == ("finished", 2, 18)
        log = store.list_step_logs(run)
        assert log["step"].tolist() == list(range(1, 19))
        assert log["batch_loss"].notna().all()
        assert store.list_attempts(run)["start_step"].tolist() == [-1, 6]
