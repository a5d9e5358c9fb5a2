"""ActiveRun: the handle that a training loop holds.

It must never disturb the training. `ActiveRun.log` and its like never raise, and wait neither for the database nor for
the disk's cache to be flushed. What cannot be recorded as given is kept in another form, and the logger ``trainstore``
says so once.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any
from weakref import WeakSet

import orjson

from trainstore import endings, notices
from trainstore.commands import commands_to_look
from trainstore.display import commands_html, pairs_html
from trainstore.endings import ending_of
from trainstore.errors import InvalidArgumentError, JournalError
from trainstore.models import NAMESPACES, STATUSES
from trainstore.recording import listeners
from trainstore.recording.merging import own_details
from trainstore.recording.metrics import Metrics, axis_value, json_object, move_axes
from trainstore.recording.opening import joined_attempt
from trainstore.recording.recorder import Recorder
from trainstore.recording.records import (
    Record,
    event_record,
    hyperparam_record,
    now,
    status_record,
    step_record,
    tag_record,
)
from trainstore.recording.service import RecordingService
from trainstore.redaction import redact
from trainstore.values import (
    MAX_STEP,
    Json,
    canonical,
    canonical_hyperparams,
    index_of,
    stored_label,
    stored_text,
)

logger = logging.getLogger("trainstore")

ALERT_LEVELS = ("info", "warn", "error")
_LEVELS = {level: level for level in ALERT_LEVELS} | {"warning": "warn"}
FINAL_STATUSES = tuple(status for status in STATUSES if status != "running")
MAX_ERROR = 20_000  # characters of what ended a run
_GO_ON = "resume_run(run, step=…) goes on with it"

_handles: WeakSet[ActiveRun] = WeakSet()


class ActiveRun:
    """A run that is being recorded. Made by ``TrainStore.start_run`` and ``TrainStore.resume_run``.

    Any number of threads may use one. After a fork the child's handle goes on, as a writer of its own. As a context
    manager it finishes the run: an exception marks it failed (``KeyboardInterrupt``: interrupted) with the exception's
    type and text, and propagates.

    ``copy.deepcopy`` gives the same handle, so that a model or data set that holds one may be copied. Pickled, it
    carries the store's URL (without the password, see `TrainStore`) and the run's uid: the handle that comes out opens
    the store when it is first used, and joins the run as another writer.
    """

    def __init__(
        self,
        service: RecordingService | None,
        run: dict[str, Any],
        attempt: dict[str, Any],
        *,
        opener: bool,
        seen: bool,
        rank: int,
        next_step: int,
        joined_status: str | None = None,
    ) -> None:
        self._service = service  # None: recording is disabled
        self._run = run
        self._attempt = attempt
        self._opener = opener
        self._joined_status = joined_status  # of the run, as shown when this handle joined it; None: not known
        self._rank = rank
        self._seen = seen
        self._next_step = next_step
        self._edited_at = 0  # microseconds since 1970
        self._guard = threading.Lock()
        self._metrics = Metrics()
        self._warned: set[str] = set()
        self._finished: str | None = None
        self._recorder: Recorder | None = None
        self._address: Any = None  # of the store, until an unpickled handle is used
        if service is not None:
            self._recorder = service.open_recorder(run, attempt, opener=opener, seen=seen, rank=rank)
            _handles.add(self)
            if opener:
                endings.watch(self)
                self._tell_listeners("begun", self.attempt_uid)

    def __copy__(self) -> ActiveRun:
        return self

    def __deepcopy__(self, memo: object) -> ActiveRun:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {
            "address": self._address if self._service is None else self._service.address,
            "run": self._run,
            "attempt": joined_attempt(self.lineage),
            "rank": self._rank,
            "next_step": self._next_step,
            "finished": self._finished,
            "seen": self._seen if self._recorder is None else self._recorder.source.seen,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]
            None,
            state["run"],
            state["attempt"],
            opener=False,
            seen=state["seen"],
            rank=state["rank"],
            next_step=state["next_step"],
        )
        self._address = state["address"]
        self._finished = state["finished"]
        _handles.add(self)

    @property
    def uid(self) -> str:
        """The run's identity."""
        return str(self._run["uid"])

    @property
    def project(self) -> str:
        """The run's project."""
        return str(self._run["project"])

    @property
    def name(self) -> str:
        """The run's label; not unique."""
        return str(self._run["name"])

    @property
    def attempt_uid(self) -> str:
        """The identity of this stretch of the run."""
        return str(self._attempt["uid"])

    @property
    def start_step(self) -> int:
        """The last step kept from what the attempt resumed; -1: from nothing."""
        return int(self._attempt["start_step"])

    @property
    def last_step(self) -> int | None:
        """The highest step that this handle has recorded. None: none yet."""
        step = self._next_step - 1
        return step if step > self.start_step else None

    @property
    def lineage(self) -> list[list[Any]]:
        """The attempts that this one goes back to, root first, and itself: ``[[uid, start_step, opened_at], …]``."""
        own = [self._attempt["uid"], self._attempt["start_step"], self._attempt["opened_at"]]
        return [*(list(entry) for entry in self._attempt["lineage"]), own]

    @property
    def status(self) -> str:
        """What this handle knows: "running", what it was finished with, or what it could not change."""
        return self._finished or "running"

    def __repr__(self) -> str:
        return f"<ActiveRun {self.name!r} of project {self.project!r}, {self.status}, uid {self.uid}>"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        shown = ("name", "project", "status", "uid")
        table = pairs_html({name: getattr(self, name) for name in shown} | {"next step": self._next_step})
        if self._service is None:
            return table
        backend, prefix = self._service.backend, self._service.models.prefix
        return table + commands_html(commands_to_look(backend, prefix, self.uid, self.name))

    # --- Recording --------------------------------------------------------------------------------------------------

    def log(
        self,
        metrics: Mapping[str, Any] | None = None,
        step: int | None = None,
        epoch: float | None = None,
        details: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> None:
        """Record the metrics of one step. Never raises; when it returns, the record survives the process.

        Logging a step again merges key by key: the last value counts, and one that it replaces is kept in the step's
        ``details["earlier"]``, ``{metric: [values]}``, in order (of a metric the last 1,000). Steps may come in any
        order.

        Args:
            metrics: Name → value. Numbers of any type (NaN and infinities too), bools, text, None, tensors and arrays
                (read here; one element is a number, up to 1,000 are a list, of more only shape, dtype and a digest
                are kept), lists and dicts of such; anything else is kept as its ``repr``. Names of more than 255
                characters are cut and marked by a hash, an empty one becomes "~empty", what is not text becomes its
                ``str()``. Finite numbers called ``epoch`` and ``step_time`` (seconds) fill those columns.
            step: The optimizer step, 0 … 2^63 - 1. None: one more than the highest so far of this handle (0 at first;
                in a resumed run the step after the one resumed from). A step that is none of these makes the record a
                ``refused`` event of the run, where its metrics are kept.
            epoch: The epoch so far, fractions allowed.
            details: What is not a metric, such as text samples (`TrainStore.list_samples` has their form); merged like
                metrics. In it, and in metrics that are text, secrets are redacted. The key ``earlier`` is reserved (a
                mapping of metrics to lists is added to the earlier values); with anything else under it, it becomes
                ``details__earlier``.
            **named: More metrics, by keyword: ``run.log(loss=0.5)``.
        """
        try:
            at = now()
            if named:
                metrics = named if metrics is None else {**metrics, **named}
            elif metrics is None and details is not None:
                metrics = {}
            if type(metrics) is dict and self._metrics.are_plain(metrics):
                clean: dict[str, Json] = metrics  # only read
            elif isinstance(metrics, Mapping):
                clean = self._metrics.clean(metrics, self._warn_once)
            else:
                self._refuse("metrics must be a mapping of names to values", step, redact(canonical(metrics)))
                return
            number = self._step(step)
            if number is None:
                self._refuse(f"a step is an int from 0 to 2^63 - 1, not {_shown(step)}", step, clean)
                return
            record = step_record(at, number, clean)
            if epoch is not None:
                value = axis_value(epoch)
                if value is not None:
                    record["epoch"] = value
                elif "epoch" not in clean:
                    record["metrics"] = clean = {**clean, "epoch": redact(canonical(epoch))}
            if "step_time" in clean or "epoch" in clean:
                move_axes(record)
            if details is not None:
                record["details"] = own_details(redact(json_object(details)))
            self._append(record)
        except Exception as error:  # noqa: BLE001 - no error of the library may reach a training
            self._failed("a step", error)

    def log_measured(
        self,
        metrics: dict[str, float],
        step: int,
        epoch: float,
        step_time: float,
        at: int | None = None,
        details: dict[str, Json] | None = None,
    ) -> None:
        """`log` for steps that the library has measured itself: it skips most checks.

        Args:
            metrics: Names that need no change → floats and ints themselves, and not of a subclass.
            step: A valid step; not checked.
            epoch: The epoch so far.
            step_time: Seconds.
            at: When it was, in microseconds since 1970. None: now.
            details: As they are stored, without secrets.
        """
        try:
            total = sum(metrics.values(), epoch)
            if total - total != 0.0:  # it is NaN for infinities and NaN
                self.log({**metrics, "step_time": step_time}, step, epoch, details)
                return
            with self._guard:
                if step >= self._next_step:
                    self._next_step = step + 1
            self._append(step_record(now() if at is None else at, step, metrics, epoch, step_time, details))
        except Exception as error:  # noqa: BLE001 - no error of the library may reach a training
            self._failed("a step", error)

    def log_hyperparams(self, values: Mapping[str, Any] | Any, namespace: str = "hp") -> None:
        """Record hyperparameters. Secrets are redacted before anything is written.

        Setting a key again replaces its value; if a later attempt of the run does so, the attempt remembers both.
        Never raises; a value that JSON cannot hold is kept as its ``repr``, marked.

        Args:
            values: Name → value, or a configuration as `TrainStore.start_run` takes it; nested mappings and lists stay
                what they are.
            namespace: ``hp`` (training arguments and what you pass), ``mth`` (the model), ``dbh`` (the data) or
                ``env`` (the environment). Another is taken for ``hp``, with a warning.
        """
        try:
            if namespace not in NAMESPACES:
                known = ", ".join(NAMESPACES)
                self._warn_once(f"namespace {namespace!r} is not known (there are {known}); 'hp' is used")
                namespace = "hp"
            if namespace == "tag":
                self.set_tags(values)
                return
            self._append(hyperparam_record(namespace, canonical_hyperparams(values)))
        except Exception as error:  # noqa: BLE001
            self._failed("hyperparameters", error)

    def set_tags(self, tags: Mapping[str, Any] | Iterable[str] | str) -> None:
        """Set tags; an event of kind ``tag`` says what that changed, and the values before. Never raises.

        Args:
            tags: A mapping of names to values, or names alone (their value is True). Secrets are redacted.
        """
        try:
            self._append(tag_record(self._edit_time(), canonical_tags(tags)))
        except Exception as error:  # noqa: BLE001
            self._failed("tags", error)

    def _begin_with_tags(self, tags: Mapping[str, Any] | Iterable[str] | str) -> None:
        """The tags that the run begins with: older than every edit."""
        self._append(hyperparam_record("tag", canonical_tags(tags)))

    def set_notes(self, notes: str) -> None:
        """Replace the run's notes; an event of kind ``note`` keeps what they were. Never raises.

        Args:
            notes: The text; secrets are redacted. The empty text removes them.
        """
        try:
            details = {"notes": stored_text(notes)}
            self._append(event_record("note", self._edit_time(), None, details))
        except Exception as error:  # noqa: BLE001 - __str__ may raise
            self._failed("notes", error)

    def log_event(self, kind: str, step: int | None = None, details: Mapping[str, Any] | None = None) -> None:
        """Record that something happened: ``checkpoint``, ``push``, or a kind of your own. Never raises.

        Args:
            kind: A word.
            step: The step at which it happened, if any.
            details: Anything about it; secrets are redacted.
        """
        misplaced: Any = step
        if isinstance(misplaced, Mapping):  # log_event("kind", {…}), which is easily written
            step, details = None, misplaced
        self._log_event(kind, step, details)

    def alert(self, title: str, text: str = "", level: str = "info", step: int | None = None) -> None:
        """Record that somebody should look at this run: an event of kind ``alert``, ``{title, text, level}``.

        ``trainstore show`` prints the alerts of a run, ``store.list_events(run, kind="alert")`` lists them. If there is
        an address (``trainstore notify``), it is sent there too, by another thread. Whatever title, text and step are,
        this never raises.

        Args:
            title: What is the matter, in a line; secrets are redacted.
            text: More about it; likewise.
            level: "info", "warn" or "error"; "warning" and capitals are understood.
            step: The step that it is about, if any.

        Raises:
            InvalidArgumentError: Another level.
        """
        known = _LEVELS.get(level.lower()) if isinstance(level, str) else None
        if known is None:
            raise InvalidArgumentError(f"level {_shown(level)} is not one of {', '.join(ALERT_LEVELS)}")
        said = {"title": _said(title), "text": _said(text), "level": known}
        at = _step_of_event(step)
        number = self._log_event("alert", at, said)
        if number and self._recorder is not None:
            self._tell_listeners("alert", self._recorder.source.writer_uid, number, step=at, **said)

    def flush(self, timeout: float = 10) -> bool:
        """Wait until everything recorded so far is stored in the database.

        Args:
            timeout: Seconds to wait.

        Returns:
            Whether it is stored; if not, the journal keeps it and delivery goes on.
        """
        recorder = self._recorder
        if recorder is None or self._service is None:
            return True
        return self._service.flush([recorder], timeout)

    def finish(self, status: str | None = None, error: str | None = None, timeout: float = 10) -> bool:
        """Say how it ended, and wait until everything is stored.

        Only the handle that opened the attempt sets its status. One that joined (`resume_run` without a step) closes
        itself, and may turn a running attempt into a failed one. Finishing again changes nothing. If the run keeps
        another status than the one given here, a warning names it and says what can be done. `log` after this joins
        the run again, with a warning: the record is kept and the status stays. If recording is disabled, the logger
        says so at INFO.

        A run that nobody finishes ends with its store or its process (see "How a run ends" in the guide on recording).

        Args:
            status: finished, failed, interrupted or pruned. None: finished; a handle that joined leaves it as it is.
            error: What ended it, if anything.
            timeout: Seconds to wait.

        Returns:
            Whether everything is stored; if not, the journal keeps it and delivery goes on.

        Raises:
            InvalidArgumentError: Another status.
        """
        if status not in (None, *FINAL_STATUSES):
            raise InvalidArgumentError(f"status {status!r} is not one of {', '.join(FINAL_STATUSES)}")
        if self._finished is not None and not self._reopened:
            if status not in (None, self._finished):
                self._warn_once(f"it is {self._finished} already and does not become {status}; {_GO_ON}")
            return self.flush(timeout)
        if self._service is None and self._address is None and self._finished is None:
            logger.info("run %s: nothing of it is recorded, TRAINSTORE_DISABLED is set", self.uid)
        if self._recorder is None and status in (None, "finished"):  # disabled, or unpickled and never used
            self._finished = self._finished or "finished"
            return True
        is_end = self._finished is None
        kept = self._kept_status(status) if is_end and not self._opener else None
        self._record_end(status or "finished", error, shown=kept)
        ended_at, recorder = now(), self._recorder
        if recorder is None or self._service is None:
            return True
        complete = self._service.finish(recorder, timeout)
        if is_end:
            self._tell_ended(error, ended_at)  # the wait for the database is not part of the run
        return complete

    def _end(self, status: str, error: str | None, by: str) -> None:
        """Record the end of a run that nobody finished, and an event that says so. Never raises, does not wait.

        Args:
            status, error: As for `finish`.
            by: What ended it, ``exit`` or ``close``.
        """
        if self._finished is None and self._opener and self._reopened:
            try:
                self._append(event_record("end", now(), None, {"by": by, "status": status}))
            except Exception as failure:  # noqa: BLE001
                self._failed("an event", failure)
            self._record_end(status, error)
            self._tell_ended(error, now())

    def _belongs_to(self, service: RecordingService) -> bool:
        """Whether this is the service that it is recorded with."""
        return self._service is service

    def _wait_if_reachable(self, timeout: float) -> None:
        """Wait until everything is stored, unless the database is away."""
        if self._service is not None and not self._service.is_away:
            self.flush(timeout)

    def _record_end(self, status: str, error: str | None, *, shown: str | None = None, at: int | None = None) -> None:
        text = None if error is None else stored_text(error, MAX_ERROR)
        try:
            at = now() if at is None else at
            self._append(status_record(status if self._finished is None else None, text, at))
        except Exception as failure:  # noqa: BLE001
            self._failed("the end", failure)
        if self._finished is None and shown is None and (self._opener or status == "failed"):
            end = {"step": self.last_step, "status": status, "error": text}
            self._tell_listeners("ended", self.attempt_uid, listeners.END, **end)
        self._finished = self._finished or shown or status
        endings.forget(self)
        if self._recorder is not None:
            self._recorder.end()

    def _tell_listeners(self, kind: str, writer_uid: str, seq: int = 0, **facts: Any) -> None:
        """Tell who listens in this process (recording/listeners.py); nothing of a run that is not recorded."""
        if self._service is None:
            return
        event = listeners.Event(kind, writer_uid, seq, self.uid, self.name, self.project, **facts)
        listeners.tell(event, self._service)

    def _tell_begun(self) -> None:
        """Say on standard error where the run goes (notices.py). For the store, when the run is open."""
        if self._service is not None and self._opener and self._rank == 0 and notices.are_wanted():
            if self._recorder is not None:
                self._recorder.source.counts_namesakes = True
            notices.tell_begun(
                self._service.backend,
                self._service.models.prefix,
                name=self.name,
                uid=self.uid,
                project=self.project,
                start_step=self.start_step,
            )

    def _tell_ended(self, error: str | None, ended_at: int) -> None:
        recorder = self._recorder
        if self._service is not None and recorder is not None and self._opener and self._rank == 0:
            step = self._next_step - 1
            notices.tell_ended(
                self._service.backend,
                self._service.models.prefix,
                name=self.name,
                uid=self.uid,
                status=self.status,
                error=None if error is None else stored_text(error, MAX_ERROR),
                step=step if step > self.start_step else None,
                seconds=(ended_at - self._attempt["opened_at"]) / 1e6,
                namesakes=recorder.source.namesakes,
            )

    def _kept_status(self, status: str | None) -> str | None:
        """The status that a run keeps although the handle that joined it gives this one; None: it fits."""
        known = self._joined_status
        if known in (None, "running", "lost") and status == "failed":
            return None  # this a joining writer may say
        if known == "lost":
            self._warn_once(
                f"it stays lost: this handle only joined it; end it with `trainstore close` or close_run; {_GO_ON}"
            )
        elif known in (None, "running"):
            if status in (None, "finished"):
                return None
            self._warn_once(f"it does not become {status}: this handle only joined it, its opener says how it ends")
        elif status not in (None, known):
            self._warn_once(f"it is {known} already and does not become {status}; {_GO_ON}")
        return known or "running"

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        else:
            self.finish(*ending_of(error))

    # --- How --------------------------------------------------------------------------------------------------------

    @property
    def _reopened(self) -> bool:
        return self._recorder is not None and self._recorder.usable

    def _step(self, step: object) -> int | None:
        """The step as an int, or None if it is not one; counts on if it is left out."""
        number = index_of(step) if type(step) is not int and step is not None else step
        with self._guard:
            if step is None:
                number = self._next_step
            if number is None or not 0 <= number <= MAX_STEP:
                return None
            if number >= self._next_step:
                self._next_step = number + 1
            return number

    def _edit_time(self) -> int:
        """Now, and later than this handle's edit before, also if the clock was set back."""
        with self._guard:
            self._edited_at = max(now(), self._edited_at + 1)
            return self._edited_at

    def _log_event(self, kind: str, step: int | None, details: Mapping[str, Any] | None) -> int:
        """Record an event; its number in the journal of this handle's recorder, 0 if it could not be recorded."""
        try:
            number = _step_of_event(step)
            kept = None if details is None else redact(json_object(details))
            return self._append(event_record(stored_label(str(kind)), now(), number, kept))
        except Exception as error:  # noqa: BLE001 - no error of the library may reach a training
            self._failed("an event", error)
            return 0

    def _append(self, record: Record) -> int:
        """Keep a record; its number in the journal, 0 if it is dropped."""
        try:
            payload = orjson.dumps(record)
        except TypeError:  # a name of a subclass of str that equals a known one
            payload = orjson.dumps(record, option=orjson.OPT_NON_STR_KEYS)
        while True:
            recorder = self._recorder
            if recorder is None or not recorder.usable:
                recorder = self._join_again()
                if recorder is None:
                    return 0
            try:
                return recorder.append(payload)
            except JournalError:
                # Another thread may have finished the run since it was asked above.
                if recorder.usable:
                    raise

    def _join_again(self) -> Recorder | None:
        """After finish(), in a forked child, unpickled: a writer of its own, of the same attempt. None: disabled."""
        with self._guard:
            recorder = self._recorder
            if recorder is not None and recorder.usable:
                return recorder
            if self._service is None:
                # Once: a store that cannot be opened now must not cost each step the time to find out.
                address, self._address = self._address, None
                if address is None or recording_is_disabled():
                    return None
                self._service = address.shared_service()
            seen = self._seen if recorder is None else recorder.source.seen
            self._opener = False
            self._recorder = self._service.open_recorder(
                self._run, self._attempt, opener=False, seen=seen, rank=self._rank
            )
            if self._finished is not None:
                self._warn_once(f"it is {self._finished} already; what is logged now is kept, and its status stays")
            return self._recorder

    def _refuse(self, reason: str, step: object, metrics: Json) -> None:
        reason = stored_text(reason, 500)
        self._warn_once(reason)
        details = {"reason": reason, "step": redact(canonical(step)), "metrics": metrics}
        self._append(event_record("refused", now(), None, details))

    def _failed(self, what: str, error: Exception) -> None:
        key = f"{what}: {type(error).__name__}"
        if key not in self._warned:
            self._warned.add(key)
            logger.warning("run %s: %s could not be recorded (%s); the training goes on", self.uid, what, _said(error))

    def _warn_once(self, message: str) -> None:
        message = message[:500]
        if message not in self._warned and len(self._warned) < 100:
            self._warned.add(message)
            logger.warning("run %s: %s", self.uid, message)


def recording_is_disabled() -> bool:
    """Whether ``TRAINSTORE_DISABLED`` turns recording off everywhere."""
    return os.environ.get("TRAINSTORE_DISABLED", "").lower() in ("1", "true", "yes", "on")


def checked_run(run: object) -> ActiveRun:
    """The handle of a run that is being recorded. Raises `InvalidArgumentError` for anything else."""
    if not isinstance(run, ActiveRun):
        raise InvalidArgumentError(
            f"run {run!r} is not a run that is being recorded; give what start_run or resume_run returned"
        )
    return run


def canonical_tags(tags: Mapping[str, Any] | Iterable[str] | str) -> dict[str, Json]:
    """Tags as stored: name → value, True for a name alone."""
    if isinstance(tags, str):
        tags = [tags]
    return canonical_hyperparams(tags if isinstance(tags, Mapping) else dict.fromkeys(tags, True))


def _shown(value: object) -> str:
    """A value for a message, even if its ``repr()`` raises."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001
        return f"a {type(value).__name__}"


def _step_of_event(step: object) -> int | None:
    number = index_of(step)
    return number if number is not None and 0 <= number <= MAX_STEP else None


def _said(text: object) -> str:
    """A text that is stored or logged, even if its ``str()`` raises."""
    try:
        return stored_text(text)
    except Exception:  # noqa: BLE001
        return f"<{type(text).__name__}>"


def _renew_guards_in_child() -> None:
    for run in list(_handles):
        run._guard = threading.Lock()  # another thread may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_guards_in_child)
