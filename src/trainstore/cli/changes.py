"""Changing several runs at once: which ones, a look at them, and a question before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from trainstore.cli.filters import warn_of_unknown
from trainstore.cli.printing import print_json, print_table
from trainstore.cli.streams import at_terminal
from trainstore.errors import TrainStoreError

if TYPE_CHECKING:
    from pandas import DataFrame

    from trainstore.store import TrainStore

SHOWN = ("name", "run_id", "status", "started_at")


class Change(NamedTuple):
    """What --yes and --dry-run say."""

    yes: bool
    dry_run: bool

    def agreed(
        self,
        frame: DataFrame,
        title: str,
        question: str,
        *,
        done: str = "changed",
        columns: Sequence[str] = SHOWN,
        as_json: bool,
    ) -> bool:
        """Whether these runs are to be changed: they are shown and the user is asked, unless --yes says so.

        If not, it has said why.

        Raises:
            TrainStoreError: Nobody can be asked.
        """
        if self.dry_run and as_json:
            print_json({f"would_be_{done}": frame["uid"].tolist()})
            return False
        if frame.empty:
            if as_json:
                print_json({done: []})
            else:
                click.echo(f"no run matches; nothing was {done}")
            return False
        if self.yes and not self.dry_run:
            return True
        if not self.dry_run and (as_json or not at_terminal()):
            raise TrainStoreError(
                "cannot ask for confirmation without a terminal; add --yes to do it without being asked, or --dry-run "
                "to look"
            )
        shown = frame[list(columns)]
        print_table(title, shown.rename(columns={"run_id": "id", "started_at": "started", "last_step": "step"}))
        if self.dry_run:
            click.echo(f"{counted(len(frame))}; nothing was {done} (--dry-run)")
            return False
        if click.confirm(question.format(counted(len(frame)))):
            return True
        click.echo(f"nothing was {done}")
        return False


def change_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --yes and --dry-run, as ``change``."""

    @wraps(command)
    def with_change(*args: Any, yes: bool, dry_run: bool, **options: Any) -> Any:
        return command(*args, change=Change(yes, dry_run), **options)

    with_change = click.option("--dry-run", is_flag=True, help="Show the runs, and change nothing.")(with_change)
    return click.option("--yes", is_flag=True, help="Do not ask for confirmation.")(with_change)


def chosen_runs(store: TrainStore, runs: Sequence[str], conditions: dict[str, Any]) -> DataFrame:
    """The run table of the RUNs that were named, or of the runs that match.

    Raises:
        UsageError: Both were given, or neither.
        RunNotFoundError, RunNotUniqueError: As for `TrainStore.get_run`.
    """
    from trainstore import queries
    from trainstore.cli.stores import snapshot_of

    if bool(runs) == bool(conditions):
        raise click.UsageError(
            "Name RUNs or filters, not both." if runs else "Name a RUN, or choose runs by a filter: --status failed."
        )
    with snapshot_of(store) as reader:
        if runs:
            uids = [key.uid for key in queries.resolve_runs(reader, list(runs))]
            conditions = {"where": store.table.run.c.uid.in_(uids)}
        frame = queries.list_runs(reader, **conditions, hyperparams=[], metrics=[])
        if not runs:
            warn_of_unknown(reader, frame, **conditions)
            return frame
        return frame.set_index("uid", drop=False).loc[uids].reset_index(drop=True)


def counted(number: int) -> str:
    """A number of runs."""
    return f"{number} run{'' if number == 1 else 's'}"
