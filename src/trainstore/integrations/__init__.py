"""A training library's events → ActiveRun: one public module for each library, named after it.

A module here knows the facade and its library, and nothing else of trainstore's inside. Of ``transformers``::

    transformers.py       the callback: one method for each event
    _training.py          one training under way; _train.py: the end of train() itself; _outside.py: before and after it
    _runs.py              which run a training belongs to; _checkpoint.py: as a checkpoint says; _ranks.py: to all ranks
    _steps.py, _loss.py   the steps' rows; where their losses come from
    _watch.py             what a trainer's methods tell; _wrappers.py: how they are replaced for a while
    _facts.py             what is known at the beginning; _datasets.py, _parameters.py: of the data, of the model's size
    _incomplete.py        what could not be read; _foreign.py: what another library's events lack
"""
