"""The fixture of the trainers, for the tests of integrations alone: it needs torch."""

from fixtures.trainers import make_trainer

__all__ = ["make_trainer"]
