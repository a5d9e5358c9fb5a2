"""A training library's events → ActiveRun: one package for each library, named after it.

``transformers`` records Hugging Face's ``Trainer``, and every trainer that sends the same events. A package holds what
only its library needs; no package imports another. ``protocol.py`` has the names inside each library's trainers.
"""
