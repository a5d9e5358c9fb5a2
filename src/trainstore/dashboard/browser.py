"""Opening the page in the user's browser, without showing a token to the other users of the machine."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from html import escape
from pathlib import Path


@contextmanager
def opened_in_browser(url: str, *, secret: bool) -> Iterator[None]:
    """Open a page in the user's browser, if there is one; while the block runs.

    Args:
        url: Its address.
        secret: It holds a token. A browser gets its address as an argument, which every user of the machine can
            read in the list of processes: so it gets that of a file instead, mode 0600, that leads on.
    """
    with ExitStack() as stack:
        if secret:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="trainstore-"))
            file = Path(folder, "open.html")
            descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as page:
                page.write(
                    f'<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
                    f'<meta http-equiv="refresh" content="0;url={escape(url)}"><title>trainstore</title>'
                    f'<a href="{escape(url)}">trainstore</a>\n'
                )
            url = file.as_uri()
        # A browser that runs in the terminal, or one that is slow to start, must not keep the server from starting.
        threading.Thread(target=_open, args=(url,), daemon=True, name="trainstore-ui-browser").start()
        yield


def _open(url: str) -> None:
    with suppress(Exception):
        webbrowser.open(url)


def has_browser() -> bool:
    """Whether a page can be shown: there is a display, or the user names a browser; and there is one."""
    shown = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform == "linux" and not any(map(os.environ.get, shown)):
        return False  # what is found without a display runs in the terminal
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True
