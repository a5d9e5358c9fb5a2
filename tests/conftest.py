"""What holds for every test; the fixtures stand in the modules that are named here."""

import gc
import os
import shutil
import tempfile
from itertools import zip_longest

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["fixtures.databases", "fixtures.processes", "fixtures.revisions"]

#: The models are tiny: threads of PyTorch and NumPy would only wait for each other. Child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

#: What the suite writes is thrown away: it lies in memory where there is room, PostgreSQL's data included. Each test's
#: database is some megabytes that a disk would have to sync. TMPDIR names another place; `make soak` stays on the disk.
IN_MEMORY = "/dev/shm"
if "TMPDIR" not in os.environ and os.path.isdir(IN_MEMORY) and shutil.disk_usage(IN_MEMORY).free > 4 << 30:
    os.environ["TMPDIR"] = tempfile.tempdir = IN_MEMORY

#: A busy machine is no failure: examples have no deadline, and drawing them may take its time.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

#: Files that take ten seconds and more, the longest first: begun last, one of them would run on alone. Those that wait
#: (for time-outs, other processes, a browser) and those that compute take turns, so that no core is idle.
WAITING = [
    "test_14_permissions", "test_module_killed", "test_killed", "test_sender", "test_11_journal_disk_full",
    "test_09_black_hole", "test_22_scale", "test_25_hostile_names_and_secrets", "test_server", "test_13_failing_fsync",
    "test_04_locked", "test_01_killed", "test_12_database_disk_full", "test_runs_page", "test_charts",
    "test_all_pages", "test_run_live", "test_17_forked", "test_19_damaged", "test_06_restarted",
    "test_delivery_thread", "test_23_steps", "test_endings", "test_16_many_writers", "test_05_stopped_server",
    "test_distributed", "test_live_page", "test_27_two_stores", "test_report_page", "test_03_signals",
    "test_runs_table", "test_processes", "test_15_network_file_system", "test_20_schemas", "test_run_page",
]  # fmt: skip
COMPUTING = [
    "test_docs", "test_benchmarks", "test_report", "test_every_source", "test_third_party", "test_installed",
    "test_accelerate", "test_lightning", "test_contract", "test_run", "test_language", "test_roles", "test_api",
    "test_every_trainer", "test_position", "test_live", "test_accuracy", "test_plots", "test_js", "test_site",
    "test_values", "test_engine", "test_scalarstop", "test_textgen", "test_forgather", "test_tables", "test_store",
    "test_list_runs", "test_demo", "test_columns", "test_series", "test_histories", "test_merging", "test_grad_logger",
    "test_recording", "test_suggestions", "test_optuna", "test_report_to", "test_keras", "test_filters",
    "test_three_stores", "test_parents_and_deleted_runs", "test_flush", "test_prepare",
]  # fmt: skip
LONGEST = [stem for pair in zip_longest(WAITING, COMPUTING) for stem in pair if stem]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring the longest files to the front, where several processes share the suite."""
    if hasattr(config, "workerinput"):
        order = {stem: number for number, stem in enumerate(LONGEST)}
        items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave the imported libraries, millions of objects, out of garbage collections: each Trainer makes several."""
    gc.collect()
    gc.freeze()
