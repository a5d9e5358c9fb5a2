"""Where messages are sent: addresses that are credentials, so they are neither stored in a database nor shown whole.

``TRAINSTORE_NOTIFY`` holds them, separated by spaces, lines or commas; "off" sends nothing. If it is not set, they are
the lines of the file ``notify`` in the user's configuration folder, which only the user may read. Within pytest the
file is not used: the runs of a test suite are nobody's news.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import platformdirs

from trainstore.errors import InvalidArgumentError, TrainStoreError

VARIABLE = "TRAINSTORE_NOTIFY"
OFF = ("off", "none", "no", "false", "0")
#: What Apprise does on this machine alone: on its desktop, its log, a lamp. Nobody who is away sees that.
LOCAL = frozenset({"blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"})
#: No service at all: a list of addresses elsewhere, a file.
NO_SERVICE = frozenset({"config", "file", "include", "data"})
#: The schemes whose host is no credential.
_WITH_HOST = frozenset(
    {"json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos", "apprise", "apprises", "https"}
)
#: A host, with its port. What has not this form may hold a password in which a character was not escaped.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://\S")
_BETWEEN = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)|\s+")
_ROUNDS = 200_000  # some 80 ms: addresses may hold weak passwords, which their hash must not give away


@dataclass(frozen=True, repr=False)
class Target:
    """One address."""

    url: str

    @property
    def scheme(self) -> str:
        """The service that it belongs to."""
        return self.url.partition("://")[0].lower()

    @property
    def identity(self) -> str:
        """What stands for it in a database: the same for the same text, and no way back."""
        return _identity(self.url)

    @property
    def shown(self) -> str:
        """Enough to tell one's addresses apart, and nothing that lets somebody send to them."""
        host = ""
        if self.scheme in _WITH_HOST:
            text = self.url.partition("://")[2]
            given = re.split(r"[/?#]", text, maxsplit=1)[0]
            if "@" in given:
                text = re.split(r"\?[a-z]+=", text, maxsplit=1)[0]  # ?to=somebody@example.com
            found = _HOST.fullmatch(given.rpartition("@")[2])
            host = found.group() if found and "@" not in text[len(given) :] else ""
        return f"{self.scheme}://{host}{'/' if host else ''}…{self.identity[:6]}"

    def __repr__(self) -> str:
        return f"<Target {self.shown}>"


@lru_cache(maxsize=64)
def _identity(url: str) -> str:
    # The same in every store: what a merge brings of sent events counts here too.
    return hashlib.pbkdf2_hmac("sha256", url.encode(errors="surrogatepass"), b"trainstore.notification", _ROUNDS).hex()


def checked(text: str) -> Target:
    """An address, if it may be one.

    Raises:
        InvalidArgumentError: It is none, or one of a service that sends nothing anywhere. The message does not show it.
    """
    text = text.strip()
    found = _SCHEME.match(text)
    if found is None or re.search(r"\s", text):
        raise InvalidArgumentError(
            "that is not an address: write one in Apprise's form, such as mailto://user:password@example.com or "
            "slack://TokenA/TokenB/TokenC (https://appriseit.com/services)"
        )
    scheme = found.group(1).lower()
    if scheme in NO_SERVICE:
        raise InvalidArgumentError(f"{scheme}:// is not accepted: write the service's own address")
    if scheme in LOCAL:
        raise InvalidArgumentError(
            f"{scheme}:// stays on the machine that trains: write the address of a service that reaches you"
        )
    return Target(text)


def file_path() -> Path:
    """The file that holds them."""
    return platformdirs.user_config_path("trainstore") / "notify"


def may_exist() -> bool:
    """Whether there may be any, without reading one: a look that a training can afford."""
    given = os.environ.get(VARIABLE, "").strip()
    return given.lower() not in OFF if given else _file_counts() and file_path().exists()


def _file_counts() -> bool:
    return "PYTEST_CURRENT_TEST" not in os.environ


def find(*, asked: bool = False) -> list[Target]:
    """The targets of this process, each once.

    Args:
        asked: Somebody asks for them by a command: within pytest, too, the file counts.

    Raises:
        InvalidArgumentError: One of them is no address that can be sent to.
        TrainStoreError: The file cannot be read, or may be read by others.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if given:
        texts = [] if given.lower() in OFF else [text for text in _BETWEEN.split(given) if text]
        where = VARIABLE
    else:
        texts = read() if asked or _file_counts() else []
        where = str(file_path())
    targets = []
    for number, text in enumerate(dict.fromkeys(texts), 1):
        try:
            targets.append(checked(text))
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"address {number} in {where}: {error}") from None
    return targets


def read() -> list[str]:
    """The addresses in the file, each once; none if there is no file.

    Raises:
        TrainStoreError: It cannot be read, or may be read by others.
    """
    return list(dict.fromkeys(filter(_is_address, _lines())))


def change(*, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
    """Change the addresses in the file; what a user has noted between them stays.

    Raises:
        TrainStoreError: It cannot be read or written, or may be read by others.
    """
    lines = _lines() or ["# Where trainstore sends alerts and ends of runs. Credentials: for nobody else to read."]
    _write([*(line for line in lines if line not in remove), *add])


def _is_address(line: str) -> bool:
    return bool(line) and not line.startswith("#")


def _lines() -> list[str]:
    """The lines of the file; none if there is no file.

    Raises:
        TrainStoreError: It cannot be read, or may be read by others.
    """
    path = file_path()
    try:
        with path.open(encoding="utf-8") as file:
            _check_private(path, os.fstat(file.fileno()))
            return [line.strip() for line in file]
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise TrainStoreError(f"{path} is not UTF-8 text: write one address a line") from None
    except OSError as error:
        raise TrainStoreError(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None


def _check_private(path: Path, state: os.stat_result) -> None:
    if os.name != "posix":
        return
    if not stat.S_ISREG(state.st_mode):
        raise TrainStoreError(f"{path} is not a regular file")
    if state.st_uid not in (os.geteuid(), 0):
        raise TrainStoreError(
            f"{path} belongs to another user, so nothing is sent; remove it, and add the addresses again"
        )
    if state.st_mode & 0o077:
        raise TrainStoreError(
            f"{path} holds credentials and may be read or changed by others (mode {stat.S_IMODE(state.st_mode):04o}), "
            f"so nothing is sent; run: chmod 600 {path}"
        )


def _write(lines: list[str]) -> None:
    """Replace the file: whole or not at all, and for its user alone.

    Raises:
        TrainStoreError: It cannot be written.
    """
    path = file_path()
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
            partial.replace(path)
        finally:
            with suppress(OSError):
                partial.unlink()
    except OSError as error:
        raise TrainStoreError(f"{path} cannot be written: {error.strerror or type(error).__name__}") from None
