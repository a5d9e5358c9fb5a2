"""``python -m trainstore.integrations script.py``: run a script that does not know trainstore, with its name known."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from trainstore.integrations.unchanged import make_known

MODULE = "trainstore.integrations"
USAGE = f"""\
usage: python -m {MODULE} script.py [argument ...]
       python -m {MODULE} -m module [argument ...]

Run a script unchanged, in which report_to="trainstore" (Hugging Face's Trainer) and log_with="trainstore" (Accelerate)
are known. Its runs are recorded in the database that TRAINSTORE_URL names, else in trainstore.db. With several
processes: torchrun --nproc-per-node 2 -m {MODULE} script.py …, or accelerate launch -m {MODULE} script.py …
"""


def main() -> None:
    """Run what the command line names, as ``__main__`` in this process."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="", file=sys.stdout if arguments else sys.stderr)
        sys.exit(0 if arguments else 2)
    is_module = arguments[0] == "-m"
    if arguments[: 1 + is_module] == ["-m"]:
        _refuse("-m needs the name of a module")
    if arguments[0].startswith("-") and not is_module:
        _refuse(f"there is no option {arguments[0]!r}: put the script's options after its name")
    if not is_module and not Path(arguments[0]).is_file():
        _refuse(f"there is no script {arguments[0]!r}")
    make_known()
    sys.argv[:] = arguments[is_module:]
    if is_module:
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


def _refuse(problem: str) -> None:
    print(f"python -m {MODULE}: {problem}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
