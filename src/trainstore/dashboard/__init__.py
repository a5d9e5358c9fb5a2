"""What pages of a browser show of a store: tables, runs, and curves in buckets, kept in memory, sent as binary frames.

`answers.Answers` has every answer of the API as Python values. The server (app.py) and reports (report.py) call it::

    answers = Answers(store)                     # a TrainStore, read_only=True; any thread may call
    answers.meta()                               # dict
    answers.version()                            # str: changes whenever the table may; ETag of runs and columns
    answers.columns(project=None, q=None)        # dict
    answers.runs(project=None, q=None, columns=[], sort=[], offset=0, limit=None, only=None)   # dict, with version
    answers.run(uid)                             # dict; RunNotFoundError
    answers.series(runs, metrics, x="step", lo=None, hi=None, points=400, attempts="current", exact=False)
                                                 # list[wire.Curve] → wire.to_frame(curves) or wire.to_json(curves)
    answers.group(metrics, by=[], runs=None, groups=None, project=None, q=None, band="std", exact=False, x="step", …)
    answers.compare(runs, everything=False)      # dict, column-wise like runs
    answers.samples(runs, name=None)             # dict, column-wise like runs
    answers.export(runs, form="csv", table="steps")       # Iterator[bytes]; runs=None: all
    answers.health()                             # dict
    answers.cache                                # columns.Columns: the runs in memory; .get(uid) reads what is new

Dicts hold only what JSON holds. What cannot be answered raises `InvalidArgumentError` (of it `FilterError`, with
``position``, and `limits.LimitError`, for more than `limits.LIMITS` allow) or `RunNotFoundError`.

`serve` is what ``trainstore ui`` runs. It needs the extra ``ui``; nothing else here does. `write_report` is what
``trainstore report`` runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainstore.defaults import default_prefix, default_store
from trainstore.errors import InvalidArgumentError, TrainStoreError

if TYPE_CHECKING:
    from trainstore.dashboard.report import write_report

__all__ = ["serve", "write_report"]


def __getattr__(name: str) -> Any:
    """`write_report`, which is imported when it is asked for: the server needs nothing of it."""
    if name == "write_report":
        from trainstore.dashboard.report import write_report

        return write_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def serve(
    url: str | PathLike[str] | None = None,
    *,
    prefix: str | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    allow_hosts: Iterable[str] = (),
    edit: bool = False,
    token: bool = False,
    token_file: str | PathLike[str] | None = None,
    uds: str | PathLike[str] | None = None,
    open_browser: bool = False,
    project: str | None = None,
    tell: Callable[[str], None] = print,
    tell_request: Callable[[str], None] | None = None,
) -> None:
    """Show a store in the browser, until the process gets SIGINT (Ctrl-C) or SIGTERM.

    The store is opened ``read_only``: it is neither made nor upgraded nor recovered.

    Args:
        url: A path or a URL, as for `TrainStore`. None: ``TRAINSTORE_URL``, else ``trainstore.db``.
        prefix: Of the store's tables. None: ``TRAINSTORE_PREFIX``, else none.
        host: The address to listen on. Any other than this machine's loopback needs a token, which is then made.
        port: None: the first free one from 8520 on. 0: any free one.
        allow_hosts: Further names by which a browser may call the server, without a port.
        edit: Let runs be renamed, tagged and annotated. It needs a token, which is then made.
        token: Ask for a token on loopback, too: every user of this machine can connect to its ports.
        token_file: Where the token stands. The file is made, for this user alone, if it does not exist.
        uds: Listen on a socket in the file system instead, to which only this user can connect.
        open_browser: Open the page in a browser, if there is one.
        project: Begin with this project.
        tell: Called with each line for the user, such as the link.
        tell_request: Called with a line for each request, without its arguments.

    Raises:
        InvalidArgumentError: A host, a port or a token file cannot be used.
        TrainStoreError: The extra is not installed; the port is taken; the store cannot be opened, as for `TrainStore`.
    """
    if isinstance(allow_hosts, str):  # each of its letters would be a name
        raise InvalidArgumentError(f"allow_hosts {allow_hosts!r} is one text: pass a list, [{allow_hosts!r}]")
    for package in ("starlette", "uvicorn"):
        try:
            import_module(package)
        except ModuleNotFoundError:
            raise TrainStoreError(f"the dashboard needs {package}: pip install 'trainstore[ui]'") from None
    from trainstore.dashboard.server import Options
    from trainstore.dashboard.server import serve as serve_with

    serve_with(
        Options(
            url=str(default_store() if url is None else url),
            prefix=default_prefix() if prefix is None else prefix,
            host=host,
            port=port,
            allow_hosts=tuple(allow_hosts),
            edit=edit,
            token=token,
            token_file=None if token_file is None else Path(token_file).expanduser(),
            uds=None if uds is None else Path(uds),
            open_browser=open_browser,
            project=project,
            tell=tell,
            tell_request=tell_request,
        )
    )
