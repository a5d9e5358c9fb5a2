"""docs/http-api.md: what its commands ask for is answered as it says, and no route is missing."""

from __future__ import annotations

import doctest
import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dashboard.serving import API, client_of
from fixtures.pages import blocks_of, commands_of
from trainstore.dashboard.reading import Reading
from trainstore.dashboard.routes import ROUTES
from trainstore.dashboard.security import Access
from trainstore.store import TrainStore

PAGE = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
COMMANDS = [command for block in blocks_of(PAGE) if block.language == "console" for command in commands_of(block.code)]
TOKEN = "a-token-that-is-long-enough"


def fill(store: TrainStore) -> None:
    """The runs that the page speaks of."""
    for rate in (1e-3, 1e-4):
        with store.start_run(project="stories", name=f"lr-{rate:g}", hyperparams={"lr": rate}, tags=["draft"]) as run:
            for step in range(50):
                sample = {"sample/story/0": {"prompt": "Once", "completion": " upon a time"}} if step == 49 else None
                run.log({"loss": math.exp(-step * rate * 100)}, step=step, details=sample)


@pytest.fixture
def served(backend_name, new_database, recorded_once) -> Iterator[TestClient]:
    """The dashboard of a store with these runs."""
    reading = Reading(new_database(backend_name, template=recorded_once(backend_name, fill)), can_edit=True)
    yield client_of(reading, Access(token=TOKEN), Authorization=f"Bearer {TOKEN}")
    reading.close()


def asked(client: TestClient, command: str) -> str:
    """What ``curl`` would print."""
    program, silent, *words = shlex.split(command)
    assert (program, silent) == ("curl", "-s")
    method, headers, body, address = "GET", {}, None, ""
    while words:
        word = words.pop(0)
        if word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value.replace("TOKEN", TOKEN)
        elif word == "-X":
            method = words.pop(0)
        elif word == "-d":
            body, method = words.pop(0), "POST" if method == "GET" else method
        else:
            address = word
    assert address.startswith("http://localhost:8520/")
    return client.request(method, address.removeprefix("http://localhost:8520"), headers=headers, content=body).text


def test_each_command_is_answered_as_the_page_says(served: TestClient):
    """``…`` stands for anything."""
    assert len(COMMANDS) > 10
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for command, expected in COMMANDS:
        printed = asked(served, command)
        # A line that begins with three dots would continue a command.
        wanted, got = (f"> {text.strip()}\n".replace("…", "...") for text in (expected, printed))
        assert doctest.OutputChecker().check_output(wanted, got, options), f"{command}\nprints\n{printed}"


def test_every_route_is_on_the_page():
    """In the table, and with its arguments; and no other one is."""
    told = set(re.findall(r"^\| `([A-Z]+) ([\w/]+)` \|", PAGE, re.MULTILINE))
    there = {(method, route.path.replace("{uid}", "RUN")) for route in ROUTES for method in route.methods}
    readable = {(method, path) for method, path in there if (method == "POST") <= (("GET", path) not in there)}
    assert told == readable
    assert API in PAGE
