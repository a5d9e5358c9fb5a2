"""A training library's events → ActiveRun: one package for each library, named after it.

``transformers`` is Hugging Face's ``Trainer``. What is in a package is that library's alone; others stand beside it.
A package here knows the facade and its library, and nothing else of trainstore's inside.
"""
