"""What every SQLite file of a peer needs: whole transactions, errors that say whose fault it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from meshnode.errors import StorageError
from meshnode.runtime.files import refused_by_disk


@contextmanager
def transaction(database: apsw.Connection) -> Iterator[apsw.Connection]:
    """Do all of the block or nothing.

    A connection used as a context manager does not do: on a full disk SQLite rolls back by itself
    (sqlite.org/lang_transaction.html), and leaving the block then raises another error.
    """
    database.execute("BEGIN")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


@contextmanager
def storage_errors(doing: str, *, if_damaged: str) -> Iterator[None]:
    """Turn what the disk or SQLite says into a StorageError; a programmer's mistake stays one."""
    try:
        yield
    except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.CantOpenError) as error:
        raise StorageError(f"{doing}: {error}", hint="free disk space or check the disk") from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise StorageError(f"{doing}: {error}", hint=if_damaged) from error
    except OSError as error:
        raise refused_by_disk(doing, error) from error
