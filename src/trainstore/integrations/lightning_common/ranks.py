"""Several processes train together: rank 0 records, and another rank only adds why it failed."""

from __future__ import annotations

from trainstore.endings import describe_exception
from trainstore.integrations.lightning_common.failures import ending, log_exception
from trainstore.integrations.pinboard import Pinboard
from trainstore.integrations.recording import Recording
from trainstore.run import ActiveRun

RANK_TIMEOUT = 5.0  # seconds that a failed rank waits to learn which run it belongs to
_RUN, _FAILURE = "lightning_run", "lightning_failure"


def pin(run: ActiveRun | None) -> None:
    """Rank 0: tell the others the run; None: the training is over."""
    board = Pinboard()
    if not board.is_there:
        return
    board.put(_FAILURE, None)
    if run is None:
        board.put(_RUN, None)
    else:
        board.put(_RUN, {"uid": run.uid, "lineage": run.lineage, "project": run.project, "name": run.name})


def tell_failure(recording: Recording, error: BaseException, rank: int, source: str) -> None:
    """Another rank: say what ended it. Rank 0 may not live long enough to do so, and sees only a lost connection."""
    status, text = ending(error)
    if status != "failed":
        return  # Ctrl-C reaches rank 0 too
    board = Pinboard()
    board.put(_FAILURE, describe_exception(error))
    known = board.get(_RUN, RANK_TIMEOUT)
    if known is None:
        return
    try:
        run = recording.store.resume_run(
            known["uid"],
            lineage=known["lineage"],
            project=known["project"],
            name=known["name"],
            source=source,
            rank=rank,
        )
        log_exception(run, None, error, rank)
        run.finish("failed", text)
    finally:
        recording.finish()  # closes a store that was opened for this


def failure_elsewhere() -> str | None:
    """Rank 0: what ended another rank before this one, if that is known."""
    found = Pinboard().get(_FAILURE)
    return None if found is None else str(found)
