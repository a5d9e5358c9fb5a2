"""What recording and reading cost, as ratios to the least that a database could be asked: ``python -m benchmarks``."""
