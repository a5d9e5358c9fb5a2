"""Every exception and warning that trainstore raises.

::

    TrainStoreError
    ├── InvalidArgumentError (ValueError)   a value that the caller passed; the message names it and the fix
    │   └── FilterError                     a filter (where="…") that cannot be read; position says where
    ├── StoreURLError (ValueError)          a connection string that names no backend or database we can use
    ├── StoreUnavailableError               the database cannot be reached or opened
    ├── PermissionDeniedError               the database's user lacks a right; the message names it
    ├── StoreClosedError                    the store was closed
    ├── NotADatabaseError                   the file is not an SQLite database
    ├── NetworkFileSystemError              an SQLite file where its locks do not hold
    ├── SchemaError
    │   ├── SchemaOutdatedError             older than this trainstore: run the upgrade
    │   ├── SchemaTooNewError               written by a newer trainstore: upgrade trainstore
    │   ├── SchemaForeignError              a table of one of our names belongs to somebody else
    │   └── SchemaMissingError              no schema, and no right to make one
    ├── RunNotFoundError (LookupError)
    ├── RunNotUniqueError (LookupError)     a name that several runs have, or a name and an id
    ├── ModelNotFoundError (LookupError, TypeError)
    ├── RunActiveError                      deleting or closing a run that is being written
    ├── RunEndedError                       closing a run that has ended
    ├── SourceError                         a source of an import or a merge that cannot be read, or is none
    └── JournalError                        a journal that cannot be read or written

    TrainStoreWarning (UserWarning)
    ├── PendingRecordsWarning               a query answered before every record was stored
    └── UnknownNameWarning                  a query asked for a name that no run has

Nothing here ever holds a password: URLs reach these classes only through ``backends.urls.safe_url``.
"""

from __future__ import annotations


class TrainStoreError(Exception):
    """Base of every error that trainstore raises."""


class InvalidArgumentError(TrainStoreError, ValueError):
    """An argument has a value that cannot be used; the message names the value and the fix."""


class FilterError(InvalidArgumentError):
    """A filter, as in ``where="hp.lr < 1e-3"``, that cannot be read, or that names what the store does not have.

    Attributes:
        text: The filter.
        position: The place in it that the message is about; 0 is its first character.
    """

    def __init__(self, message: str, text: str = "", position: int = 0) -> None:
        super().__init__(message)
        self.text = text
        self.position = position


class StoreURLError(TrainStoreError, ValueError):
    """A connection string that names no backend or no usable database, or whose driver is not installed."""


class StoreUnavailableError(TrainStoreError):
    """The database cannot be reached or opened now."""


class PermissionDeniedError(TrainStoreError):
    """The user of the database lacks a right; the message names the right, and the roles that have it."""


class BackupError(TrainStoreError):
    """No backup was made; the message says why, and what to do or to run instead."""


class ReadOnlyStoreError(TrainStoreError):
    """The store was opened with ``read_only=True``; open it without to record or to change something."""


class StoreClosedError(TrainStoreError):
    """The store was closed; open a new ``TrainStore``."""


class NotADatabaseError(TrainStoreError):
    """The file exists and is not an SQLite database; it is left as it is."""


class NetworkFileSystemError(TrainStoreError):
    """The SQLite file is on a network file system, where locks fail and files get damaged; it can only be read."""


class SchemaError(TrainStoreError):
    """The database's schema does not fit this trainstore. Base of the four cases."""


class SchemaOutdatedError(SchemaError):
    """The schema is older than this trainstore and is not upgraded without being asked for."""


class SchemaTooNewError(SchemaError):
    """The schema was made by a newer trainstore; nothing was changed."""


class SchemaForeignError(SchemaError):
    """A table of one of our names exists and is not ours; nothing was changed."""


class SchemaMissingError(SchemaError):
    """The database has no trainstore schema and this user may not create one."""


class RunNotFoundError(TrainStoreError, LookupError):
    """No run has this uid, id or name."""


class RunNotUniqueError(TrainStoreError, LookupError):
    """Several runs have this name, or digits are one's id and another's name; the message tells them apart."""


class ModelNotFoundError(TrainStoreError, LookupError, TypeError):
    """No model has what was asked for. Also a TypeError: what ScalarStop's callers had to catch here."""


class RunActiveError(TrainStoreError):
    """The run is being written by a live process, and was neither deleted nor closed."""


class CheckpointError(TrainStoreError):
    """A checkpoint of a training cannot be written or read, or does not fit."""


class RunEndedError(TrainStoreError):
    """The run has a final status, which `TrainStore.close_run` does not change."""


class SourceError(TrainStoreError):
    """The source of an import or a merge cannot be read, or is not what was expected; the message says why."""


class JournalError(TrainStoreError):
    """A journal cannot be read or written."""


class TrainStoreWarning(UserWarning):
    """Base of every warning that trainstore issues."""


class PendingRecordsWarning(TrainStoreWarning):
    """A query was answered while records were still waiting to be stored."""


class UnknownNameWarning(TrainStoreWarning):
    """A query asked for a project, run, tag, hyperparameter or metric that the store does not have."""
