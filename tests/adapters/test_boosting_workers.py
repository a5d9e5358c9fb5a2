"""Two workers that train one boosted model together: the first records."""

from __future__ import annotations

import multiprocessing
import socket

import numpy as np
import pytest

from fixtures.adapter_tests import only_run
from trainstore import TrainStore

RANDOM = np.random.default_rng(0)
X = RANDOM.random((80, 3))
Y = (X.sum(1) > 1.5).astype(int)


def train_xgboost(url, rank, arguments):
    import xgboost

    from trainstore.integrations.xgboost import TrainStoreCallback

    with xgboost.collective.CommunicatorContext(**arguments):
        data = xgboost.DMatrix(X[rank::2], Y[rank::2])
        params = {"objective": "binary:logistic", "nthread": 1}
        xgboost.train(params, data, 4, evals=[(data, "train")], callbacks=[TrainStoreCallback(url)])


def train_lightgbm(url, rank, ports):
    import lightgbm

    from trainstore.integrations.lightgbm import TrainStoreCallback

    machines = ",".join(f"127.0.0.1:{port}" for port in ports)
    params = {"objective": "binary", "num_threads": 1, "verbosity": -1, "tree_learner": "data", "pre_partition": True}
    params |= {"machines": machines, "num_machines": 2, "local_listen_port": ports[rank], "time_out": 1}
    data = lightgbm.Dataset(X[rank::2], Y[rank::2])
    lightgbm.train(params, data, 4, valid_sets=[data], callbacks=[TrainStoreCallback(url)])


def run_both(target, url, argument):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=target, args=(url, rank, argument)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(100)
        assert worker.exitcode == 0


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_the_first_worker_records_and_the_other_does_not(database_url, library):
    """One run, each iteration once."""
    if library == "xgboost":
        from xgboost.tracker import RabitTracker

        tracker = RabitTracker(n_workers=2, host_ip="127.0.0.1")
        tracker.start()
        run_both(train_xgboost, database_url, tracker.worker_args())
        tracker.wait_for()
    else:
        with socket.socket() as first, socket.socket() as second:
            for one in (first, second):
                one.bind(("127.0.0.1", 0))
            ports = [one.getsockname()[1] for one in (first, second)]
        run_both(train_lightgbm, database_url, ports)
    with TrainStore(database_url) as store:
        run = only_run(store)
        assert (run.status, run.last_step) == ("finished", 3)
        assert len(store.list_step_logs(run)) == 4
