"""How long an import and a command take, the interpreter's start included."""

from __future__ import annotations

import re
import subprocess
import sys
import time

from benchmarks.cases import Cases, Figures, Place, check

case = Cases("startup")


def _seconds(*arguments: str) -> tuple[Figures, str]:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True, timeout=60)
    return {"s": time.perf_counter() - began}, done.stdout


@case()
def interpreter(place: Place) -> Figures:
    figures, output = _seconds("-c", "print(1)")
    check("output", output, "1\n")
    return figures


@case()
def import_trainstore(place: Place) -> Figures:
    figures, output = _seconds("-c", "import trainstore; print(trainstore.__name__)")
    check("output", output, "trainstore\n")
    return figures


@case()
def command_help(place: Place) -> Figures:
    figures, output = _seconds("-m", "trainstore", "--help")
    check("its commands", "runs" in output and "show" in output, True)
    return figures


@case(stored="runs")
def command_runs(place: Place) -> Figures:
    figures, output = _seconds("-m", "trainstore", "runs", "--store", place.url)
    shown = re.findall(r"\brun-(\d+)\b", output)
    newest = place.size.runs - 1
    check("the newest 50", shown, [str(number) for number in range(newest, max(newest - 50, -1), -1)])
    return figures
