"""What pytest must know of this folder."""

import pytest

#: A package of its own, which test_third_party.py installs and tests in another process.
collect_ignore = ["third_party"]

# Assertions of the contract are shown as those of a test.
pytest.register_assert_rewrite("trainstore.testing")
