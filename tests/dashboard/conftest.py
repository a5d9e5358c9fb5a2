"""What several files of these tests need."""

import functools
import re
import subprocess
from contextlib import ExitStack

import pytest

from dashboard.serving import client_of, fill
from fixtures.browsers import program_or_skip

DETECTS_MODULES = (20, 19)  # from this version on Node sees by itself that a file is a module


@pytest.fixture(scope="module")
def node():
    """How Node is started."""
    program = program_or_skip(["node", "nodejs"], "the page's functions")
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:2]))
    return [program, "--no-warnings", *([] if version >= DETECTS_MODULES else ["--experimental-default-type=module"])]


@pytest.fixture
def recorded_url(backend_name, new_database, recorded_once):
    """A store with the runs of `serving.fill`, on each database in turn."""
    return new_database(backend_name, template=recorded_once(backend_name, fill))


@pytest.fixture
def reading(recorded_url):
    """That store, opened as the dashboard opens it."""
    from trainstore.dashboard.reading import Reading

    opened = Reading(recorded_url)
    yield opened
    opened.close()


@pytest.fixture
def own_api(reading):
    """A client of the dashboard on that store, into which the test may record."""
    return client_of(reading)


@pytest.fixture(scope="module")
def shared_api(recorded_once, request):
    """A client of the dashboard on a store that the tests of a file share: ``shared_api("sqlite" | "postgresql")``."""
    from trainstore.dashboard.reading import Reading

    def shared(store):  # not `fill` itself: what a test copies, nobody may be connected to
        fill(store)

    with ExitStack() as stack:

        @functools.cache
        def serve(kind):
            template = recorded_once(kind, shared)
            server = None if kind == "sqlite" else request.getfixturevalue("postgres_server")
            reading = Reading(f"sqlite:///{template}" if server is None else server.url_of(template))
            stack.callback(reading.close)
            return stack.enter_context(client_of(reading))  # entered: one event loop for all requests

        yield serve


@pytest.fixture
def api(shared_api, backend_name):
    """A client of the dashboard on a store with the runs of `serving.fill`, which stay as they are."""
    return shared_api(backend_name)
