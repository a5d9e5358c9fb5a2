"""What several files of these tests need."""

import re
import subprocess

import pytest

from fixtures.browsers import program_or_skip

DETECTS_MODULES = (20, 19)  # from this version on Node sees by itself that a file is a module


@pytest.fixture(scope="module")
def node():
    """How Node is started."""
    program = program_or_skip(["node", "nodejs"], "the page's functions")
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:2]))
    return [program, "--no-warnings", *([] if version >= DETECTS_MODULES else ["--experimental-default-type=module"])]
