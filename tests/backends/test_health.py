"""What backends find out about their health."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from trainstore import TrainStore
from trainstore.backends import open_backend
from trainstore.backends.health import check_place, file_system_of
from trainstore.backends.sqlite_health import has_wal_reset_bug

MOUNTS = r"""
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /home rw - nfs4 server:/home rw,vers=4.2
23 22 8:2 / /home/local\040disk rw - xfs /dev/sdb1 rw
24 21 0:30 / /mnt rw - ext4 /dev/sdc1 rw
25 21 0:31 / /mnt rw - fuse.sshfs host:/x rw
26 21 0:32 / /homes rw - btrfs /dev/sdd1 rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/runs.db", "ext4"),
        ("/home/ann/runs.db", "nfs4"),
        ("/home/local disk/runs.db", "xfs"),
        ("/mnt/runs.db", "fuse.sshfs"),
        ("/homes/runs.db", "btrfs"),
    ],
)
def test_the_innermost_and_last_mount_counts(path, kind):
    """A path lies on the deepest mount above it, and of several on one folder on the last."""
    assert file_system_of(Path(path), MOUNTS) == kind


def test_the_mount_table_is_read_once_for_a_folder(monkeypatch, tmp_path):
    """Also for one that is not there: many short runs, each with a journal of its own, ask for the same folder."""
    from trainstore.backends import health

    asked = []
    monkeypatch.setattr(health, "file_system_of", lambda path: asked.append(path) or "nfs4")
    folder = tmp_path / "not" / "there"
    assert [health.network_file_system(folder) for _ in range(3)] == ["nfs4"] * 3
    folder.mkdir(parents=True)
    assert health.network_file_system(folder) == "nfs4"
    assert asked == [folder]


def test_a_network_file_system_is_a_warning(monkeypatch, tmp_path):
    """It names the type and the remedy."""
    from trainstore.backends import health

    monkeypatch.setattr(health, "file_system_of", lambda _: "nfs4")
    (finding,) = check_place("file", tmp_path, "use PostgreSQL")
    assert (finding.level, finding.fix) == ("warning", "use PostgreSQL")
    assert "nfs4" in finding.text
    monkeypatch.setattr(health, "LOW_SPACE", 2**62)
    assert "MiB are free" in list(check_place("file", tmp_path / "not" / "there", "x"))[1].text


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
def test_the_versions_that_have_the_wal_reset_bug(version, has):
    """3.7.0 to 3.51.2, but for the two that were repaired afterwards."""
    assert has_wal_reset_bug(version) is has


def test_a_snapshot_is_of_one_moment(database_url):
    """What is stored meanwhile is not seen by its later statements."""
    with TrainStore(database_url) as store:
        store.start_run(name="before").finish()
        backend = open_backend(database_url)
        count = select(func.count()).select_from(store.table.run)
        with backend.snapshot(store.engine) as connection:
            assert connection.execute(count).scalar() == 1
            assert store.start_run(name="after").finish()
            assert connection.execute(count).scalar() == 1
        assert store.connection.execute(count).scalar() == 2
