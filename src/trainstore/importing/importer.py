"""One import from beginning to end: once, or again and again while the source grows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from trainstore.errors import SourceError, StoreUnavailableError, TrainStoreError
from trainstore.importing.bringing import RunImport
from trainstore.importing.cleaning import told
from trainstore.importing.context import Context
from trainstore.importing.foreign import Options, Unread
from trainstore.importing.own import refuse_own
from trainstore.importing.places import Place
from trainstore.importing.readers import reader_of
from trainstore.importing.reports import Imported, ImportedRun
from trainstore.importing.sending import Target
from trainstore.models import HEARTBEAT, LOST_AFTER

if TYPE_CHECKING:
    from trainstore.store import TrainStore

logger = logging.getLogger("trainstore")

PAUSES = (1.0, 5.0)  # seconds between two looks at a source that is followed: while it grows, and when it does not
_PROGRESS_EVERY = 0.1  # seconds


class Importer:
    """Brings a place's runs into a store; leaving it as a context manager gives the connection back."""

    def __init__(
        self,
        store: TrainStore,
        place: Place,
        options: Options,
        *,
        tool: str | None,
        project: str | None,
        dry_run: bool,
        revive: bool,
        on_progress: Callable[[str, int, int], None] | None,
    ) -> None:
        service, engine = store._service, store.engine
        if not dry_run:
            service.backend.refuse_if_read_only()
        refuse_own(place, service)
        self.reader = reader_of(place, tool)
        options.refuse_unused(self.reader.TOOL, self.reader.LABEL)
        self.place = place
        self.options = options
        self.result = Imported(self.reader.TOOL, self.reader.LABEL, place.shown, dry_run)
        self._on_progress = on_progress
        self._told_at = 0.0
        self._points = 0
        self._beaten_at = float("-inf")
        self._target = Target(service, dry_run=dry_run)
        self.context = Context(self._target, engine, self.reader.TOOL, place.name, project, revive, self._progress)
        self._by_uid: dict[str, ImportedRun] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._target.close()
        else:
            self._target.drop()

    def bring_all(self) -> Imported:
        """Bring what is new in the place, run by run."""
        seen: dict[str, str] = {}
        try:
            for run in self.reader.runs(self.place, self.options):
                if isinstance(run, Unread):
                    self._leave(run.where, run.why)
                    continue
                uid = self.context.run_uid(run)
                if uid in seen:  # in a backup, say; bringing what both say by turns would never end
                    self._leave(run.where, f"holds the same run as {seen[uid]}, which is imported")
                    continue
                seen[uid] = run.where
                importing = RunImport(self.context, run)
                try:
                    importing.bring()
                finally:  # also if a signal ends it: what is stored is told
                    self._take(importing.report)
        except OSError as error:
            text = error.strerror or type(error).__name__
            raise SourceError(f"{self.place.shown} cannot be read: {text}") from None
        return self.result

    def _leave(self, where: str, why: str) -> None:
        self.result.unread[told(where)] = told(why)

    def _take(self, report: ImportedRun) -> None:
        """Add what was done with a run to the report; of one that was there before, to what is known of it."""
        before = self._by_uid.get(report.uid)
        if before is None:
            self._by_uid[report.uid] = report
            self.result.runs.append(report)
        else:
            if before.state in ("unchanged", "skipped"):
                before.state, before.reason = report.state, report.reason
            before.points += report.points
            before.left_out, before.damage = report.left_out, report.damage
        self._progress(report.name, 0)

    def _progress(self, name: str, points: int) -> None:
        self._points += points
        if self._on_progress is not None and (not points or time.monotonic() - self._told_at > _PROGRESS_EVERY):
            self._told_at = time.monotonic()
            self._on_progress(name, len(self.result.runs), self._points)

    # --- following --------------------------------------------------------------------------------------------------

    def follow(self, until: Callable[[], bool] | None) -> Imported:
        """Bring what is new again and again, until everything has ended, ``until`` says so, or Ctrl-C."""
        context, pause, failing = self.context, PAUSES[0], False
        context.final, context.follows = False, True
        first = True
        try:
            while True:
                began = time.monotonic()
                context.grew = False
                try:
                    self.bring_all()
                    self._beat()
                    failing = False
                except (SourceError, StoreUnavailableError, SQLAlchemyError) as error:
                    if first:
                        raise
                    if not failing:
                        text = str(error) if isinstance(error, TrainStoreError) else type(error).__name__
                        logger.warning("%s; it is tried again until it works or Ctrl-C is pressed", text)
                    failing = True
                    self._target.drop()
                first = False
                context.is_first = False
                if until is not None and until():
                    break
                if not (context.grew or failing or context.open):
                    break
                pause = PAUSES[0] if context.grew else min(pause * 1.5, PAUSES[1])
                time.sleep(max(pause, 2 * (time.monotonic() - began)))
                self.place = self.place.again()
        except (KeyboardInterrupt, SystemExit):  # the latter: SIGTERM, as the command line has it
            self.result.interrupted = True
            self._target.drop()
        self._finish()
        return self.result

    def _beat(self) -> None:
        """Let runs whose source was written lately be shown as running."""
        now = time.time_ns() // 1_000
        alive = [uid for uid, at in self.context.open.items() if now - at < LOST_AFTER.total_seconds() * 1e6]
        if not alive or time.monotonic() - self._beaten_at < HEARTBEAT:
            return
        self._beaten_at = time.monotonic()

        def beat(connection: Connection) -> None:
            for uid in alive:
                self._target.statements.beat_writer(connection, uid)

        self._target.transact(beat)

    def _finish(self) -> None:
        """Leave the events that say what was imported."""
        self.context.final = True
        for uid, reached in list(self.context.reached.items()):
            if reached.uncounted:
                del self.context.reached[uid]  # what was left out is counted from the last event on
        self.place = self.place.again()
        with suppress(SourceError):  # the source is gone; a later import leaves the event
            self.bring_all()
