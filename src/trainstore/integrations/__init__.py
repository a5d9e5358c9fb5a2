"""A training library's events → ActiveRun: one module or package for each library, named after it.

``transformers`` records Hugging Face's ``Trainer``, and every trainer that sends the same events. A module holds what
only its library needs; what adapters share lies beside them, first of all ``recording.py``. ``protocol.py`` has the
names inside each library's trainers.
"""
