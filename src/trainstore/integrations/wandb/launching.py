"""``python -m trainstore.integrations.wandb script.py``: a script that imports wandb runs unchanged, and records here.

The folder ``instead`` beside this file holds a package ``wandb`` that is trainstore's module. It is put in front of
``PYTHONPATH``, and Python starts again in the same process, with the script: what the script sees of itself
(``__main__``, ``sys.argv``, ``sys.path``, tracebacks, the exit code) is what plain Python makes of it, and every Python
that it starts, whether by multiprocessing, torchrun or accelerate, inherits the folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

MODULE = "trainstore.integrations.wandb"
FOLDER = Path(__file__).with_name("instead")
USAGE = f"""\
usage: python -m {MODULE} script.py [argument ...]
       python -m {MODULE} -m module [argument ...]

Run a script that imports wandb, unchanged. Its runs are recorded by trainstore, in the database that TRAINSTORE_URL
names (else trainstore.db in the working directory); nothing is sent to W&B. Processes that the script starts record
there too, so that torchrun is: python -m {MODULE} -m torch.distributed.run train.py
"""


def main() -> NoReturn:
    """Become the Python that the command line asks for, with ``wandb`` replaced."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="", file=sys.stdout if arguments else sys.stderr)
        sys.exit(0 if arguments else 2)
    problem = _problem(arguments)
    if problem is not None:
        print(f"python -m {MODULE}: {problem}", file=sys.stderr)
        sys.exit(2)
    put_in_place()
    command = [sys.executable, *_options_of_python(), *arguments]
    sys.stdout.flush()
    if sys.platform == "win32":  # pragma: no cover - there, exec would leave the terminal to the parent
        import subprocess

        sys.exit(subprocess.call(command))
    os.execv(sys.executable, command)


def put_in_place() -> None:
    """From now on every Python that this process starts finds trainstore's module as ``wandb``."""
    before = os.environ.get("PYTHONPATH")
    if not before:
        os.environ["PYTHONPATH"] = str(FOLDER)
    elif before.split(os.pathsep)[0] != str(FOLDER):
        os.environ["PYTHONPATH"] = f"{FOLDER}{os.pathsep}{before}"


def _problem(arguments: list[str]) -> str | None:
    """Why the command line cannot be run; None if it can. A script that is not there is told by Python itself."""
    if sys.flags.ignore_environment:
        return "python -E and -I ignore PYTHONPATH, by which wandb is replaced; leave the option out"
    if os.pathsep in str(FOLDER):
        return f"PYTHONPATH cannot hold {str(FOLDER)!r}, as it contains {os.pathsep!r}; install trainstore elsewhere"
    if arguments[0] == "-m":
        return None if len(arguments) > 1 else "-m needs the name of a module"
    if arguments[0].startswith("-"):
        return (
            f"there is no option {arguments[0]!r}; put Python's options before -m {MODULE}, the script's after its name"
        )
    return None


def _options_of_python() -> list[str]:
    """The options before ``-m``, such as ``-u`` and ``-W error``; none if something else started this module."""
    before = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    if len(before) >= 2 and before[-1] == MODULE and before[-2].startswith("-") and before[-2].endswith("m"):
        joined = before[-2].removesuffix("m")  # of -um, -u stays
        return before[:-2] + ([joined] if joined != "-" else [])
    return []
