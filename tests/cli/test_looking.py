"""Looking at runs, the schema and journals: ``runs``, ``show``, ``best``, ``db``, ``recover``; errors."""

import csv
import json
import os
import subprocess
import sys
import time
from datetime import timedelta, timezone

import pytest

from fixtures import forkserver
from trainstore import TrainStore
from trainstore.cli import main
from trainstore.schema import HEAD


def test_runs_lists_the_newest_first(trainstore):
    """``trainstore runs`` shows each run's label, status, metrics and what varies."""
    code, out, err = trainstore("runs")
    assert (code, err) == (0, "")
    assert out.index("second") < out.index("first")
    assert "finished" in out
    assert "learning_rate" in out
    assert "eval_loss" in out


def test_hyperparameters_and_metrics_called_like_a_column_keep_their_prefix(call, tmp_path):
    """A run table with ``hp.name`` and ``metric.lr`` beside ``hp.lr`` has each column once, under its own title."""
    url = tmp_path / "clash.db"
    with TrainStore(url) as store:
        for name in ("a", "b"):
            with store.start_run(name, hyperparams={"name": f"of {name}", "lr": 0.5 if name == "a" else 1.5}) as run:
                run.log({"lr": 0.25})
    code, out, _ = call("runs", "--store", url)
    assert code == 0
    assert {"name", "hp__name", "hp__lr", "metric__lr"} <= set(out.split("\n")[1].split())


def test_runs_limit_and_filters(trainstore):
    """--limit shows the newest only and says so; --project, --status and --tag admit what they name."""
    code, out, _ = trainstore("runs", "--limit", "1")
    assert code == 0
    assert "second" in out
    assert "first" not in out
    assert "--all" in out
    assert "no run matches" in trainstore("runs", "--project", "other")[1]
    assert "no run matches" in trainstore("runs", "--status", "failed")[1]
    assert len(json.loads(trainstore("runs", "--tag", "t", "--all", "--json")[1])) == 2


def test_every_answer_comes_as_json_too(trainstore):
    """--json prints whole values, which a script can read."""
    runs = json.loads(trainstore("runs", "--json")[1])
    assert [run["name"] for run in runs] == ["second", "first"]
    assert runs[0]["hp__learning_rate"] == 0.01
    assert runs[0]["ended_at"].endswith("+00:00")
    shown = json.loads(trainstore("show", "first", "--json")[1])
    assert shown["run"]["hyperparams"] == {"learning_rate": 0.1}
    assert [metric["metric"] for metric in shown["metrics"]] == ["eval_loss"]
    assert shown["events"][0]["details"] == {"path": "here"}
    best = json.loads(trainstore("best", "eval_loss", "--json")[1])
    assert [run["name"] for run in best] == ["second", "first"]
    assert best[0]["sort_metric_step"] == 4
    assert json.loads(trainstore("db", "current", "--json")[1])["current"] == HEAD
    assert json.loads(trainstore("db", "check", "--json")[1]) == {"differences": []}
    assert json.loads(trainstore("db", "upgrade", "--json")[1]) == {"before": HEAD, "after": HEAD}
    assert json.loads(trainstore("recover", "--json")[1])["records"] == 0


def test_show_takes_an_id_a_uid_and_a_name(trainstore):
    """A run is named as everywhere else; its hyperparameters, metrics and events are shown."""
    uid = json.loads(trainstore("show", "first", "--json")[1])["run"]["uid"]
    for name in ("1", uid, "first"):
        code, out, _ = trainstore("show", name)
        assert code == 0
        for text in (uid, "learning_rate", "eval_loss", "checkpoint"):
            assert text in out


def test_best_ranks_in_either_direction(trainstore):
    """The smallest value is the best, unless --max says otherwise; --by-last ranks by the last value."""
    assert trainstore("best", "eval_loss")[1].index("second") < trainstore("best", "eval_loss")[1].index("first")
    code, out, _ = trainstore("best", "eval_loss", "--max", "--limit", "1", "--json")
    assert code == 0
    assert [run["name"] for run in json.loads(out)] == ["first"]
    assert json.loads(trainstore("best", "eval_loss", "--by-last", "--json")[1])[0]["sort_metric_value"] == 0.01 + 1 / 5


def test_schema_commands_say_what_they_found(trainstore):
    """``db`` shows, checks and upgrades the schema in words."""
    assert trainstore("db", "current")[1] == f"{HEAD} (head)\n"
    assert trainstore("db", "check")[1] == "the database and the models agree\n"
    assert trainstore("db", "upgrade")[1] == f"schema {HEAD}\n"


def test_db_upgrade_makes_the_schema(empty_database_url, capsys):
    """On a database without a schema ``db current`` says so, and ``db upgrade`` makes it, under any prefix."""
    for arguments, expected in (
        (("db", "current"), f"none; this trainstore needs {HEAD}"),
        (("db", "upgrade"), f"schema none → {HEAD}"),
        (("db", "check"), "the database and the models agree"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main([*arguments, "--store", empty_database_url, "--prefix", "mine_"])
        assert exit_.value.code == 0
        assert expected in capsys.readouterr().out
    with TrainStore(empty_database_url, table_name_prefix="mine_") as store:
        assert store.list_runs().empty


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "nobody"), "there is no run 'nobody'; list them with: trainstore runs"),
        (("show", "77"), "there is no run '77'"),
        (("best", "nothing"), "no run has a finite value of 'nothing'; there are eval_loss"),
        (("runs", "--status", "odd"), "is not one of running, finished"),
        (("runs", "--store", "nowhere.db"), "trainstore demo"),
        (("runs", "--store", "foo://x"), "no backend for 'foo'"),
        (("runs", "--prefix", "No!"), "table_name_prefix 'No!'"),
        (("runs", "--store", "postgresql://u:s3cret@127.0.0.1:1/x"), "127.0.0.1:1 cannot be reached"),
    ],
)
def test_a_users_error_is_one_line(trainstore, arguments, words):
    """What a person got wrong ends with exit code 1 and one line that says what to do; no traceback, no password."""
    code, out, err = trainstore(*arguments)
    assert code == 1
    assert out == ""
    assert words in err
    assert err.count("\n") == 1
    assert "s3cret" not in err


def test_a_wrong_command_line_is_code_2(trainstore):
    """An option or command that does not exist ends with Click's usage message and exit code 2."""
    for arguments in (("runs", "--limit", "many"), ("nonsense",), ("best",)):
        code, _, err = trainstore(*arguments)
        assert code == 2
        assert "Usage" in err


def test_what_people_wrote_cannot_steer_the_terminal(database_url, capsys, monkeypatch):
    """Control characters in names and notes are shown, not obeyed."""
    with TrainStore(database_url) as store:
        store.start_run(name="a\x1b[31mred\nline", project="[bold]p[/]").finish()
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    for arguments in (("runs",), ("show", "1")):
        with pytest.raises(SystemExit):
            main(arguments)
        out = capsys.readouterr().out
        assert "\x1b[31m" not in out
        assert "\\x1b[31mred" in out
    assert "[bold]p[/]" in out


def test_nan_is_shown_and_not_left_out(call, database_url):
    """A hyperparameter or a last value that is NaN is told from one that is missing."""
    with TrainStore(database_url) as store:
        for name, rate in (("odd", float("nan")), ("even", 0.5)):
            with store.start_run(name=name, hyperparams={"rate": rate, "nothing": None}) as run:
                run.log({"loss": rate})
    shown = call("show", "odd", "--store", database_url).out.splitlines()
    assert [line.split() for line in shown if "rate" in line or "loss" in line or "nothing" in line] == [
        ["loss", "NaN"],
        ["rate", "NaN"],
    ]
    assert ["hp.rate", "NaN", "0.5"] in [
        line.split() for line in call("compare", "odd", "even", "--store", database_url).out.splitlines()
    ]


def test_a_reader_that_has_had_enough(trainstore, store_url):
    """``trainstore show RUN --steps | head -1`` is not an error."""
    with TrainStore(store_url) as store, store.start_run(name="long") as run:
        for step in range(3000):
            run.log({f"metric {step % 7}": step}, step=step)
    command = [forkserver.command("trainstore"), "show", "long", "--steps", "--last", "3000", "--store", store_url]
    process = forkserver.start(command, "trainstore", stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0


def test_the_module_and_the_command_are_one(tmp_path):
    """``python -m trainstore`` is the command; without a store it says how to begin, and makes none."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAINSTORE_")}
    done = subprocess.run(
        [sys.executable, "-m", "trainstore", "runs"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "there is no store at trainstore.db" in done.stderr
    assert list(tmp_path.iterdir()) == []
    done = subprocess.run([sys.executable, "-m", "trainstore", "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("trainstore, version 0.")


def test_recover_delivers_what_a_killed_process_left(database_url, start_script, capsys, monkeypatch):
    """After SIGKILL, ``trainstore recover`` says how many records it brought in, and the run is shown as lost."""
    process = start_script(
        """
        import sys
        from trainstore import TrainStore
        from trainstore.recording import delivery_thread
        delivery_thread.INTERVAL = 3600.0  # nothing is delivered before the end
        run = TrainStore(sys.argv[1]).start_run(name="killed")
        for step in range(100):
            run.log({"loss": 1.0}, step=step)
        print("logged", flush=True)
        sys.stdin.read()
        """,
        database_url,
    )
    process.wait_for("logged")
    process.kill()
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    with pytest.raises(SystemExit) as exit_:
        main(["recover"])
    assert exit_.value.code == 0
    assert "delivered 102 records of 1 run" in capsys.readouterr().out
    with TrainStore(database_url) as store:
        assert store.list_runs()[["name", "status", "last_step"]].values.tolist() == [["killed", "lost", 99]]


def test_runs_shows_the_results_that_are_there(call, database_url):
    """A metric by any name that ends in loss, accuracy and the like is in the table; the time it took is not."""
    with TrainStore(database_url) as store, store.start_run(name="plain") as run:
        run.log({"train/loss": 0.5, "val/loss": 0.25, "step_runtime": 0.125}, step=1)
    out = call("runs", "--store", database_url).out
    assert "val/loss" in out
    assert "0.25" in out
    assert "step_runtime" not in out


def test_runs_are_written_as_csv(call, database_url, tmp_path):
    """The table, to standard output or a file in the format of its ending: times in UTC, durations in seconds."""
    with TrainStore(database_url) as store:
        for rate in (0.5, 0.25):
            with store.start_run(name=f"lr {rate}", hyperparams={"optim": {"lr": rate}}) as run:
                run.log({"val/loss": rate}, step=3)
    code, out, _ = call("runs", "--csv", "--store", database_url)
    assert code == 0
    newest, oldest = csv.DictReader(out.splitlines())
    assert (newest["name"], newest["last_step"], newest["metric__val/loss"]) == ("lr 0.25", "3", "0.25")
    assert [row["hp__optim.lr"] for row in (newest, oldest)] == ["0.25", "0.5"]
    assert newest["started_at"].endswith("+00:00")
    assert 0 < float(newest["duration"]) < 3600
    path = tmp_path / "runs.jsonl"
    assert "2 rows" in call("runs", "-o", path, "--store", database_url).out
    assert [json.loads(line)["name"] for line in path.read_text().splitlines()] == ["lr 0.25", "lr 0.5"]
    assert "--force" in call("runs", "-o", path, "--store", database_url).err
    assert call("runs", "-o", "runs.xlsx", "--store", database_url).code == 2
    assert call("runs", "--csv", "--json", "--store", database_url).code == 2


def test_a_narrow_terminal_shows_results_first(call, database_url, monkeypatch):
    """A result and what differs are there at 80 columns; what has no room is named."""
    with TrainStore(database_url) as store:
        for rate in (0.5, 0.25):
            hyperparams = {
                "learning_rate": rate,
                "weight_decay": rate,
                "data_seed": int(rate * 4),
                "do_eval": rate > 0.3,
            }
            with store.start_run(
                project=f"project-{rate}", name=f"a-longer-name-{rate}", hyperparams=hyperparams
            ) as run:
                run.log({"eval_loss": rate, "loss": rate, "train_loss": rate})
    monkeypatch.setattr("trainstore.cli.printing.PIPED_WIDTH", 80)
    table, hidden = call("runs", "--store", database_url).out.split("(no room for: ")
    assert max(map(len, table.splitlines())) <= 80
    assert "eval_loss" in table
    assert "learning_rate" in table
    assert "data_seed" in hidden
    assert "do_eval" not in table + hidden  # a Trainer sets it itself


def test_times_have_the_zone_of_this_machine(call, database_url, monkeypatch):
    """In tables; JSON is in UTC."""
    with TrainStore(database_url) as store:
        store.start_run(name="a").finish()
        monkeypatch.setenv("TZ", "XYZ-5")
        time.tzset()
        try:
            started = store.get_run("a").started_at.astimezone(timezone(timedelta(hours=5)))
            assert f"{started:%m-%d %H:%M} XYZ" in call("runs", "--store", database_url).out
            assert f"{started:%m-%d %H:%M} XYZ" in store._repr_html_()
        finally:
            monkeypatch.undo()
            time.tzset()
    assert json.loads(call("runs", "--json", "--store", database_url).out)[0]["started_at"].endswith("+00:00")


def test_what_is_best_is_in_the_name(call, database_url):
    """The largest accuracy, which is said; else the smallest value. --min and --max say it themselves."""
    with TrainStore(database_url) as store:
        for name, value in (("low", 0.25), ("high", 0.5)):
            with store.start_run(name) as run:
                run.log({"eval_accuracy": value, "eval_loss": value, "width": value}, step=0)

    def ranked(*arguments):
        called = call("best", *arguments, "--json", "--store", database_url)
        return [run["name"] for run in json.loads(called.out)], called.err

    word = "the largest eval_accuracy is the best, as its name says; --min is the other way\n"
    assert ranked("eval_accuracy") == (["high", "low"], word)
    assert ranked("eval_accuracy", "--max") == (["high", "low"], "")
    assert ranked("eval_accuracy", "--min") == (["low", "high"], "")
    for metric in ("eval_loss", "width"):
        assert ranked(metric) == (["low", "high"], "")
        assert ranked(metric, "--max") == (["high", "low"], "")


def test_what_is_best_is_in_the_study(call, database_url):
    """The objective of a study that maximizes it ranks the largest first, which is said."""
    with TrainStore(database_url) as store:
        for name, value in (("low", 0.25), ("high", 0.5)):
            with store.start_run(name, tags={"study.direction": "maximize"}) as run:
                run.log({"objective": value}, step=0)
    called = call("best", "objective", "--json", "--store", database_url)
    assert [run["name"] for run in json.loads(called.out)] == ["high", "low"]
    assert called.err == "the largest objective is the best, as its study says; --min is the other way\n"
