"""``trainstore doctor``: the command. Its checks are in ``trainstore.doctor``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from trainstore.cli.options import store_argument, store_options
from trainstore.cli.printing import print_json
from trainstore.cli.streams import visible

if TYPE_CHECKING:
    from trainstore.backends.health import Finding

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--full", is_flag=True, help="Check the steps and summaries of all runs, not only of the newest ones.")
@store_argument
@store_options
def doctor(full: bool, url: str, prefix: str, as_json: bool) -> None:
    """Check a store and its environment; exit code 1 if there is a problem.

    Checks versions, the database and its files, the schema, integrity, stored values, lost runs, stored summaries, and
    journals that ended processes left behind. Changes nothing and creates no store.
    """
    from trainstore.doctor import examine

    levels = {"ok": 0, "warning": 0, "problem": 0}
    found = []
    for finding in examine(url, prefix, full=full):
        levels[finding.level] += 1
        found.append(finding._asdict())
        if not as_json:
            _print(finding)
    if as_json:
        print_json({"findings": found, "problems": levels["problem"], "warnings": levels["warning"]})
    else:
        click.echo(
            ", ".join(f"{levels[level]} {level}{'s' * (levels[level] != 1)}" for level in ("problem", "warning"))
        )
    if levels["problem"]:
        sys.exit(1)


def _print(finding: Finding) -> None:
    level = click.style(f"{finding.level:<8}", fg=COLOURS[finding.level])
    click.echo(f"{level} {finding.check:<12} {visible(finding.text)}")
    if finding.fix:
        click.echo(f"{'':21} → {visible(finding.fix)}")
