"""The arguments that adapters share, where the tests of every adapter do not look."""

import pickle
import uuid

import numpy as np
import pytest

from trainstore import InvalidArgumentError
from trainstore.integrations.arguments import check_choice, check_resume, check_target


def test_a_run_is_named_in_any_way_that_a_store_knows(store):
    """A handle, a record, a uid as text or not, an id, a name; None is no resumption."""
    run = store.start_run(name="a")
    run.finish()
    for resume in (run, store.get_run(run), run.uid, uuid.UUID(run.uid), 1, np.int64(1), "a", None):
        check_resume(resume, store)


@pytest.mark.parametrize("resume", [True, 1.5, "", b"a", ["a"], {"uid": "a"}, object])
def test_what_names_no_run_is_refused(resume):
    """The error says what would."""
    with pytest.raises(InvalidArgumentError, match=r"is no run: pass a handle, a record, a uid, an id, or a name"):
        check_resume(resume, None)


def test_a_choice_is_one_of_some_words():
    """Also if it cannot be compared with them."""
    check_choice("resume", "never", ("auto", "never"))
    for value in ("Never", None, True, np.zeros(2), ["auto"]):
        with pytest.raises(InvalidArgumentError, match=r"resume .* is not one of 'auto', 'never'"):
            check_choice("resume", value, ("auto", "never"))


def test_a_joined_run_and_one_of_another_process_are_open(store):
    """A handle that joined a run which has ended, and one that was pickled, record as any other."""
    ended = store.start_run(name="a")
    ended.finish()
    for run in (store.resume_run(ended), store.resume_run(ended, step=3)):
        assert check_target("store_or_run", run, "") is run
        run.finish()
    with store.start_run(name="b") as run:
        other = pickle.loads(pickle.dumps(run))
        assert check_target("store_or_run", other, "") is other


def test_nothing_is_opened_to_check(tmp_path):
    """No file is made, and no server is asked."""
    url = "postgresql://me:secret@127.0.0.1:1/runs"
    assert check_target("store_or_run", url, "/") == url
    assert check_target("store_or_run", "runs.db", str(tmp_path)) == tmp_path / "runs.db"
    assert list(tmp_path.iterdir()) == []
