"""What several files of these tests need."""

import re
import subprocess

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
def api(reading):
    """A client of the dashboard on that store."""
    return client_of(reading)
