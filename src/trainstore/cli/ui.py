"""``trainstore ui``: the store in a browser."""

from __future__ import annotations

from collections.abc import Sequence

import click

from trainstore.cli.options import prefix_option, store_argument, store_option
from trainstore.cli.stores import check_exists
from trainstore.cli.streams import visible

LOOPBACK = "127.0.0.1"


@click.command()
@store_argument
@store_option
@prefix_option
@click.option("--project", metavar="NAME", help="Begin with the runs of this project.")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port.  [default: the first free one from 8520]")
@click.option("--host", default=LOOPBACK, show_default=True, help="The address to listen on; others need a token.")
@click.option("--allow-host", "allow_hosts", metavar="NAME", multiple=True, help="A name of this server; repeatable.")
@click.option("--uds", metavar="PATH", help="Listen on a socket for you alone, at this path, instead of a port.")
@click.option("--token", is_flag=True, help="Ask for a token on this machine, too, where others have accounts.")
@click.option("--token-file", metavar="FILE", help="Take the token from a file; it is made if it does not exist.")
@click.option("--edit", is_flag=True, help="Let runs be renamed, tagged and annotated in the browser, with a token.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@click.option("--log-requests", is_flag=True, help="Print a line for each request.")
def ui(
    url: str,
    prefix: str,
    project: str | None,
    port: int | None,
    host: str,
    allow_hosts: Sequence[str],
    uds: str | None,
    token: bool,
    token_file: str | None,
    edit: bool,
    no_open: bool,
    log_requests: bool,
) -> None:
    """Show a store in the browser: its runs, live; Ctrl-C ends it.

    The store is only read, unless --edit is given: nothing is created, upgraded or recovered. Only this machine can
    connect; on one that others use too, --uds or --token keeps them out. A token can also be set in
    TRAINSTORE_UI_TOKEN.

    Needs: pip install 'trainstore[ui]'
    """
    from trainstore.dashboard import serve

    check_exists(url, prefix, tables=True, read_only=True)
    serve(
        url,
        prefix=prefix,
        host=host,
        port=port,
        allow_hosts=allow_hosts,
        edit=edit,
        token=token,
        token_file=token_file,
        uds=uds,
        open_browser=not no_open,
        project=project,
        tell=lambda line: click.echo(visible(line)),
        tell_request=(lambda line: click.echo(visible(line), err=True)) if log_requests else None,
    )
