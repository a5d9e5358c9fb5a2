"""The contract's processes, forked where trainstore is loaded already: a new interpreter takes a second to import it.

Also a plugin for the pytest of a third party's package (``-p backends.forked_contract``): there the first process is
started as the contract does it, and all others are forked.
"""

from __future__ import annotations

import itertools
import subprocess
import textwrap
from typing import Any

import pytest

from fixtures import forkserver


def start_forked(contract: Any, code: str, url: str, *arguments: object) -> Any:
    """What ``BackendContract._start`` does, in a process that is forked."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    code = f"import sys\n{textwrap.dedent(contract.setup_code)}\nurl = sys.argv[1]\n{textwrap.dedent(code)}"
    return forkserver.start(["-c", code, url, *map(str, arguments)], "trainstore", text=True, **pipes)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Replace how the contract starts processes, once the package's conftest.py has had its say about imports."""
    from trainstore.testing import BackendContract

    as_it_is, count = BackendContract._start, itertools.count()

    def start(contract: Any, *arguments: Any) -> Any:
        return (as_it_is if next(count) == 0 else start_forked)(contract, *arguments)

    BackendContract._start = start
