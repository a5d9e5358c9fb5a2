"""The answers of the API as Python values, for the server and for a report alike; nothing here knows of HTTP."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from trainstore.dashboard import comparing, export, run_details, series, tables
from trainstore.dashboard.columns import Columns
from trainstore.dashboard.grouping import grouped
from trainstore.dashboard.health import health
from trainstore.dashboard.live import Live
from trainstore.dashboard.meta import meta
from trainstore.dashboard.series import Part
from trainstore.dashboard.superseded import Superseded
from trainstore.dashboard.versions import Versions
from trainstore.dashboard.wire import Curve
from trainstore.doctor import examine_schema
from trainstore.errors import InvalidArgumentError
from trainstore.store import TrainStore

MOST_KEPT = 8  # answers
ATTEMPTS = ("current", "superseded")


class Answers:
    """What the pages ask of one store.

    Args:
        store: Opened with ``read_only=True``; every method reads one snapshot of it, and any thread may call it.
        can_edit: Whether the pages may offer to edit, which the caller does.

    Attributes:
        cache: The runs in memory.
        versions: Of the table.
    """

    def __init__(self, store: TrainStore, *, can_edit: bool = False) -> None:
        self.store = store
        self.cache = Columns(store)
        self.versions = Versions()
        self._superseded = Superseded()
        self._columns: dict[tuple[str, str | None], dict[str, Any]] = {}  # of the versions last asked for
        self._live = Live(store, self.cache, self.versions)
        self._can_edit = can_edit

    def meta(self) -> dict[str, Any]:
        """What a page needs to know of the store."""
        with self.store.snapshot() as snapshot:
            return meta(snapshot.reader, can_edit=self._can_edit)

    def version(self) -> str:
        """The version of the table; it is another one as soon as any run has changed."""
        with self.store.snapshot() as snapshot:
            return self.versions.of(snapshot.reader)

    def columns(self, *, project: str | None = None, q: str | None = None) -> dict[str, Any]:
        """The columns that there are: `tables.columns`."""
        with self.store.snapshot() as snapshot:
            if q:  # what a filter finds may depend on the time
                return tables.columns(snapshot.reader, project=project, q=q)
            asked = (self.versions.of(snapshot.reader), project)
            found = self._columns.get(asked)
            if found is None:
                found = tables.columns(snapshot.reader, project=project)
                self._columns = dict([*self._columns.items(), (asked, found)][-MOST_KEPT:])
            return found

    def runs(self, **asked: Any) -> dict[str, Any]:
        """The table: `tables.runs`, with its version."""
        with self.store.snapshot() as snapshot:
            version = self.versions.of(snapshot.reader)
            return {"version": version, **tables.runs(snapshot.reader, **asked)}

    def run(self, uid: str) -> dict[str, Any]:
        """One run: `run_details.run_detail`."""
        with self.store.snapshot() as snapshot:
            return run_details.run_detail(snapshot.reader, uid)

    def compare(self, runs: Sequence[str], *, everything: bool = False) -> dict[str, Any]:
        """What differs: `comparing.compare`."""
        with self.store.snapshot() as snapshot:
            version = self.versions.of(snapshot.reader)
            return {"version": version, **comparing.compare(snapshot.reader, runs, everything=everything)}

    def samples(self, runs: Sequence[str], *, name: str | None = None) -> dict[str, Any]:
        """What models wrote: `comparing.samples`."""
        with self.store.snapshot() as snapshot:
            version = self.versions.of(snapshot.reader)
            return {"version": version, **comparing.samples(snapshot.reader, runs, name=name)}

    def export(
        self,
        runs: Sequence[str] | None,
        *,
        project: str | None = None,
        q: str | None = None,
        form: str = "csv",
        table: str = "steps",
    ) -> Generator[bytes, None, None]:
        """Runs as a file, in pieces: `export.export`. A wrong argument is an error at once, not at the first piece."""
        export.check_export(form, table)
        return export.export(self.store, runs, project=project, q=q, form=form, table=table)

    def health(self) -> dict[str, Any]:
        """Whether the store is well: `health.health`."""
        schema = examine_schema(self.store._backend, self.store._models, self.store.engine)
        with self.store.snapshot() as snapshot:
            return health(snapshot.reader, schema)

    def series(
        self,
        runs: Sequence[str],
        metrics: Sequence[str],
        *,
        attempts: str = "current",
        exact: bool = False,
        **part: Any,
    ) -> list[Curve]:
        """Curves: `series.series`, or `series.superseded`; the rest are the fields of `series.Part`."""
        if attempts not in ATTEMPTS:
            raise InvalidArgumentError(f"attempts {attempts!r} is not one of {', '.join(map(repr, ATTEMPTS))}")
        if attempts == "superseded":
            return series.superseded(self.store, self._superseded, runs, metrics, Part(**part))
        return series.series(self.store, self.cache, runs, metrics, Part(**part), exact=exact)

    def group(
        self,
        metrics: Sequence[str],
        *,
        by: Sequence[str] = (),
        runs: Sequence[str] | None = None,
        groups: Sequence[Sequence[str]] | None = None,
        project: str | None = None,
        q: str | None = None,
        band: str = "std",
        exact: bool = False,
        **part: Any,
    ) -> list[Curve]:
        """Means of groups: `series.group` of these ``groups``, or of runs that have the same in the columns ``by``.

        The runs are ``runs``, or else those of a filter.
        """
        with self.store.snapshot() as snapshot:
            found = grouped(snapshot.reader, by, runs=runs, groups=groups, project=project, q=q)
        return series.group(self.store, self.cache, found, metrics, Part(**part), band=band, exact=exact)

    def live(self, **asked: Any) -> dict[str, Any]:
        """What is new since a page last asked: `live.Live.answer`."""
        return self._live.answer(**asked)
