"""The queries of a store, and the snapshot in which several of them see the same moment.

Each method opens a reader and delegates: the SELECTs are in ``queries/``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from trainstore import queries
from trainstore.backends import Backend
from trainstore.errors import StoreClosedError, UnknownNameWarning
from trainstore.queries import Reader, RunRecord, suggestions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


_warned: WeakKeyDictionary[Backend, set[str]] = WeakKeyDictionary()  # what each store has warned of


def _warn(reader: Reader, messages: Iterable[str]) -> None:
    """Warn once of each. Python's own filter forgets what it showed whenever a library changes the filters."""
    known = _warned.setdefault(reader.backend, set())
    for message in messages:
        if message not in known:
            warnings.warn(message, UnknownNameWarning, stacklevel=3)
            known.add(message)


class QueryMethods:
    """The methods that read runs; `TrainStore` and `Snapshot` provide the connection."""

    def _reader(self) -> AbstractContextManager[Reader]:
        raise NotImplementedError

    def list_runs(
        self,
        *,
        project: str | Iterable[str] | None = None,
        name: str | Iterable[str] | None = None,
        status: str | Iterable[str] | None = None,
        tag: str | Iterable[str] | Mapping[str, Any] | None = None,
        hyperparams: str | Iterable[str] | Mapping[str, Any] | None = None,
        where: Any = None,
        since: Any = None,
        until: Any = None,
        metrics: str | Iterable[str] | None = None,
        summary: str = "last",
        sort: str | Iterable[str] | None = None,
        limit: int | None = None,
        columns: str = "all",
    ) -> DataFrame:
        """The runs, newest first, or by ``sort``.

        Args:
            project: Only runs of this project, or of these. An empty list matches nothing, here and below.
            name: Only runs with this name, or with one of these.
            status: Only runs with this status, or with one of these: running, finished, failed, interrupted, pruned,
                lost.
            tag: Only runs with this tag, with all of these, or with these values (mapping).
            hyperparams: Which columns to show: "all" (the default); "varying", those with different values among the
                runs that have them, and tags that only some have; "differing", everything that only some have, too; or
                a list of names. A mapping of names to values, or to lists (arrays, sets, generators, …) of values,
                keeps only runs that have one of them. A name alone belongs to namespace ``hp``; "mth.n_layer" names
                another namespace, "model.depth" looks inside "model", ``hp."a.b"`` is the key "a.b".
            where: A filter as text, such as ``"hp.lr < 1e-3 and not tag.bad"`` (the page on querying describes the
                language); or an SQLAlchemy condition over ``store.table.run``, where another table goes into a
                subquery; or a list of them, all of which must hold.
            since: Only runs that started at this time or later: an aware datetime, a date, ISO text (in UTC if it has
                no offset), or how long ago: a timedelta or a text such as "7d", "12h" or "1h30m".
            until: Only runs that started before this time; likewise.
            metrics: Which metrics to show: a list of names; None: all; "main": up to four by which runs are judged,
                such as ``eval_loss`` and ``val/loss``, so that each run has one of them if possible.
            summary: Which value of each: "last", "min" or "max" (the latter two over finite values).
            sort: A field of the filter language, such as "metric.loss", "hp.lr", "duration" or "name", with "-" in
                front for the largest first; or a list of them, the first of which counts most. Missing values and NaN
                are last. None: the newest run first.
            limit: At most this many runs, the first of them.
            columns: "all", or "short": the table that ``trainstore runs`` prints.

        Returns:
            One row per run. Columns: run_id int64; project, name, status object; started_at, ended_at datetime64[us,
            UTC]; last_step Int64; attempts int64 (their number); source, error, notes, model_name, parent_uid object;
            parent_step Int64; host, command, git_commit object, git_dirty boolean (of the attempt that is shown); uid
            object. Then ``hp__*``, ``mth__*``, ``dbh__*``, ``env__*``, ``tag__*`` (boolean, Int64, float64 or object,
            depending on their values: also object if float64 would round an int), beside a nested value ``hp__optim``
            each value inside it, ``hp__optim.lr``; and ``metric__*`` float64. Text is object, None if missing.

            Short: the index run_id; name, project, status, started_at, duration timedelta64[us] (until now if the run
            is running, NaT if it is lost), last_step, attempts; metrics, by default "main"; hyperparameters, by
            default "varying" without ``env__*``, those of most runs first, and ``output_dir`` and its like last. What
            ``where`` as text and ``sort`` name has a column, too, and comes first.

        Raises:
            InvalidArgumentError: A value that is not listed here, a condition that compares two kinds (a number with a
                text), or a name that may mean two hyperparameters.
            FilterError: ``where`` or ``sort`` cannot be read, or names what the store does not have; its ``position``
                says where.

        Warns:
            UnknownNameWarning: A project, name, tag, hyperparameter or metric that no run has; with the closest names.
        """
        asked: dict[str, Any] = {"project": project, "name": name, "status": status, "tag": tag, "where": where}
        asked |= {"hyperparams": hyperparams, "since": since, "until": until, "metrics": metrics}
        with self._reader() as reader:
            found = queries.list_runs(reader, **asked, summary=summary, sort=sort, limit=limit, columns=columns)
            unknown = suggestions.about_runs(reader, found, **asked)
        _warn(reader, unknown)
        return found

    def list_runs_grouped_by_metric(
        self,
        metric_name: str,
        metric_direction: str | None = None,
        *,
        by: str = "best",
        project: str | Iterable[str] | None = None,
        name: str | Iterable[str] | None = None,
        status: str | Iterable[str] | None = None,
        tag: str | Iterable[str] | Mapping[str, Any] | None = None,
        hyperparams: str | Iterable[str] | Mapping[str, Any] | None = None,
        where: Any = None,
        since: Any = None,
        until: Any = None,
        metrics: str | Iterable[str] | None = None,
        summary: str = "last",
        limit: int | None = None,
        columns: str = "all",
    ) -> DataFrame:
        """The runs that have a finite value of a metric, the best first; ties go to the earlier run.

        Args:
            metric_name: The metric.
            metric_direction: "min" or "max" ("minimize", "maximize"): which is better. None: "min" if the metric's name
                ends in loss, error, perplexity or the like (mse, wer, …); of a study's objective, as the study says.
            by: "best" ranks by the minimum or maximum over a run's steps, "last" by its last value.
            project, name, status, tag, hyperparams, where, since, until, metrics, summary, limit, columns: As
                for `list_runs`.

        Returns:
            The columns of `list_runs`, with sort_metric_value float64 and sort_metric_step Int64 after the fixed ones.

        Raises:
            InvalidArgumentError: A value that is not listed here.
            FilterError: As for `list_runs`.

        Warns:
            UnknownNameWarning: As for `list_runs`, and a metric of which no run has numbers.
        """
        asked: dict[str, Any] = {"project": project, "name": name, "status": status, "tag": tag, "where": where}
        asked |= {"hyperparams": hyperparams, "since": since, "until": until, "metrics": metrics}
        with self._reader() as reader:
            found = queries.list_runs_grouped_by_metric(
                reader,
                **asked,
                metric_name=metric_name,
                metric_direction=metric_direction,
                by=by,
                summary=summary,
                limit=limit,
                columns=columns,
            )
            unknown = suggestions.about_runs(reader, found, **asked, ranked_by=metric_name)
        _warn(reader, unknown)
        return found

    def get_best_run(
        self,
        metric_name: str,
        metric_direction: str | None = None,
        *,
        by: str = "best",
        project: str | Iterable[str] | None = None,
        name: str | Iterable[str] | None = None,
        status: str | Iterable[str] | None = None,
        tag: str | Iterable[str] | Mapping[str, Any] | None = None,
        hyperparams: Mapping[str, Any] | None = None,
        where: Any = None,
        since: Any = None,
        until: Any = None,
    ) -> RunRecord | None:
        """The best run by a metric; None if no run has a finite value of it.

        NaN and infinities never win; ties go to the earlier run. It reads no steps: the time does not depend on their
        number.

        Args:
            metric_name, metric_direction, by: As for `list_runs_grouped_by_metric`.
            project, name, status, tag, where, since, until: As for `list_runs`.
            hyperparams: Only runs that have these values.

        Raises:
            InvalidArgumentError: A value that is not listed there.
            FilterError: As for `list_runs`.

        Warns:
            UnknownNameWarning: As for `list_runs`, and a metric of which no run has numbers.
        """
        asked: dict[str, Any] = {"project": project, "name": name, "status": status, "tag": tag, "where": where}
        asked |= {"hyperparams": hyperparams, "since": since, "until": until}
        unknown: list[str] = []
        with self._reader() as reader:
            best = queries.get_best_run(
                reader, metric_name=metric_name, metric_direction=metric_direction, by=by, **asked
            )
            if best is None:
                unknown = suggestions.about_runs(reader, None, **asked, ranked_by=metric_name)
        _warn(reader, unknown)
        return best

    def get_run(self, run: Any) -> RunRecord:
        """One run, with its hyperparameters, tags and last metrics.

        Args:
            run: A handle, a record, a uid, an id, or a name that only one run has, as wherever a run is expected.

        Raises:
            RunNotFoundError, RunNotUniqueError: No run matches, or several do; the message has the id, status, start
                and last step of each.
        """
        with self._reader() as reader:
            return queries.get_run(reader, run)

    def list_step_logs(
        self,
        runs: Any,
        *,
        metrics: Iterable[str] | None = None,
        tidy: bool = False,
        attempts: str = "current",
        details: bool = False,
    ) -> DataFrame:
        """Every recorded step of a run, or of several.

        Args:
            runs: A run, a list of them, or a DataFrame that has a column ``uid``.
            metrics: Only these; None: all.
            tidy: One row per value instead of one row per step (``epoch`` and ``step_time`` if ``metrics`` names them).
            attempts: "current": each step once, from the attempt that counts there. "all": also the steps of superseded
                attempts.
            details: Add what was logged as ``details``. Its key ``earlier``, ``{metric: [values]}``, holds the values
                that later ones of the same step replaced, in order.

        Returns:
            Sorted by run id and step. Columns: run, name object (the run's uid and name, for a list of runs), step,
            attempt (for "all") int64, epoch float64, step_time float64 (s), logged_at datetime64[us, UTC], details
            object (if asked for), then one column per metric, float64 with NaN if a step has none, or object if it
            holds anything else, such as an int that float64 would round. A metric that has the name of a fixed column,
            shown or not, or begins with ``metric__``, becomes ``metric__<name>``. Tidy: run, name, step, (attempt),
            metric object, value.

        Raises:
            RunNotFoundError, RunNotUniqueError: As for `get_run`.
            InvalidArgumentError: A value that is not listed here.

        Warns:
            UnknownNameWarning: A metric of which no run has numbers.
        """
        with self._reader() as reader:
            found = queries.list_step_logs(reader, runs, metrics=metrics, tidy=tidy, attempts=attempts, details=details)
            unknown = suggestions.about_steps(reader, found, metrics)
        _warn(reader, unknown)
        return found

    def list_samples(
        self, runs: Any, *, name: str | Iterable[str] | None = None, attempts: str = "current"
    ) -> DataFrame:
        """The text samples of a run, or of several: what the model wrote, and after which prompt.

        A sample is what was logged with a step as ``details["sample/<set>/<nr>"] = {"prompt": …, "completion": …}``;
        a text alone is the completion.

        Args:
            runs: A run, a list of them, or a DataFrame that has a column ``uid``.
            name: Only samples of this set, or of these.
            attempts: "current": each step once, from the attempt that counts there. "all": also the steps of superseded
                attempts.

        Returns:
            Sorted by run id, step, set and number. Columns: run object (its uid), step, attempt (for "all") int64, set
            object, nr int64, prompt, completion object (None if missing); then one column for each further name that
            was logged with a sample, float64 with NaN if a sample has none, or object if it holds anything but
            numbers. A name that is also one of the fixed columns, or begins with ``sample__``, becomes
            ``sample__<name>``.

        Raises:
            RunNotFoundError, RunNotUniqueError: As for `get_run`.
            InvalidArgumentError: A value that is not listed here.

        Warns:
            UnknownNameWarning: These runs have samples, but none in this set.
        """
        with self._reader() as reader:
            found = queries.list_samples(reader, runs, name=name, attempts=attempts)
            unknown = suggestions.about_samples(reader, found, runs, name)
        _warn(reader, unknown)
        return found

    def plot(
        self,
        metric: str | Iterable[str],
        runs: Any = None,
        *,
        x: str = "step",
        smoothing: float = 0.0,
        group_by: str | None = None,
        ax: Axes | None = None,
        logy: bool = False,
    ) -> Axes:
        """Draw a metric of runs over their steps, with matplotlib: ``pip install 'trainstore[plots]'``.

        Each run is a line in a colour of its own, named in the legend (with its id if others have the same name).
        Steps without the metric are skipped, so that one that is logged seldom, such as ``eval_loss``, is points
        joined by lines. NaN and infinities break the line and are marked by × on the axis. Long curves are thinned:
        the extremes of every thousandth part are drawn, so that a spike stays.

        Args:
            metric: The name of a metric, or a list of names, which share the axes and differ in their dashes. Also
                "step_time" and "epoch".
            runs: A run, a list, a DataFrame with a column ``uid``, or None: the 10 newest that have the metric, which
                the legend says if there are more. Runs that do not have the metric are left out.
            x: "step"; "epoch"; "time", when the step was logged, in UTC; or "relative", how long after the run's start
                that was, breaks between attempts included.
            smoothing: From 0 to below 1, as in TensorBoard and W&B: an exponential mean of the values so far, of which
                one that is n points back weighs smoothing**n; debiased, so that the line does not begin at zero. If
                points are not equally far apart on the x axis, n is their distance over the median distance. The
                values as logged stay visible behind it, pale.
            group_by: The name of a hyperparameter ("lr", "optim.lr", "mth.n_layer") or a tag ("tag.owner"): one line
                for the runs that have the same value, their mean, in a band from their minimum to their maximum. Both
                are taken (after smoothing, of finite values) at the steps that each run of the group has which comes
                so far; if runs log at different steps, values between two steps are interpolated.
            ax: The axes to draw on; None: new ones in a new figure.
            logy: A logarithmic y axis, on which values up to 0 are missing.

        Returns:
            The matplotlib axes, as from pandas' and seaborn's plots: ``ax.figure.savefig("loss.png")`` saves it.

        Raises:
            InvalidArgumentError: No such run has numbers of the metric (the message has the closest names), or a value
                that is not among those named here.
            RunNotFoundError, RunNotUniqueError: As for `get_run`.
            TrainStoreError: matplotlib is not installed.
        """
        from trainstore.plots import plot_metrics

        return plot_metrics(self, runs, metric, x=x, smoothing=smoothing, group_by=group_by, ax=ax, logy=logy)

    def list_metrics(self, runs: Any = None) -> DataFrame:
        """A summary of every metric over the current steps of a run, of several (a list) or of all runs (None).

        Args:
            runs: A run, a list, a DataFrame with a column ``uid``, or None.

        Returns:
            Columns: uid, metric object; count int64 (numeric values), nonfinite_count int64 (NaN, infinities); min,
            max float64 over finite values, with min_step, max_step Int64, the earliest steps that have them; last
            float64 at last_step Int64.
        """
        with self._reader() as reader:
            return queries.list_metrics(reader, runs)

    def list_hyperparams(self, runs: Any = None, *, namespace: str | None = None, key: str | None = None) -> DataFrame:
        """Hyperparameters of a run, of several (a list) or of all runs (None), one per row.

        Args:
            runs: A run, a list, a DataFrame with a column ``uid``, or None.
            namespace: Only this one: hp, mth, dbh, env, tag.
            key: Only this key, in any namespace, or in the one that it is spelled with ("mth.n_layer").

        Returns:
            Columns: uid, namespace, key object; value object (Python values); number float64 (if it is a finite
            number); attempt int64, the one that set it.

        Warns:
            UnknownNameWarning: No run has this key.
        """
        with self._reader() as reader:
            found = queries.list_hyperparams(reader, runs, namespace=namespace, key=key)
            unknown = suggestions.about_key(reader, found, key)
        _warn(reader, unknown)
        return found

    def list_events(self, runs: Any = None, *, kind: str | None = None) -> DataFrame:
        """Events of a run, of several (a list) or of all runs (None): checkpoints, alerts, refused records, notes.

        Args:
            runs: A run, a list, a DataFrame with a column ``uid``, or None.
            kind: Only events of this kind.

        Returns:
            In the order in which they happened. Columns: uid object; at datetime64[us, UTC]; step Int64; kind,
            details, writer_uid object.
        """
        with self._reader() as reader:
            return queries.list_events(reader, runs, kind=kind)

    def list_attempts(self, runs: Any = None) -> DataFrame:
        """The attempts of a run, of several (a list) or of all runs (None): one when it began, one for each resumption.

        Args:
            runs: A run, a list, a DataFrame with a column ``uid``, or None.

        Returns:
            By run, in the order in which they were opened. Columns: uid object; attempt int64 (its number in the run);
            resumed_from Int64, the attempt whose checkpoint it took up; start_step int64, the step of that checkpoint
            (-1: none); last_step Int64, the highest step that it logged; kept_step Int64, the highest of these that is
            still shown, missing if later attempts replaced all of them; status, error object; started_at, ended_at
            datetime64[us, UTC]; host, command, git_commit object; git_dirty boolean; versions object, those of Python
            and of libraries as a dict; changed_hyperparams object, ``{"hp.lr": [old, new]}`` (or None).

        Raises:
            RunNotFoundError, RunNotUniqueError: As for `get_run`.
        """
        with self._reader() as reader:
            return queries.list_attempts(reader, runs)

    def compare_runs(
        self, runs: Any, *more: Any, summary: str = "last", everything: bool = False, columns: str = "name"
    ) -> DataFrame:
        """What differs between runs: hyperparameters, metrics, tags, status, where they ran, on which versions.

        Args:
            runs: A list of runs, or a DataFrame with a column ``uid``; or the first of several runs.
            more: The other runs, if they are given one by one: ``compare_runs("a", "b")``.
            summary: Which value of each metric: "last", "min" or "max" (the latter two over finite values), or "all",
                three rows.
            everything: Also show what is the same in all of them, and the metrics that are runtimes, speeds and
                counters.
            columns: What the runs are called: "name", with the id if several have the same ("base (id 3)"); or "uid".

        Returns:
            One row per key that is not the same in all ("hp.learning_rate", "hp.model.depth", "metric.loss", for "all"
            "metric.loss.min", "status"), one column per run, object, None if a run has no such key. The order is
            hyperparameters, metrics, model, data, tags, the run, environment, versions, folders and names of outputs
            ("hp.output_dir"), and last runtimes and counters. There is no row "name" if the columns have the names,
            unless everything is shown.

        Raises:
            RunNotFoundError, RunNotUniqueError: As for `get_run`.
            InvalidArgumentError: A single run, lists beside runs, or a value that is not listed here.
        """
        with self._reader() as reader:
            return queries.compare_runs(reader, runs, *more, summary=summary, everything=everything, columns=columns)

    def get_current_step(self, run: Any) -> int | None:
        """The highest step shown of a run; None if it has none yet.

        Args:
            run: A handle, a record, a uid, an id, or a name that only one run has.

        Raises:
            RunNotFoundError, RunNotUniqueError: As for `get_run`.
        """
        with self._reader() as reader:
            return queries.get_current_step(reader, run)


class Snapshot(QueryMethods):
    """The queries of a store, all answered as of one moment: what `TrainStore.snapshot` returns.

    It is one connection: use it from one thread at a time, inside its ``with`` block. A query that fails does not keep
    the next from working.
    """

    def __init__(self, reader: Reader) -> None:
        self._open_reader: Reader | None = reader

    @property
    def reader(self) -> Reader:
        """What the functions of `trainstore.queries` take.

        Raises:
            StoreClosedError: The ``with`` block has ended.
        """
        if self._open_reader is None:
            raise StoreClosedError("this snapshot has ended; take a new one with store.snapshot()")
        return self._open_reader

    @contextmanager
    def _reader(self) -> Iterator[Reader]:
        reader = self.reader
        with reader.backend.translated(), reader.backend.recoverable(reader.connection):
            yield reader

    def _end(self) -> None:
        self._open_reader = None
