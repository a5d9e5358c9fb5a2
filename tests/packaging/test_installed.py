"""trainstore as users get it: built, installed from the wheel, used from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.databases import migrate, opened
from fixtures.revisions import AFTER, PATCH
from trainstore import schema
from trainstore.dashboard.report import is_report

ROOT = Path(__file__).parents[2]


@dataclass
class Installation:
    """A virtual environment with the wheel in it, and the files it was made from."""

    sdist: Path
    wheel: Path
    python: Path
    elsewhere: Path

    def run(self, *command: str, **env: str) -> str:
        """Run a program in the environment, outside the repository; its stdout."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "TRAIN"))}
        done = subprocess.run(
            command, cwd=self.elsewhere, env={**clean, **env}, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def script(self, name: str) -> str:
        """The path of a command of the environment."""
        return str(self.python.with_name(name))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """sdist, wheel made from it, and an environment that has the wheel; dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("packaging")

    def run(*command: object) -> None:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr

    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", ROOT)
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # Only the folders, not their own .pth files: the editable trainstore there is not seen.
    folders = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(folders))
    (folder / "elsewhere").mkdir()
    return Installation(sdist, wheel, python, folder / "elsewhere")


def test_wheel_holds_what_it_needs(installed: Installation):
    """The wheel carries the migrations, alembic.ini and the mark of typed packages, and nothing astray."""
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
    assert {
        "trainstore/py.typed",
        "trainstore/alembic.ini",
        "trainstore/migrations/env.py",
        "trainstore/migrations/script.py.mako",
        "trainstore/migrations/versions/0001_initial.py",
        "trainstore/migrations/versions/0002_parents_and_deleted_runs.py",
    } <= names
    assert {name.split("/")[0] for name in names} == {"trainstore", "trainstore-0.1.0.dist-info"}
    assert not [name for name in names if name.endswith((".pyc", ".db", "~"))]


def test_wheel_holds_the_page(installed: Installation):
    """The dashboard's files are in it as they lie here: nothing is built, so nothing can be missing."""
    folder = ROOT / "src" / "trainstore" / "dashboard" / "assets"
    files = {f"trainstore/dashboard/assets/{path.name}": path.read_bytes() for path in folder.iterdir()}
    assert files
    with zipfile.ZipFile(installed.wheel) as archive:
        assert {name: archive.read(name) for name in archive.namelist() if "/assets/" in name} == files


def test_a_plain_install_is_as_small_as_before(installed: Installation):
    """What the dashboard's server needs belongs to its extra."""
    with zipfile.ZipFile(installed.wheel) as archive:
        metadata = archive.read("trainstore-0.1.0.dist-info/METADATA").decode().splitlines()
    needed = [line.partition(": ")[2] for line in metadata if line.startswith("Requires-Dist: ")]
    assert len([line for line in needed if "extra ==" not in line]) == 7
    of_ui = [line.partition(">=")[0] for line in needed if line.endswith(("extra == 'ui'", 'extra == "ui"'))]
    assert of_ui == ["starlette", "uvicorn"]


def test_sdist_holds_the_sources(installed: Installation):
    """The source archive has migrations and tests, so that a distributor can build and test from it."""
    with tarfile.open(installed.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"alembic.ini", "migrations/env.py", "src/trainstore/schema.py", "tests/conftest.py", "LICENSE"} <= names


def test_wheel_makes_a_database(installed: Installation, empty_database_url: str):
    """An installed trainstore makes the schema, which this repository's own then finds at head."""
    output = installed.run(
        str(installed.python),
        "-c",
        "import sys, trainstore\n"
        "from trainstore import schema\n"
        "from trainstore.backends import open_backend\n"
        "backend = open_backend(sys.argv[1])\n"
        "print(trainstore.__file__)\n"
        "print(schema.prepare(backend.create_engine(), backend, trainstore.models_for()))\n",
        empty_database_url,
    )
    file, uid = output.split()
    assert Path(file).is_relative_to(installed.python.parents[1])
    assert migrate(empty_database_url) == uid


def test_wheel_writes_a_report(installed: Installation, database_url: str):
    """An installed trainstore finds the page's files, and joins them to one."""
    record = (
        "import sys, trainstore\nwith trainstore.TrainStore() as s, s.start_run('a') as run: run.log({'loss': 1.0})"
    )
    installed.run(str(installed.python), "-c", record, TRAINSTORE_URL=database_url)
    report = installed.elsewhere / "report.html"
    command = ("report", "--all", "-o", str(report), "--store", database_url, "--force")
    installed.run(installed.script("trainstore"), *command)
    assert is_report(report)


def test_wheel_upgrades_a_database(installed: Installation, database_url: str, newer_migrations: Path):
    """An installed trainstore upgrades an older database."""
    installed.run(
        str(installed.python),
        "-c",
        f"{PATCH}\n"
        "import trainstore\n"
        "from trainstore.backends import open_backend\n"
        "backend = open_backend(sys.argv[2])\n"
        "schema.prepare(backend.create_engine(), backend, trainstore.models_for(), auto_upgrade=True)\n",
        str(newer_migrations),
        database_url,
    )
    with opened(database_url) as database:
        assert schema.current(*database) == AFTER


#: What `python -m alembic` does, several times in one interpreter.
ALEMBIC = """
import sys
import trainstore.schema
from alembic.config import main
ini = trainstore.schema.migrations_directory().parent / "alembic.ini"
for command in (["upgrade", "head"], ["check"], ["downgrade", "base"]):
    main(["-c", str(ini), *command])
print(ini)
"""


def test_installed_commands(installed: Installation, empty_database_url: str):
    """`trainstore db upgrade | check` and `alembic -c …/trainstore/alembic.ini` work on the installed files."""
    output = installed.run(str(installed.python), "-c", ALEMBIC, TRAINSTORE_URL=empty_database_url)
    assert Path(output.splitlines()[-1]).is_relative_to(installed.python.parents[1])
    assert "No new upgrade operations detected" in output
    with opened(empty_database_url) as database:
        assert schema.current(*database) is None
    installed.run(installed.script("trainstore"), "db", "upgrade", "--store", empty_database_url)
    installed.run(installed.script("trainstore"), "db", "check", "--store", empty_database_url)
    with opened(empty_database_url) as database:
        assert schema.current(*database) == schema.HEAD
