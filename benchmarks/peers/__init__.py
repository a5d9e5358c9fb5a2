"""The same workload through other trackers, each in an environment of its own: ``python -m benchmarks.peers``."""
