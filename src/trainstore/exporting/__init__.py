"""Runs as files, for ``trainstore export`` and the dashboard.

``tables`` makes columns and rows of a store, ``formats`` says how csv, jsonl and parquet write each value, ``writers``
writes them, ``jsonable`` makes JSON of values.
"""
