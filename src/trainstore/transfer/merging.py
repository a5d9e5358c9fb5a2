"""The merge of one store into another: which runs, in which order, in which transactions.

A run that the source has no news of is not read. What both stores have is joined run by run (`joining`); what is new is
copied, small runs together (`copying`). A reader of the target never sees half a run, and a merge that was interrupted
goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from trainstore.errors import RunActiveError, RunNotFoundError
from trainstore.recording.deletion import Tombstone, delete_run, deleted_runs, latest_of, revive, unite
from trainstore.recording.statements import Statements
from trainstore.transfer.copying import copy_runs
from trainstore.transfer.joining import Joining
from trainstore.transfer.reading import damages_of, deletions_of
from trainstore.transfer.reports import Merged, RunKey
from trainstore.transfer.sources import Source
from trainstore.transfer.transactions import in_transaction, why_refused
from trainstore.transfer.vectors import MANY, Known, known_runs, step_counts
from trainstore.values import plain_text

GATHERED = 10_000  # steps of small runs in one transaction
TRIES = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """Which runs are merged, and how."""

    runs: Collection[str] | None = None  # uids; None: all
    project: str | None = None
    with_parents: bool = False
    revive: bool = False
    delete: bool = False
    dry_run: bool = False


def merge_runs(
    source: Source,
    connection: Connection,
    statements: Statements,
    choice: Choice,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Merged:
    """Merge the runs of a source.

    Args:
        source: Where they are read.
        connection: A writer's, outside a transaction.
        statements: The target's.
        choice: Of the runs.
        on_progress: Called with the number of runs that are done, and of all that have news.

    Raises:
        RunNotFoundError: ``choice.runs`` names one that the source does not have.
    """
    merging = _Merging(source, connection, statements, choice)
    in_transaction(source, connection, statements.backend, merging.look)
    done = 0
    for group, steps in _groups(source, merging.ahead):
        merging.bring(merging.without_damage(group), steps)
        done += len(group)
        on_progress(done, len(merging.ahead))
    return merging.report


class _Merging:
    def __init__(self, source: Source, connection: Connection, statements: Statements, choice: Choice) -> None:
        self.source = source
        self.connection = connection
        self.sql = statements
        self.choice = choice
        self.report = Merged(source.name)
        self.ahead: list[Known] = []  # what is to be brought
        self.here: set[str] = set()  # the runs that the target has

    def look(self) -> None:
        """Compare what both stores know, and honour what was deleted."""
        self.report = Merged(self.source.name, waiting=self.source.waiting, dry_run=self.choice.dry_run)
        found = known_runs(self.source.connection, self.source.models)
        theirs = {uid: known for uid, known in found.items() if known.is_sound}
        self._refuse_unknown([known for uid, known in found.items() if uid not in theirs])
        mine = known_runs(self.connection, self.sql.models)
        chosen = self._chosen(theirs)
        buried = self._buried([known for known in chosen if known.uid not in mine])
        ahead = []
        for known in [known for known in chosen if known.uid not in self.report.refused]:
            here = mine.get(known.uid)
            if known.uid in buried:
                (self.report.revived if self.choice.revive else self.report.skipped).append(_key(known))
                if not self.choice.revive:
                    continue
            elif here is None:
                self.report.new.append(_key(known))
            elif known.has_news_for(here):
                self.report.updated.append(_key(known))
            else:
                self.report.unchanged.append(_key(known))
            if here is not None and here.has_news_for(known):
                self.report.behind.append(_key(known))
            if here is None or known.has_news_for(here):
                ahead.append(known)
        coming = {known.uid for known in ahead}
        self.report.missing_parents += [
            _key(known) for known in ahead if known.parent_uid and known.parent_uid not in mine.keys() | coming
        ]
        self._take_over_deletions(found, mine)
        self.ahead = [] if self.choice.dry_run else ahead
        self.here = set(mine)

    def _chosen(self, theirs: dict[str, Known]) -> list[Known]:
        uids = set(theirs)
        if self.choice.runs is not None:
            unknown = sorted(set(self.choice.runs) - uids - self.report.refused.keys())
            if unknown:
                raise RunNotFoundError(f"{self.source.name} has no run {', '.join(unknown)}")
            uids &= set(self.choice.runs)
        if self.choice.project is not None:
            uids = {uid for uid in uids if theirs[uid].project == self.choice.project}
        if self.choice.with_parents:
            waiting = list(uids)
            while waiting:
                parent = theirs[waiting.pop()].parent_uid
                if parent in theirs and parent not in uids:
                    uids.add(parent)
                    waiting.append(parent)
        return [theirs[uid] for uid in sorted(uids)]  # in one order: two merges never wait for each other in a circle

    # --- what was deleted -------------------------------------------------------------------------------------------

    def _buried(self, new: Sequence[Known]) -> set[str]:
        """Those of runs that the target does not have that were deleted there, and not begun again since."""
        by_uid = {known.uid: known for known in new}
        remembered = deleted_runs(self.connection, self.sql.models, by_uid)
        asked = {known.uid for known in self.without_damage([by_uid[uid] for uid in remembered])}
        return {
            uid
            for uid, tombstone in remembered.items()
            if uid in asked
            and tombstone.holds(latest_of(self.source.connection, self.source.models, by_uid[uid].run_id))
        }

    def _take_over_deletions(self, theirs: dict[str, Known], mine: dict[str, Known]) -> None:
        """What the source remembers of deleted runs; a run that is here stays, unless ``delete`` says otherwise."""
        if self.choice.runs is not None or self.choice.project is not None:
            return  # whose project was it?
        taken: list[Tombstone] = []
        for uid, tombstone in sorted(self._their_deletions().items()):
            here = mine.get(uid)
            if here is not None and uid not in theirs and self._holds_here(tombstone, here):
                if not self.choice.delete or not self._delete(here):
                    self.report.kept.append(_key(here))
                    continue
                self.report.deleted.append(_key(here))
            taken.append(tombstone)
        if not self.choice.dry_run:
            unite(self.connection, self.sql, taken)

    def _their_deletions(self) -> dict[str, Tombstone]:
        found, damages = deletions_of(self.source)
        self.report.refused |= damages
        return found

    def _holds_here(self, tombstone: Tombstone, here: Known) -> bool:
        return tombstone.holds(latest_of(self.connection, self.sql.models, here.run_id))

    def _delete(self, known: Known) -> bool:
        if self.choice.dry_run:
            return not self.sql.live_writers(self.connection, known.run_id)
        try:
            delete_run(self.connection, self.sql, known.run_id, known.uid, force=False)
        except RunActiveError:
            return False
        return True

    # --- what is brought --------------------------------------------------------------------------------------------

    def without_damage(self, group: Sequence[Known]) -> list[Known]:
        """Those that are not damaged, as far as can be seen without their steps; the others are named."""
        damages = damages_of(self.source, group)
        for known in group:
            if known.uid in damages:
                self._refuse(known, damages[known.uid])
        return [known for known in group if known.uid not in damages]

    def _refuse_unknown(self, runs: Sequence[Known]) -> None:
        """Name those, among the runs that were asked for, that cannot be compared with what is here."""
        if self.choice.runs is not None:
            runs = [known for known in runs if known.uid in self.choice.runs]
        elif self.choice.project is not None:
            runs = [known for known in runs if known.project == self.choice.project]
        damages = damages_of(self.source, runs)
        for known in runs:
            name = plain_text(known.uid, 100) if isinstance(known.uid, str) else f"with the id {known.run_id}"
            self.report.refused[name] = damages.get(known.uid, "it is damaged")

    def bring(self, group: Sequence[Known], steps: int) -> None:
        """Bring some runs in one transaction; one that the database refuses is left out, and named."""
        if not group:
            return
        for tries in range(TRIES):
            conflicts = len(self.report.conflicts)
            try:
                work = partial(self._bring, group, conflicts)
                in_transaction(self.source, self.connection, self.sql.backend, work, steps=steps)
            except Exception as error:
                del self.report.conflicts[conflicts:]
                why = why_refused(self.sql.backend, error)
                if why is None:
                    raise
                # Somebody else may just have stored one of them: then it is joined.
                if tries + 1 < TRIES and isinstance(error, IntegrityError):
                    continue
                if len(group) == 1:
                    self._refuse(group[0], why)
                else:
                    for known in group:
                        self.bring([known], steps)
            return

    def _refuse(self, known: Known, why: str) -> None:
        self.report.refused[known.uid] = why
        self._leave_out(known)

    def _bring(self, group: Sequence[Known], conflicts: int) -> None:
        del self.report.conflicts[conflicts:]  # of a transaction that was rolled back
        run = self.sql.models.run
        uids = [known.uid for known in group]
        here = set(self.connection.execute(select(run.c.uid).where(run.c.uid.in_(uids))).scalars())
        new = [known for known in group if known.uid not in here and not self._deleted_meanwhile(known)]
        if new:
            if self.choice.revive:  # with them: a run that is not brought stays deleted
                revive(self.connection, self.sql, [known.uid for known in new])
            copy_runs(self.source, self.connection, self.sql, new)
        for known in group:
            if known.uid in here:
                self._join(known)
        self.sql.link_parents(self.connection)

    def _deleted_meanwhile(self, known: Known) -> bool:
        """Whether a run was in the target when the merge began, and has been deleted since."""
        if known.uid not in self.here or not self._buried([known]):
            return False
        self._leave_out(known)
        self.report.skipped[:] = [*(run for run in self.report.skipped if run.uid != known.uid), _key(known)]
        return True

    def _leave_out(self, known: Known) -> None:
        for runs in (self.report.new, self.report.updated, self.report.revived):
            runs[:] = [run for run in runs if run.uid != known.uid]

    def _join(self, known: Known) -> None:
        row = self.sql.lock_run(self.connection, known.uid)
        if row is None:
            return  # it was deleted just now
        mine = known_runs(self.connection, self.sql.models, [row.id])[known.uid]
        if known.has_news_for(mine):
            self.report.conflicts += Joining(self.source, known, self.connection, self.sql, mine).join()


def _key(known: Known) -> RunKey:
    return RunKey(known.uid, known.name, known.project)


def _groups(source: Source, runs: Sequence[Known]) -> Iterator[tuple[list[Known], int]]:
    """Runs that share a transaction, and about how many steps they have."""
    sizes = step_counts(source.connection, source.models) if runs else {}
    group: list[Known] = []
    size = 0
    for known in runs:
        steps = sizes.get(known.run_id, 0)
        if group and (size + steps > GATHERED or len(group) == MANY):
            yield group, size
            group, size = [], 0
        group.append(known)
        size += steps
    if group:
        yield group, size
