"""A training library's events → ActiveRun: one package for each library, named after it.

``transformers`` records Hugging Face's ``Trainer``. A package holds what only its library needs; no package imports
another.
"""
