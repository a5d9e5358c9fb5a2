"""The options that say which runs, and their order: what each means on the command line."""

import json

import pytest

from trainstore import TrainStore


def three_runs(store):
    """What `store_url` holds."""
    for name, project, hyperparams, tags in (
        ("a", "p", {"lr": 0.1, "optim": {"name": "my sgd"}, "fp16": True}, {"owner": "ann", "n": 3}),
        ("b", "p", {"lr": "0.1", "optim": {"name": "adam"}, "name": "x"}, {"owner": "bob", "n": "3", "lr=3": True}),
        ("c", "q", {"lr": 1e-4, "my key": 1}, ["good"]),
    ):
        with store.start_run(project=project, name=name, hyperparams=hyperparams, tags=tags) as run:
            run.log({"loss": 1 / hyperparams["lr"] if hyperparams["lr"] != "0.1" else 3.0}, step=0)


@pytest.fixture
def store_url(backend_name, recorded_once, new_database):
    """The connection string of a store of three runs, on each database."""
    return new_database(backend_name, template=recorded_once(backend_name, three_runs))


@pytest.fixture
def shown(store_url, call, monkeypatch):
    """The names that ``runs`` shows, in their order."""
    monkeypatch.setenv("TRAINSTORE_URL", store_url)

    def names(*options):
        code, out, err = call("runs", "--json", *options)
        assert (code, err) == (0, "")
        return "".join(run["name"] for run in json.loads(out))

    return names


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("--hp lr=0.1", "ba"),
        ("--hp lr=1e-4", "c"),
        ("--hp lr<1e-3", "c"),
        ("--hp lr>=1e-4 --hp lr!=0.1", "c"),
        ("--hp|optim.name = my sgd", "a"),
        ("--hp|optim.name~A", "b"),
        ("--hp|my key=1", "c"),
        ("--hp name=x", "b"),
        ("--hp hp.fp16=true", "a"),
        ("--hp fp16", "a"),
        ("--tag owner", "ba"),
        ("--tag owner=ann", "a"),
        ("--tag n=3", "ba"),
        ("--tag lr=3", "b"),
        ("--tag owner=ann --tag n", "a"),
        ("--tag good=no", ""),
        ("--name a --name c", "ca"),
        ("--project p --status finished", "ba"),
        ("--since 1h", "cba"),
        ("--until 1h", ""),
        ("--since 2026-01-01 --until 2100-01-01", "cba"),
        ("--where name=a --hp lr=0.1", "a"),
    ],
)
def test_each_option_chooses_runs(shown, options, names):
    """All that are given must hold; a number is also found as a text."""
    assert shown(*(options.split("|") if "|" in options else options.split())) == names


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("", "cba"),
        ("--reverse", "abc"),
        ("--sort name", "abc"),
        ("--sort -name", "cba"),
        ("--sort name --reverse", "cba"),
        ("--sort metric.loss", "bac"),
        ("--sort loss --limit 2", "ba"),
        ("--sort -project --sort name", "cab"),
        ("--sort duration --where name=a", "a"),
    ],
)
def test_runs_are_shown_in_an_order(shown, options, names):
    """--sort may be repeated; - and --reverse turn it around."""
    assert shown(*options.split()) == names


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--hp =1", 2, "'=1' is not NAME=VALUE, such as lr=1e-4"),
        ("--hp lr=", 2, "'lr=' is not NAME=VALUE"),
        ("--hp lrr=1", 1, "there is no hyperparameter or field hp.lrr; did you mean hp.lr"),
        ("--hp lr<x", 1, "hp.lr is compared with a number, and x is not one"),
        ("--tag =1", 2, "'=1' has no name before the '='"),
        ("--since never", 1, "since: 'never' is not a time"),
        ("--status lots", 1, "status 'lots' is not one of running"),
        ("--sort los", 1, "sort, character 1: there is no hyperparameter or field los; did you mean metric.loss"),
    ],
)
def test_what_cannot_be_is_refused(shown, call, options, code, words):
    """In a line that says what to write."""
    called = call("runs", *options.split())
    assert (called.code, called.out) == (code, "")
    assert words in called.err


def test_best_and_export_take_the_same_filters(shown, call, tmp_path):
    """Export writes the runs that match to a folder or as one table."""
    best = json.loads(call("best", "loss", "--hp", "lr<1", "--since", "1d", "--json").out)
    assert [run["name"] for run in best] == ["a", "c"]
    code, out, _ = call("export", "--project", "p", "--table", "runs")
    assert (code, [line.split(",")[2] for line in out.splitlines()]) == (0, ["name", "a", "b"])
    assert call("export", "--name", "c", "-o", tmp_path / "folder").code == 0
    assert (tmp_path / "folder" / "step_logs.csv").exists()
    assert "no run matches" in call("export", "--where", "loss", "--table", "runs").err
    assert call("export", "a", "--name", "c").code == 2
    assert call("export", "--all", "--name", "c").code == 2


def asked(monkeypatch, answer):
    """A user at the terminal who answers so."""
    monkeypatch.setattr("trainstore.cli.changes.at_terminal", lambda: True)
    monkeypatch.setattr("click.confirm", lambda question: print(question) or answer)


def test_runs_are_deleted_by_a_filter(shown, call, monkeypatch):
    """They are shown first, and the user is asked; --dry-run only shows them."""
    dry = call("rm", "--project", "p", "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert [line.split()[0] for line in dry.out.splitlines() if "finished" in line] == ["b", "a"]
    assert dry.out.endswith("2 runs; nothing was deleted (--dry-run)\n")
    assert len(json.loads(call("rm", "--project", "p", "--dry-run", "--json").out)["would_be_deleted"]) == 2
    refused = call("rm", "--project", "p")
    assert (refused.code, refused.out) == (1, "")
    assert "add --yes to do it without being asked, or --dry-run to look" in refused.err
    asked(monkeypatch, False)
    out = call("rm", "--project", "p").out
    assert "Delete 2 runs permanently?\nnothing was deleted\n" in out
    assert shown() == "cba"
    asked(monkeypatch, True)
    assert call("rm", "--hp", "lr<1e-3").code == 0
    assert shown() == "ba"
    assert call("rm", "--tag", "owner=ann", "--yes").out.startswith("deleted ")
    assert shown() == "b"
    assert call("rm", "--tag", "owner=ann", "--yes") == (0, "no run matches; nothing was deleted\n", "")
    assert call("rm", "--name", "a", "--yes", "--json").out == '{\n  "deleted": []\n}\n'


def test_a_run_that_is_being_recorded_stays(shown, call, store_url):
    """A filter that it matches does not delete it without --force; the others are deleted."""
    with TrainStore(store_url) as store, store.start_run(name="live") as run:
        run.log({"loss": 1.0}, step=0)
        assert run.flush(60)
        called = call("rm", "--since", "1d", "--yes")
        assert (called.code, called.out.count("deleted")) == (1, 3)
        assert "--force" in called.err
    assert shown() == "live"


def test_tags_and_notes_are_changed_by_a_filter(shown, call, monkeypatch, store_url):
    """What would be the RUN is a tag or the text; the runs are shown, and the user is asked."""
    assert call("tag", "--project", "p", "bad", "--dry-run").out.endswith("nothing was changed (--dry-run)\n")
    assert "no run matches" in call("runs", "--tag", "bad").out
    called = call("tag", "--project", "p", "bad", "seed:=1", "--remove", "n", "--yes")
    assert called == (0, "b: bad, lr=3, owner=bob, seed=1\na: bad, owner=ann, seed=1\n", "")
    assert shown("--where", "tag.bad and tag.seed = 1") == "ba"
    asked(monkeypatch, True)
    out = call("note", "--name", "c", "keep this").out
    assert "Change the notes of 1 run?\nchanged the notes of 1 run\n" in out
    assert shown("--where", "notes ~ KEEP") == "c"
    assert [entry["notes"] for entry in json.loads(call("note", "--name", "c", "x", "--yes", "--json").out)] == ["x"]
    for wrong in (["tag", "--name", "c"], ["note", "--name", "c"], ["note", "c", "two", "words"], ["tag"], ["note"]):
        assert call(*wrong, "--yes").code == 2
    missing = call("tag", "--project", "p", "--remove", "nothing", "--yes")
    assert (missing.code, missing.err) == (1, "Error: these runs have no tag 'nothing'; the other changes were made\n")
    assert call("rm", "a", "--name", "b").code == call("rm").code == 2


@pytest.mark.parametrize(
    ("command", "warning"),
    [
        (["runs", "--project", "pp"], "there is no project 'pp'; did you mean p?"),
        (["runs", "--tag", "ownr"], "there is no tag 'ownr'; did you mean owner?"),
        (["runs", "--tag", "ownr=ann"], "there is no tag 'ownr'; did you mean owner?"),
        (["runs", "--name", "aa", "--name", "b"], "there is no run 'aa'; did you mean a?"),
        (["runs", "--metric", "los"], "no run has numbers of the metric 'los'; did you mean loss?"),
        (["rm", "--project", "pp", "--yes"], "there is no project 'pp'; did you mean p?"),
        (["tag", "--name", "aa", "good", "--yes"], "there is no run 'aa'; did you mean a?"),
        (["export", "--project", "pp", "--table", "runs"], "there is no project 'pp'; did you mean p?"),
        (["best", "loss", "--project", "pp"], "there is no project 'pp'; did you mean p?"),
    ],
)
def test_a_name_that_no_run_has_is_one_line_on_standard_error(shown, call, command, warning):
    """With the closest names; the output stays what it is."""
    assert call(*command).err.splitlines()[0] == f"Warning: {warning}"


def test_runs_that_match_are_compared(shown, call):
    """Filters instead of RUNs; two runs must match."""
    compared = json.loads(call("compare", "--project", "p", "--json").out)
    assert [run["name"] for run in compared["runs"]] == ["a", "b"]
    assert compared["values"]["hp.optim.name"] == dict(
        zip((run["uid"] for run in compared["runs"]), ("my sgd", "adam"), strict=True)
    )
    for options, words in (("--name c", "1 run matches; comparing"), ("--status failed", "no run matches; comparing")):
        called = call("compare", *options.split())
        assert (called.code, words in called.err) == (1, True)
    assert call("compare", "a", "b", "--name", "c").code == call("compare").code == 2
