"""A training library's events → ActiveRun: one module for each library, named after it.

A module here knows the facade and its library, and nothing else of trainstore's inside.
"""
