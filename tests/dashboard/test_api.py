"""The API over HTTP: routes, arguments, limits, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from trainstore.dashboard import wire
from trainstore.dashboard.app import make_app
from trainstore.dashboard.reading import Reading
from trainstore.dashboard.security import Access
from trainstore.store import TrainStore

API = "/api/v1"
STEPS = 50


def fill(store: TrainStore) -> None:
    """Three runs of two projects; the last one has a NaN and is tagged."""
    for number in range(3):
        project = "small" if number else "large"
        with store.start_run(project=project, name=f"run {number}", hyperparams={"lr": 10.0**-number}) as run:
            for step in range(STEPS):
                run.log(
                    {"loss": 1 / (step + 1) + number, "accuracy": float("nan") if step == 7 else step / STEPS},
                    step=step,
                )
    store.set_tags("run 2", {"good": True})


@pytest.fixture
def recorded_url(backend_name: str, new_database: Callable[..., str], recorded_once: Any) -> str:
    """A store with the runs of `fill`, on each database in turn."""
    return new_database(backend_name, template=recorded_once(backend_name, fill))


@pytest.fixture
def api(recorded_url: str) -> Iterator[TestClient]:
    """A client of the dashboard on that store."""
    reading = Reading(recorded_url)
    with TestClient(make_app(reading, Access()), base_url="http://localhost") as client:
        yield client
    reading.close()


def uids(api: TestClient) -> dict[str, str]:
    """The uid of each run, by name."""
    columns = {column["id"]: column["values"] for column in api.get(f"{API}/runs").json()["columns"]}
    return dict(zip(columns["name"], columns["uid"], strict=True))


def test_the_page_and_its_files_are_served(api: TestClient):
    """The page names its files with their version, and a browser may keep them."""
    page = api.get("/")
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-cache"
    (script,) = [part.split('"')[0] for part in page.text.split('src="')[1:]]
    found = api.get(f"/{script}")
    assert found.status_code == 200
    assert "immutable" in found.headers["cache-control"]
    assert found.headers["content-type"].startswith("text/javascript")


def test_the_store_is_described(api: TestClient):
    """`meta` has the projects with their runs."""
    meta = api.get(f"{API}/meta").json()
    assert [(project["name"], project["runs"]) for project in meta["projects"]] == [("large", 1), ("small", 2)]
    assert meta["can_edit"] is False


def test_a_table_is_paged_sorted_and_filtered(api: TestClient):
    """`runs` takes what the page asks for, in its address or in a body."""
    asked = {"q": "hp.lr < 1", "columns": ["metric.loss", "hp.lr"], "sort": ["-metric.loss"], "limit": 1}
    for answer in (api.get(f"{API}/runs", params=asked), api.post(f"{API}/runs", json=asked)):
        table = answer.json()
        columns = {column["id"]: column["values"] for column in table["columns"]}
        assert table["count"] == 2
        assert columns["name"] == ["run 2"]
        assert columns["hp.lr"] == [0.01]
    newest = api.get(f"{API}/runs", params={"limit": 1, "offset": 1}).json()
    assert next(column["values"] for column in newest["columns"] if column["id"] == "name") == ["run 1"]


def test_curves_come_as_a_frame_and_as_json(api: TestClient):
    """Both hold the same."""
    run = uids(api)["run 2"]
    asked = {"runs": run, "metrics": ["loss", "accuracy"], "points": 10}
    frame = wire.of_frame(api.get(f"{API}/series", params=asked).content)
    plain = api.get(f"{API}/series", params=asked | {"format": "json"}).json()
    assert [curve.head["metric"] for curve in frame] == [curve["metric"] for curve in plain] == ["loss", "accuracy"]
    assert [len(curve.buckets) for curve in frame] == [10, 10]
    assert frame[0].buckets.mean.tolist() == plain[0]["mean"]
    assert plain[1]["odd"] == ["NaN"]
