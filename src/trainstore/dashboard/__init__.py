"""What pages of a browser show of a store: tables, runs, and curves in buckets, kept in memory, sent as binary frames.

`answers.Answers` has every answer of the API as Python values. The server (app.py) and reports (report.py) call it::

    answers = Answers(store)                     # a TrainStore, read_only=True; any thread may call
    answers.meta()                               # dict
    answers.version()                            # str: changes whenever the table may; ETag of runs and columns
    answers.columns(project=None, q=None)        # dict
    answers.runs(project=None, q=None, columns=[], sort=[], offset=0, limit=None, only=None)   # dict, with version
    answers.run(uid)                             # dict; RunNotFoundError
    answers.series(runs, metrics, x="step", lo=None, hi=None, points=400, attempts="current", exact=False)
                                                 # list[wire.Curve] → wire.to_frame(curves) or wire.to_json(curves)
    answers.group(metric, by=[], q=None, project=None, groups=None, x="step", lo=None, hi=None, points=400, band="std")
    answers.compare(runs, everything=False)      # dict, column-wise like runs
    answers.samples(runs, name=None)             # dict, column-wise like runs
    answers.export(runs, format="csv", table="steps")     # Iterator[bytes]
    answers.health()                             # dict
    answers.cache                                # columns.Columns: the runs in memory; .get(uid) reads what is new

Dicts hold only what JSON holds. What cannot be answered raises `InvalidArgumentError` (of it `FilterError`, with
``position``, and `limits.LimitError`, for more than `limits.LIMITS` allow) or `RunNotFoundError`.
"""
