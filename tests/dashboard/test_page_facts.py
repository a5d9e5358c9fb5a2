"""What a run's page says beside what is stored: how fast it goes, and the command that shows the same."""

import shlex
from itertools import pairwise

import pytest

from trainstore import TrainStore
from trainstore.cli import main
from trainstore.dashboard.meta import meta
from trainstore.dashboard.run_details import run_detail


def test_the_command_of_the_page_finds_the_store(store, capsys, tmp_path, monkeypatch):
    """From any folder; where the URL would need a password, there are no options instead."""
    with store.start_run("shown") as run:
        run.log({"loss": 1.0}, step=1)
    with store.snapshot() as snapshot:
        options = meta(snapshot.reader)["store"]["options"]
    if "***" in store.url:
        assert options is None
        return
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["show", run.uid, *shlex.split(options)])
    output = capsys.readouterr()
    assert ended.value.code == 0, output.err
    assert "shown" in output.out


def test_the_code_of_the_first_page_records_into_the_store(store, tmp_path, monkeypatch):
    """From any folder; where the URL would need a password, it is the environment's."""
    with store.snapshot() as snapshot:
        code = meta(snapshot.reader)["store"]["code"]
    assert "***" not in code
    if "***" in store.url:
        assert code == "TrainStore()"
        return
    monkeypatch.chdir(tmp_path)
    with eval(code, {"TrainStore": TrainStore}) as opened, opened.start_run("first") as run:
        run.log({"loss": 1.0}, step=1)
    assert store.list_runs()["name"].tolist() == ["first"]


def test_the_code_of_the_first_page_names_the_prefix(database_url):
    """Tables of another prefix would be another store."""
    with TrainStore(database_url, table_name_prefix="mine_") as store, store.snapshot() as snapshot:
        assert 'table_name_prefix="mine_")' in meta(snapshot.reader)["store"]["code"]


def test_a_page_says_how_fast_a_run_goes(store):
    """From its first to its last step; nothing for a run of one step."""
    with store.start_run() as quick:
        for step in range(3):
            quick.log({"loss": 1.0}, step=step)
    with store.start_run() as short:
        short.log({"loss": 1.0}, step=0)
    with store.snapshot() as snapshot:
        assert run_detail(snapshot.reader, quick.uid)["run"]["steps_per_second"] > 0
        assert run_detail(snapshot.reader, short.uid)["run"]["steps_per_second"] is None


def test_a_page_says_when_the_last_step_was_and_what_lies_between_two(store):
    """Of the attempt that is shown; of the last steps only, so that one long pause does not count."""
    with store.start_run() as steady:
        for step in range(4):
            steady.log({"loss": 1.0}, step=step)
    with store.start_run() as silent:
        pass
    times = [row.logged_at.timestamp() for row in store.list_step_logs(steady.uid).itertuples()]
    with store.snapshot() as snapshot:
        shown, nothing = (run_detail(snapshot.reader, run.uid)["run"] for run in (steady, silent))
    assert shown["last_step_at"] == pytest.approx(times[-1], abs=1e-3)
    assert shown["step_interval"] == pytest.approx(sorted(b - a for a, b in pairwise(times))[1], abs=1e-3)
    assert nothing["last_step_at"] is nothing["step_interval"] is None


def test_what_nobody_chose_is_told_from_what_somebody_did(store):
    """The defaults of a Trainer's arguments; a run of another source has none."""
    arguments = {"learning_rate": 5e-5, "seed": 7, "deepspeed": None}
    for source, usual in (("transformers", {"learning_rate", "deepspeed"}), ("python", set())):
        with store.start_run(hyperparams=arguments, source=source) as run:
            run.log({"loss": 1.0}, step=0)
        with store.snapshot() as snapshot:
            facts = run_detail(snapshot.reader, run.uid)["hyperparams"]
        assert {fact["key"] for fact in facts if fact.get("usual")} == usual
