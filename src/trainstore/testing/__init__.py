"""The contract of a backend, as tests: what a database must do for trainstore, tried through the public store.

A package that adds a backend (see `trainstore.backends.base.Backend`) subclasses `BackendContract` in its tests and
names an empty database::

    # tests/test_contract.py
    import pytest
    from trainstore.testing import BackendContract

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def database_url(self, tmp_path):
            return f"myscheme:///{tmp_path}/store"

and runs pytest, which finds every test of the contract. `BackendContract` lists further fixtures and attributes
for what differs between databases; tests whose fixture is missing are skipped and say why. A failed assertion shows its
values, as in tests of your own. pytest must be installed.

The contract's parts, from the bottom up: ``statements``, ``opening``, ``recording``, ``queries``, ``processes`` and
``errors``; ``base`` has what they share.
"""

from __future__ import annotations

import pytest

# Before they are imported: else a failed test of the contract shows no values.
_PARTS = ("base", "errors", "opening", "processes", "queries", "recording", "statements")
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from trainstore.testing.base import PASSWORD, VALUES, Away  # noqa: E402
from trainstore.testing.errors import Errors  # noqa: E402
from trainstore.testing.opening import Opening  # noqa: E402
from trainstore.testing.processes import Processes  # noqa: E402
from trainstore.testing.queries import Queries  # noqa: E402
from trainstore.testing.recording import Recording  # noqa: E402
from trainstore.testing.statements import Statements  # noqa: E402

__all__ = ["PASSWORD", "VALUES", "Away", "BackendContract"]


# pytest runs the tests of the last base first. Failures are best fixed from the bottom up, so statements come first.
class BackendContract(Errors, Processes, Queries, Recording, Opening, Statements):
    """The tests that every backend passes. Subclass it as ``class TestMine(BackendContract)``.

    Fixtures to override (and the attributes below):

    - ``database_url`` (must): the connection string of a database of its own for each test, without any table; it need
      not exist if opening creates it.
    - ``unreachable_url``: a connection string of the same kind at which no database answers: a closed port, a folder
      that does not exist. If it can hold a password, use `PASSWORD`.
    - ``away``: an `Away`: an empty database that cannot be reached until it is called back.

    Attributes:
        setup_code: Python code that the processes started by the tests run first. Needed only if the backend is not
            installed with its entry point: ``"import mine; mine.register()"``.
        transactional_ddl: Whether CREATE TABLE is rolled back with its transaction.
    """
