"""A backend out of a package that is installed beside trainstore: found by its entry point, tried by the contract."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import pytest

from trainstore.testing import BackendContract

TESTS = Path(__file__).parents[1]
PACKAGE = Path(__file__).with_name("third_party")
CONTRACT = {name for name in dir(BackendContract) if name.startswith("test_")}


@dataclass
class Installed:
    """The package, installed into a folder of its own, and its tests beside."""

    site: Path
    tests: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the package installed, among the package's tests."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("TRAINSTORE_")}
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.tests,
            env={**env, "PYTHONPATH": os.pathsep.join((str(self.site), str(TESTS)))},
            capture_output=True,
            text=True,
            timeout=600,
        )

    def outcomes(self, *arguments: str) -> dict[str, set[str]]:
        """Run pytest: the tests that passed, failed, were skipped. An error in a fixture is a failure."""
        report = self.tests / "report.xml"
        report.unlink(missing_ok=True)
        plugins = ("-p", "no:cacheprovider", "-p", "backends.forked_contract")
        done = self.run("-m", "pytest", "-q", *plugins, f"--junitxml={report}", *arguments)
        assert report.exists(), done.stdout + done.stderr
        found: dict[str, set[str]] = {"passed": set(), "failed": set(), "skipped": set()}
        for case in ElementTree.parse(report).iter("testcase"):
            kinds = {child.tag for child in case}
            outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
            found[outcome].add(str(case.get("name")))
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """`pip install` of the package, without a network."""
    folder = tmp_path_factory.mktemp("third_party")
    tests = folder / "project"
    shutil.copytree(PACKAGE, tests, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    done = subprocess.run(
        [*command, "--target", str(folder / "site"), str(tests)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Installed(folder / "site", tests)


def test_the_backend_is_found_by_its_entry_point(installed: Installed, tmp_path: Path) -> None:
    """No line of trainstore names it, and no code registers it."""
    code = (
        "from trainstore.backends import known_schemes, open_backend\n"
        f"backend = open_backend('filelite:///{tmp_path}/x')\n"
        "print(type(backend).__module__, 'filelite' in known_schemes())"
    )
    done = installed.run("-c", code)
    assert done.stdout.split() == ["trainstore_filelite", "True"], done.stderr
    made = installed.run("-m", "trainstore", "db", "upgrade", "--store", f"filelite:///{tmp_path}/new")
    assert made.returncode == 0, made.stderr


DEFECTS = {
    "InsertsAgain": {"test_insert_missing_leaves_what_is_there"},
    "ReplacesNothing": {"test_upsert_inserts_and_replaces", "test_steps_merge"},
    "BindsAnything": {"test_values_of_a_frame_in_expressions"},
    "ForgetsRows": {"test_upsert_inserts_and_replaces", "test_many_rows_and_wide_rows", "test_steps_merge"},
    "TakesTextForNumbers": {"test_json_expressions", "test_json_numbers_compare"},
    "KeepsHalfAMigration": {"test_a_failed_migration_leaves_nothing"},
    "ShowsTheDriversErrors": {"test_what_does_not_answer_is_unavailable"},
    "OneForAll": {"test_opening_makes_the_schema"},
}


BROKEN = {f"{test}[{defect}]" for defect, caught in DEFECTS.items() for test in caught}
HEALTHY = {f"{test}[Healthy]" for caught in DEFECTS.values() for test in caught}


@pytest.fixture(scope="module")
def outcomes(installed: Installed) -> dict[str, set[str]]:
    """Those of the package's own test file and, with a defect in brackets, of the tests of broken backends."""
    broken = [f"test_broken.py::TestBroken::{test}" for test in sorted(BROKEN | HEALTHY)]
    return installed.outcomes("test_contract.py", *broken)


def test_the_backend_passes_the_contract(outcomes: dict[str, set[str]]) -> None:
    """Every test of the contract runs, with the package's own test file, and none fails or is skipped."""
    found = {outcome: {name for name in names if "[" not in name} for outcome, names in outcomes.items()}
    assert found == {"passed": CONTRACT, "failed": set(), "skipped": set()}


def test_the_contract_finds_defects(outcomes: dict[str, set[str]]) -> None:
    """A backend with one defect fails the tests that are about it, where the same backend without it passes."""
    found = {outcome: {name for name in names if "[" in name} for outcome, names in outcomes.items()}
    assert found == {"passed": HEALTHY, "failed": BROKEN, "skipped": set()}


def test_a_failed_test_shows_what_it_compared(installed: Installed, outcomes: dict[str, set[str]]) -> None:
    """Without anything in the package's conftest.py."""
    assert "test_upsert_inserts_and_replaces[ForgetsRows]" in outcomes["failed"]
    (failure,) = [
        case.findtext("failure", "")
        for case in ElementTree.parse(installed.tests / "report.xml").iter("testcase")
        if case.get("name") == "test_upsert_inserts_and_replaces[ForgetsRows]"
    ]
    assert "extra item: 2" in failure
