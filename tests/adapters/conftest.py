"""Adapters of libraries that are too large for every run of the suite: `make test-adapters` collects these files."""

import os

#: Only that command sets it. Elsewhere the libraries are not installed, and nothing here is part of the suite.
if os.environ.get("TRAINSTORE_TEST_ADAPTERS") != "all":
    collect_ignore_glob = ["test_*.py"]
