"""The same workload through other trackers: ``python -m benchmarks.peers --help``.

Each is installed, in its latest release, into an environment of its own below ``--environments``; one that does not
install, or fails, is named in the table. Nobody is pinned to a core: some of them work in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.report import PEERS_HEADING, environment, write_peers
from benchmarks.rounds import ROOT

ADAPTERS = Path(__file__).with_name("adapters.py")
TRAINING = ROOT / "benchmarks" / "training.py"
INSTALL_TIMEOUT, RUN_TIMEOUT = 900, 1800  # seconds


@dataclass
class Peer:
    """A tracker, the package that it comes in, and how much of the workload it gets."""

    name: str
    title: str
    package: str | None  # None: this repository, in this environment
    share: float = 1.0  # of the steps: one that commits each call would take minutes
    trains: bool = False  # the Trainer has a callback for it
    version: str = ""
    problem: str = ""
    rounds: list[dict[str, float]] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)


INTRODUCTION = (
    PEERS_HEADING
    + """
`make bench-peers` sends the same steps of 6 metrics through each tracker's own calls, with everything on one machine:
the time of one call, and the time per step until everything is stored, including the end of the run. Then small runs of
20 hyperparameters and 6 metrics: the time to record one, to read the table of all into a DataFrame, and to find the
best. What was stored is counted. Figures are medians of {rounds} rounds, each in a fresh process;
the runs are recorded in the first round. All cores may be used. An empty cell: the
tracker's Python package has no call for it without a server.

| tracker | steps | one log call | p99 | stored, a step | a run | table of runs | best run |
| --- | --: | --: | --: | --: | --: | --: | --: |"""
)
SHORT = """
Runs of 100 steps, one after the other in one process: the median of 50, from start to finish, by the clock and in
processor time. And the Hugging Face `Trainer` with `logging_steps=1`: what a step costs the process more than without a
tracker, in processor time; the median of {pairs} pairs of trainings of {steps} steps, and the middle half of them.

| tracker | a run of 100 steps | its processor time | a Trainer's step |
| --- | --: | --: | --: |"""

PEERS = [
    Peer("trainstore", "trainstore", None, trains=True),
    Peer("trainstore-wandb", "trainstore through W&B's API", None),
    Peer("trackio", "Trackio", "trackio", trains=True),
    Peer("tensorboard", "TensorBoard", "tensorboard"),
    Peer("mlflow-async", "MLflow, asynchronous", "mlflow"),
    Peer("wandb", "W&B, offline", "wandb"),
    Peer("mlflow", "MLflow", "mlflow", share=0.1),
]


def install(package: str, environments: Path) -> Path:
    """The Python of an environment that has the package; made where there is none yet."""
    folder = environments / package
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT)
        (folder / "done").touch()
    return python


def version_of(python: Path | str, package: str) -> str:
    """The installed release."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def measure(peer: Peer, python: Path | str, steps: int, runs: int) -> None:
    """One round of one tracker, in a process and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="trainstore-bench-", ignore_cleanup_errors=True) as folder:
        done = subprocess.run(
            [python, ADAPTERS, peer.name, folder, str(int(steps * peer.share)), str(runs)],
            cwd=folder,
            env={**os.environ, "HOME": folder},
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT,
        )
    if done.returncode:
        peer.problem = f"failed: {(done.stderr.strip() or 'no message').splitlines()[-1][:100]}"
    else:
        peer.rounds.append(json.loads(done.stdout.splitlines()[-1]))


def measure_training(peer: Peer, python: Path | str, pairs: int, steps: int) -> None:
    """The Trainer with the tracker's callback: our Trainer, and of the tracker's environment only what we lack."""
    site = [] if peer.package is None else [str(next(Path(python).parents[1].glob("lib/python*/site-packages")))]
    with tempfile.TemporaryDirectory(prefix="trainstore-bench-", ignore_cleanup_errors=True) as folder:
        done = subprocess.run(
            [sys.executable, TRAINING, peer.name, folder, str(steps), str(pairs), *site],
            cwd=folder,
            env={**os.environ, "HOME": folder},
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT,
        )
    if done.returncode == 0:
        peer.training = json.loads(done.stdout.splitlines()[-1])
    else:
        print(f"{peer.title}: {done.stderr[-500:]}", file=sys.stderr)


def short_section(peers: list[Peer], pairs: int, steps: int) -> list[str]:
    """The table of short runs and of the Trainer."""
    lines = [SHORT.format(pairs=pairs, steps=steps)]
    for peer in peers:
        first = peer.rounds[0] if peer.rounds else {}
        if "short_ms" not in first and not peer.training:
            continue
        cells = [f"{first[name]:.1f} ms" if name in first else "" for name in ("short_ms", "short_cpu_ms")]
        found = peer.training
        span = "{more_us:.0f} µs ({more_low_us:.0f} to {more_high_us:.0f})".format_map(found) if found else ""
        lines.append(f"| {peer.title} {peer.version} | {' | '.join([*cells, span])} |")
    return lines if len(lines) > 1 else []


def section(peers: list[Peer], rounds: int, pairs: int, steps: int) -> str:
    """The chapter of docs/benchmarks.md."""
    where = environment()
    lines = [INTRODUCTION.format(rounds=rounds)]
    for peer in peers:
        title = f"{peer.title} {peer.version}".strip()
        if peer.problem:
            lines.append(f"| {title} | {peer.problem} | | | | | | |")
            continue
        middle = {name: statistics.median(one[name] for one in peer.rounds if name in one) for name in peer.rounds[0]}
        cells = [f"{middle['steps']:,.0f}", *(_us(middle[name]) for name in ("log_us", "log_p99_us", "stored_us"))]
        if "runs" in middle:
            table = f"{middle['table_ms']:,.0f} ms of {middle['runs']:,.0f}"
            cells += [f"{middle['run_ms']:.1f} ms", table, f"{middle['best_ms']:.1f} ms"]
        else:
            cells += ["", "", ""]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += short_section(peers, pairs, steps)
    lines.append(f"\nMeasured on {where['date']} at {where['commit']}: {where['machine']}.\n")
    return "\n".join(lines)


def _us(value: float) -> str:
    return f"{value:,.0f} µs" if value >= 100 else f"{value:.1f} µs"


def main() -> None:
    """Install, measure in turn, and print the section."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[peer.name for peer in PEERS], help="these trackers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10_000, help="of one run; a tenth of them for MLflow [10000]")
    parser.add_argument("--runs", type=int, default=2_000, help="of the table; 0 for none [2000]")
    parser.add_argument("--pairs", type=int, default=9, help="of trainings; 0 for none [9]")
    parser.add_argument("--training-steps", type=int, default=500, help="of each of them [500]")
    parser.add_argument("--environments", type=Path, default=ROOT / "build" / "peers", help="where each is installed")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every figure there")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write the section into this page")
    options = parser.parse_args()

    peers = [peer for peer in PEERS if options.only is None or peer.name in options.only]
    pythons: dict[str, Path | str] = {}
    for peer in peers:
        try:
            pythons[peer.name] = install(peer.package, options.environments) if peer.package else sys.executable
            peer.version = version_of(pythons[peer.name], peer.package or "trainstore")
        except (subprocess.SubprocessError, OSError) as error:
            peer.problem = f"does not install here ({type(error).__name__})"
    for number in range(options.rounds):
        for peer in peers:
            if not peer.problem:
                # 2,000 runs take an API that commits each call minutes.
                measure(peer, pythons[peer.name], options.steps, options.runs if number == 0 else 0)
                outcome = peer.problem or peer.rounds[-1]
                print(f"round {number + 1}/{options.rounds}  {peer.title}: {outcome}", file=sys.stderr, flush=True)
    for peer in peers:
        if options.pairs and peer.trains and not peer.problem:
            measure_training(peer, pythons[peer.name], options.pairs, options.training_steps)
            print(f"{peer.title}: {peer.training}", file=sys.stderr, flush=True)
    print(text := section(peers, options.rounds, options.pairs, options.training_steps))
    if options.markdown:
        write_peers(options.markdown, text)
    if options.json:
        found = {"environment": environment(), "peers": [asdict(peer) for peer in peers]}
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
