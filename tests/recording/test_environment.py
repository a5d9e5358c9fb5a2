"""What an attempt remembers of where it ran."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from trainstore.recording.environment import attempt_facts


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A Git repository of one commit."""
    for command in (
        ("init", "--quiet"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "--message", "first"),
    ):
        subprocess.run(("git", *command), cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_the_commit_is_that_of_the_working_folder(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that goes to another folder records that one's commit, also within the minute an answer is kept."""
    folder = repository / "not under version control"
    head = subprocess.run(
        ("git", "rev-parse", "HEAD"), cwd=repository, check=True, capture_output=True, text=True
    ).stdout.strip()
    monkeypatch.chdir(repository)
    assert (attempt_facts()["git_commit"], attempt_facts()["git_dirty"]) == (head, False)
    folder.mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository))
    monkeypatch.chdir(folder)
    assert attempt_facts()["git_commit"] is None
