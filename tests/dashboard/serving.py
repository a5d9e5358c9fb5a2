"""A recorded store behind the dashboard's application, without a process of its own."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from trainstore.dashboard.app import make_app
from trainstore.dashboard.reading import Reading
from trainstore.dashboard.security import Access
from trainstore.store import TrainStore

API = "/api/v1"
STEPS = 50


def fill(store: TrainStore) -> None:
    """Three runs of two projects, with a NaN each; the last one is tagged and has samples."""
    for number in range(3):
        project = "small" if number else "large"
        with store.start_run(project=project, name=f"run {number}", hyperparams={"lr": 10.0**-number}) as run:
            for step in range(STEPS):
                accuracy = float("nan") if step == 7 else step / STEPS
                details = {"sample/test/0": {"prompt": "a", "completion": "b"}} if number == 2 and step == 9 else None
                run.log({"loss": 1 / (step + 1) + number, "accuracy": accuracy}, step=step, details=details)
    store.set_tags("run 2", {"good": True})


def client_of(reading: Reading, access: Access | None = None, **headers: str) -> TestClient:
    """A client of the application, that names this machine as its host."""
    app = make_app(reading, access or Access())
    return TestClient(app, base_url="http://localhost", headers=headers, raise_server_exceptions=False)


def columns_of(table: dict[str, Any]) -> dict[str, list[Any]]:
    """The values of each column of an answer."""
    return {column["id"]: column["values"] for column in table["columns"]}


def uid_of(client: TestClient, name: str) -> str:
    """The uid of the run with a name."""
    columns = columns_of(client.get(f"{API}/runs").json())
    return str(columns["uid"][columns["name"].index(name)])
