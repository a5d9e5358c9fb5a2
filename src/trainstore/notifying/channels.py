"""Apprise: a target opened as a channel, and a message sent through it, in the caller's thread.

Apprise and what it uses log URLs and keys. What they log while a channel is at work in a thread is seen by nobody; the
last warning, without any part of the address, says why a message was not taken. Nor do they take random numbers from
the training: the boundary of a mail's parts is one.
"""

from __future__ import annotations

import logging
import random
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote

from trainstore.errors import InvalidArgumentError, TrainStoreError
from trainstore.notifying.messages import Message
from trainstore.notifying.targets import LOCAL, Target

_TALKATIVE = (  # packages
    "apprise", "charset_normalizer", "oauthlib", "paho", "requests", "requests_oauthlib", "slixmpp", "urllib3",
)  # fmt: skip
_TAKES_RANDOM_NUMBERS = ("apprise", "email", "paho", "slixmpp", "urllib3")  # packages
_MISSING = "apprise is not installed, so nothing can be sent: pip install 'trainstore[alerts]'"
_at_work = threading.local()  # .heard: what was logged by this thread, while a channel is at work


class _Quiet(logging.Filter):
    """Keeps from everybody what the thread of a channel logs, and leaves all others alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record goes on."""
        heard: list[str] | None = getattr(_at_work, "heard", None)
        if heard is None:
            return True
        if record.name == "apprise" and record.levelno >= logging.WARNING:
            heard.append(record.getMessage())
        return False


_quiet = _Quiet()


class _Numbers:
    """The module `random`; for the thread of a channel without the state that a training has seeded."""

    def __getattr__(self, name: str) -> Any:
        return getattr(random if getattr(_at_work, "heard", None) is None else _system, name)


_numbers, _system = _Numbers(), random.SystemRandom()


def _leave_random_numbers() -> None:
    """Whatever a channel loads finds `_Numbers` where it finds `random`."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _TAKES_RANDOM_NUMBERS and getattr(module, "__dict__", {}).get("random") is random:
            setattr(module, "random", _numbers)  # noqa: B010 - of any module


@contextmanager
def _quietly() -> Iterator[list[str]]:
    for name, logger in list(logging.root.manager.loggerDict.items()):  # a filter is not inherited
        if name.partition(".")[0] in _TALKATIVE and isinstance(logger, logging.Logger):
            logger.addFilter(_quiet)  # adding it again does nothing
    before = getattr(_at_work, "heard", None)
    heard: list[str] = []
    _at_work.heard = heard
    try:
        yield heard
    finally:
        _at_work.heard = before


def is_installed() -> bool:
    """Whether Apprise is there; it is not loaded."""
    return find_spec("apprise") is not None


def check_installed() -> None:
    """Raise `TrainStoreError` if Apprise is missing; the message names the extra."""
    if not is_installed():
        raise TrainStoreError(_MISSING)


class Channel:
    """A target that messages can be sent to.

    Raises:
        InvalidArgumentError: Apprise cannot use the address, or would not send it anywhere.
        TrainStoreError: Apprise is not installed.
    """

    def __init__(self, target: Target) -> None:
        check_installed()
        self.target = target
        with _quietly():
            import apprise

            asset = _asset(apprise)
        with _quietly() as heard:  # again: there are loggers of its now
            plugin = apprise.Apprise.instantiate(target.url, asset=asset)
            if plugin is None:
                raise InvalidArgumentError(
                    f"{target.shown} is not an address that Apprise can use{self._why(heard)}; "
                    "https://appriseit.com/services has the form of each"
                )
            _refuse_local(plugin, target)
            _leave_alone_when_collected(plugin)
            _leave_random_numbers()
            # Apprise would wait in the middle of `send`, by a clock that may be put back; who sends waits before it.
            self._pause, plugin.request_rate_per_sec = float(plugin.request_rate_per_sec), 0
            self._service = apprise.Apprise(asset=asset)
            self._service.add(plugin)
        self._free_at = 0.0

    @property
    def busy_for(self) -> float:
        """How many seconds the service should be left alone before the next message. For the last one, it need not."""
        return max(0.0, self._free_at - time.monotonic())

    def send(self, message: Message) -> str | None:
        """Send it; None if it was taken, else what is known of why not. Takes as long as the receiver takes."""
        with _quietly() as heard:
            try:
                taken = self._service.notify(
                    title=message.title, body=message.body, notify_type=message.kind, body_format="text"
                )
            except Exception as error:  # noqa: BLE001 - of any of a hundred services
                return f"it failed ({type(error).__name__})"
            finally:
                self._free_at = time.monotonic() + self._pause
            if taken:
                return None
            return f"it was not taken{self._why(heard)}"

    def _why(self, heard: list[str]) -> str:
        """The last thing that Apprise had to say, without the address or a part of it."""
        if not heard:
            return ""
        text = heard[-1]
        address = self.target.url.partition("://")[2]
        written = {part for part in re.split(r"[/:@?&=#,\s]+", address) if len(part) > 2}
        for part in sorted(written | set(map(unquote, written)), key=len, reverse=True):
            text = re.sub(re.escape(part), "…", text, flags=re.IGNORECASE)
        return f" ({' '.join(text.split())[:200]})"


def _asset(apprise: Any) -> Any:
    """How Apprise is used here: nothing in a message is interpreted, no thread of its own, no redirect is followed."""
    kind = apprise.AppriseAsset
    wanted = {
        "app_id": "trainstore",
        "app_desc": "trainstore",
        "app_url": "",
        "async_mode": False,  # in this thread: Apprise's own threads would hold up the end of the process
        "body_format": "text",
        "http_redirects": False,  # a message goes where its user said, and nowhere else
        "interpret_emojis": False,
        "interpret_escapes": False,
        "pem_autogen": False,
        "pgp_autogen": False,
    }
    options = {name: value for name, value in wanted.items() if hasattr(kind, name)}
    if hasattr(kind, "_service_timeout"):
        options["service_timeout"] = 0  # likewise; each request has its own time-outs
    if hasattr(kind, "_allow_templates"):
        options["allow_templates"] = False
    return kind(**options)


def _refuse_local(plugin: Any, target: Target) -> None:
    """By its kind: a service that needs no address acts on this machine, and one that is not Apprise's own is code."""
    bare = any(str(form).rstrip("/") == "{schema}:" for form in getattr(plugin, "templates", ()))
    if bare or target.scheme in LOCAL or not type(plugin).__module__.startswith("apprise.plugins."):
        raise InvalidArgumentError(
            f"{target.shown} stays on the machine that trains: write the address of a service that reaches you"
        )


def _leave_alone_when_collected(plugin: Any) -> None:
    """Some log out over the network when they are collected: at any time, or at the end of the process, in its way."""
    kind = type(plugin)
    if hasattr(kind, "__del__"):
        plugin.__class__ = type(kind.__name__, (kind,), {"__del__": lambda _: None, "__module__": kind.__module__})
