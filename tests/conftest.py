"""What holds for every test; the fixtures stand in the modules that are named here."""

import gc
import os
import shutil
import tempfile

import pytest

pytest_plugins = ["fixtures.databases", "fixtures.processes", "fixtures.revisions"]

#: The models are tiny: threads of PyTorch and NumPy would only wait for each other. Child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

#: What the suite writes is thrown away: it lies in memory where there is room, PostgreSQL's data included. Each test's
#: database is some megabytes that a disk would have to sync. TMPDIR names another place; `make soak` stays on the disk.
IN_MEMORY = "/dev/shm"
if "TMPDIR" not in os.environ and os.path.isdir(IN_MEMORY) and shutil.disk_usage(IN_MEMORY).free > 4 << 30:
    os.environ["TMPDIR"] = tempfile.tempdir = IN_MEMORY


#: Files that take 15 seconds and more, the longest first: begun last, one of them would run on alone.
LONGEST = [
    "test_distributed", "test_module_killed", "test_14_permissions",
    "test_01_killed", "test_25_hostile_names_and_secrets", "test_docs", "test_live",
    "test_third_party", "test_benchmarks", "test_11_journal_disk_full", "test_20_schemas",
    "test_12_database_disk_full", "test_17_forked", "test_22_scale", "test_19_damaged", "test_09_black_hole",
    "test_06_restarted", "test_accuracy", "test_16_many_writers", "test_05_stopped_server", "test_04_locked",
    "test_histories", "test_resume", "test_contract", "test_03_signals", "test_roles", "test_23_steps",
    "test_installed", "test_15_network_file_system", "test_processes", "test_13_failing_fsync",
    "test_all_pages", "test_runs_page", "test_charts", "test_run_page", "test_report_page",
    "test_27_two_stores", "test_run", "test_store", "test_delivery_thread", "test_transformers_processes",
]  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring the longest files to the front, where several processes share the suite."""
    if hasattr(config, "workerinput"):
        order = {stem: number for number, stem in enumerate(LONGEST)}
        items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave the imported libraries, millions of objects, out of garbage collections: each Trainer makes several."""
    gc.collect()
    gc.freeze()
