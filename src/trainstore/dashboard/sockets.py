"""The sockets at which the dashboard listens: ports of this machine, or a file that only this user can connect to."""

from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from trainstore.errors import TrainStoreError

LOOPBACK = ("127.0.0.1", "localhost")
PORT = 8520
PORTS_TRIED = 20


def bound_sockets(host: str, port: int | None) -> list[socket.socket]:
    """Sockets that listen: on loopback, one for IPv4 and, where available, one for IPv6, on the same port.

    Args:
        host: An address or a name.
        port: None: the first free one from `PORT` on. 0: any.

    Raises:
        TrainStoreError: The port is taken; there is no such address.
    """
    for number in [port] if port is not None else range(PORT, PORT + PORTS_TRIED):
        try:
            return _bound(host, number)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise TrainStoreError(f"cannot listen on {host} port {number}: {error.strerror or error}") from None
    if port is not None:
        by = "perhaps by another dashboard" if PORT <= port < PORT + PORTS_TRIED else "by another program"
        raise TrainStoreError(f"port {port} is taken, {by}; name another with --port, or leave it out")
    tried = f"{PORT} to {PORT + PORTS_TRIED - 1}"
    raise TrainStoreError(f"the ports {tried} are taken; name another with --port, or any free one with --port 0")


def _bound(host: str, port: int) -> list[socket.socket]:
    with ExitStack() as opened:
        # "localhost" may mean ::1 first, which is the second socket's.
        first = opened.enter_context(_listening("127.0.0.1" if host in LOOPBACK else host, port))
        sockets = [first]
        if host in LOOPBACK and socket.has_ipv6:
            try:
                sockets.append(opened.enter_context(_listening("::1", first.getsockname()[1])))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:  # who opens http://localhost would see another program
                    raise
        opened.pop_all()
        return sockets


def _listening(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere the option would let another program take over the port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen()
        made.set_inheritable(False)
    except BaseException:
        made.close()
        raise
    return made


@contextmanager
def unix_socket(path: Path) -> Iterator[tuple[socket.socket, Path]]:
    """A socket in the file system that only this user can connect to, and its absolute path.

    It is made in a folder that nobody else can enter, gets its mode there, and is moved to its place; its own mode
    alone would leave a moment between the two.

    Raises:
        TrainStoreError: Something else is there, or another dashboard listens there.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise TrainStoreError("this system has no sockets in the file system; leave out --uds")
    path = Path(os.path.abspath(path.expanduser()))
    _check_free(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        own = _bind_privately(made, path)
        try:
            yield made, path
        finally:
            with suppress(OSError):
                if os.stat(path).st_ino == own:
                    os.unlink(path)
    finally:
        made.close()


def _bind_privately(made: socket.socket, path: Path) -> int:
    """Let a socket listen at a path, for this user alone; its inode."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".trainstore-") as folder:  # its mode is 0700
            inside = os.path.join(folder, "s")
            made.bind(inside)
            os.chmod(inside, 0o600)
            made.listen()
            os.rename(inside, path)
        return os.stat(path).st_ino
    except OSError as error:
        raise _cannot_be_made(path, error) from None


def _check_free(path: Path) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_be_made(path, error) from None
    if not stat.S_ISSOCK(mode):
        raise TrainStoreError(f"{path} exists and is no socket; name another file with --uds")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        try:
            other.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):  # it was left behind, or has just gone
            return
        except OSError as error:
            raise _cannot_be_made(path, error) from None
    raise TrainStoreError(f"another program listens on {path}; name another file with --uds")


def _cannot_be_made(path: Path, error: OSError) -> TrainStoreError:
    return TrainStoreError(f"no socket can be made at {path}: {error.strerror or error}")
