"""Every SELECT of the query API, and the DataFrames that it returns.

``runs`` (the run table, one run, the best run), ``steps`` (step logs, metrics), ``samples`` (what models wrote),
``hyperparams`` (hyperparameters, events), ``attempts``, ``compare`` (what differs), ``scalarstop`` (data sets, models
and their epochs), ``filters`` (which runs), ``run_source`` (what they are selected from), ``sorting`` (their order),
``suggestions`` (unknown names), ``comparisons`` (what conditions may compare), ``language``, ``field_names``,
``fields`` and ``literals`` (filters as text), ``names`` and ``matches`` (which hyperparameters, and their values),
``frames`` (columns and dtypes). Functions take a `Reader` first and otherwise the arguments of the facade's method of
the same name, where they are documented.
"""

from trainstore.queries.attempts import list_attempts, list_children
from trainstore.queries.compare import compare_runs
from trainstore.queries.hyperparams import list_events, list_hyperparams
from trainstore.queries.reader import Reader, RunKey, TypedRun, resolve_run, resolve_runs
from trainstore.queries.records import RunRecord
from trainstore.queries.runs import get_best_run, get_run, list_runs, list_runs_grouped_by_metric, shown_status
from trainstore.queries.samples import list_samples
from trainstore.queries.scalarstop import ModelRecord
from trainstore.queries.steps import get_current_step, list_metrics, list_step_logs, steps_per_second

__all__ = [
    "ModelRecord",
    "Reader",
    "RunKey",
    "RunRecord",
    "TypedRun",
    "compare_runs",
    "get_best_run",
    "get_current_step",
    "get_run",
    "list_attempts",
    "list_children",
    "list_events",
    "list_hyperparams",
    "list_metrics",
    "list_runs",
    "list_runs_grouped_by_metric",
    "list_samples",
    "list_step_logs",
    "resolve_run",
    "resolve_runs",
    "shown_status",
    "steps_per_second",
]
