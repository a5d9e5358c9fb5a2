"""Queries give the same answers on every backend."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trainstore.errors import InvalidArgumentError, UnknownNameWarning
from trainstore.store import TrainStore
from trainstore.testing.base import ContractBase, same


class Queries(ContractBase):
    """Queries give the same answers on every backend."""

    @pytest.fixture
    def three_runs(self, contract_store: TrainStore) -> TrainStore:
        """Runs a, b, c of two projects, the best of them b; c has only NaN."""
        losses = {"a": [3.0, 2.0, 2.5], "b": [1.0, math.nan, 4.0], "c": [math.nan, math.inf, math.nan]}
        for place, (name, values) in enumerate(losses.items()):
            with contract_store.start_run(
                project="p" if place < 2 else "q",
                name=name,
                hyperparams={"lr": 0.1 * (place + 1), "same": "s", "nested": {"depth": place}, 'odd "name"': place},
                tags=["first"] if place == 0 else {"kind": "later"},
            ) as run:
                for step, value in enumerate(values):
                    run.log({"loss": value, "text": name, 'odd "name"': place}, step=step)
        return contract_store

    def test_list_runs(self, three_runs: TrainStore) -> None:
        """Runs come newest first and by every filter; differing hyperparameters can be asked for."""
        store = three_runs

        def names(**filters: Any) -> list[str]:
            return list(store.list_runs(**filters)["name"])

        assert names() == ["c", "b", "a"]
        assert names(limit=2) == ["c", "b"]
        assert names(project="p") == ["b", "a"]
        assert names(name=["a", "c"]) == ["c", "a"]
        assert names(status="failed") == []
        assert names(tag="first") == ["a"]
        assert names(tag={"kind": "later"}) == ["c", "b"]
        assert names(hyperparams={"lr": [0.1, 0.2]}) == ["b", "a"]
        assert names(hyperparams={"same": "s", "nested": {"depth": 2}}) == ["c"]
        assert names(hyperparams={'odd "name"': 1}) == ["b"]
        assert names(where=store.table.run.c.name != "b") == ["c", "a"]
        varying = set(store.list_runs(hyperparams="varying"))
        assert "hp__lr" in varying
        assert "hp__same" not in varying

    def test_values_of_a_frame_in_expressions(self, three_runs: TrainStore) -> None:
        """NumPy's numbers and pandas' times find the rows they come from; an array is refused, not compared."""
        frame = three_runs.list_runs(name="b")
        run = three_runs.table.run.c
        for name in ("id", "last_step", "started_at"):
            value = frame[{"id": "run_id"}.get(name, name)].iloc[0]
            below = list(three_runs.list_runs(where=run[name] <= value)["name"])
            assert below == (["c", "b", "a"] if name == "last_step" else ["b", "a"]), name
        with pytest.raises(InvalidArgumentError):
            three_runs.list_runs(where=run.id == frame["run_id"].to_numpy().repeat(2))

    def test_best_run(self, three_runs: TrainStore) -> None:
        """The best run by minimum and maximum, by best and last value; NaN, infinities and text never win."""
        store = three_runs
        best = store.get_best_run(metric_name="loss", metric_direction="min")
        assert best is not None
        assert (best.name, best.sort_metric_value, best.sort_metric_step) == ("b", 1.0, 0)
        most = store.get_best_run(metric_name="loss", metric_direction="max")
        assert most is not None
        assert (most.name, most.sort_metric_value, most.sort_metric_step) == ("b", 4.0, 2)
        last = store.get_best_run(metric_name="loss", metric_direction="min", by="last")
        assert last is not None
        assert (last.name, last.sort_metric_value) == ("a", 2.5)
        odd = store.get_best_run(metric_name='odd "name"', metric_direction="max")
        assert odd is not None
        assert odd.name == "c"
        for name in ("text", "absent"):
            with pytest.warns(UnknownNameWarning, match=f"no run has numbers of the metric '{name}'"):
                assert store.get_best_run(metric_name=name, metric_direction="min") is None
        assert store.get_best_run(metric_name="loss", metric_direction="min", hyperparams={"lr": 0.1}).name == "a"  # type: ignore[union-attr]
        grouped = store.list_runs_grouped_by_metric(metric_name="loss", metric_direction="min")
        assert grouped["name"].tolist() == ["b", "a"]

    def test_step_logs_narrow_and_wide(self, three_runs: TrainStore) -> None:
        """One row a step or one row a value, of one run or several, all metrics or some, to the value."""
        wide = three_runs.list_step_logs("b")
        assert wide["step"].tolist() == [0, 1, 2]
        assert same(wide["loss"].tolist(), [1.0, math.nan, 4.0])
        assert wide["text"].tolist() == ["b"] * 3
        with pytest.warns(UnknownNameWarning, match="no run has numbers of the metric 'absent'"):
            some = three_runs.list_step_logs(["a", "b"], metrics=["loss", "absent"])
        assert len(some) == 6
        assert "text" not in some
        narrow = three_runs.list_step_logs("b", metrics=["loss"], tidy=True)
        assert same([float(value) for value in narrow["value"]], [1.0, math.nan, 4.0])
        nested = three_runs.list_step_logs("b", metrics=['odd "name"'])
        assert nested['odd "name"'].tolist() == [1, 1, 1]

    def test_hyperparams_events_and_differences(self, three_runs: TrainStore) -> None:
        """Hyperparameters one a row, by key; what differs between runs."""
        rows = three_runs.list_hyperparams(namespace="hp", key="lr")
        assert sorted(rows["number"]) == [0.1, 0.2, pytest.approx(0.3)]
        differences = three_runs.compare_runs(["a", "b"])
        assert any("hp.lr" in str(key) for key in differences.reset_index().to_numpy().ravel())
        assert not any("hp.same" in str(key) for key in differences.reset_index().to_numpy().ravel())
        assert len(three_runs.list_metrics(["a", "b"])) >= 4
