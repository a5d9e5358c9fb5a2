"""The third party's test of its backend: all there is to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainstore.testing import Away, BackendContract


class TestFileLite(BackendContract):
    @pytest.fixture
    def database_url(self, tmp_path: Path) -> str:
        return f"filelite:///{tmp_path}/store"

    @pytest.fixture
    def unreachable_url(self, tmp_path: Path) -> str:
        return f"filelite:///{tmp_path}/no-folder/store"

    @pytest.fixture
    def away(self, tmp_path: Path) -> Away:
        """A file on a disk that is not mounted yet."""
        return Away(f"filelite:///{tmp_path}/later/store", (tmp_path / "later").mkdir)
