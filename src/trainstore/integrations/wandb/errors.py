"""The exceptions that scripts for W&B catch, as errors of ours."""

from __future__ import annotations

from trainstore.errors import InvalidArgumentError, TrainStoreError


class Error(TrainStoreError):
    """``wandb.Error``: base of the errors here."""


class UsageError(Error, InvalidArgumentError):
    """``wandb.UsageError``: an argument that cannot be used; the message names it and the fix."""


class CommError(Error):
    """``wandb.CommError``: never raised, as nothing here talks to a server of W&B's."""


class AuthenticationError(CommError):
    """``wandb.errors.AuthenticationError``: never raised, as there is nobody to log in to."""
