"""Errors by whose fault they are. The CLI prints the message and the hint, never a traceback.

Anything else that is raised is a bug of this program.
"""

from __future__ import annotations

from collections.abc import Iterator


class MeshnodeError(Exception):
    """An expected failure: `str(error)` says what happened, `hint` what the person should do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class PeerError(MeshnodeError):
    """Another peer (or the file it made) is at fault."""


class StorageError(MeshnodeError):
    """This machine is at fault: disk, permissions, a locked or foreign directory."""


class ConfigError(MeshnodeError):
    """The configuration is at fault."""


class UsageError(MeshnodeError):
    """What the operator asked for cannot be done as asked."""


def first_of(error: BaseException) -> BaseException:
    """Return the error that a person should see: ours first, then an interruption, then any."""
    found = list(_leaves(error))
    for kind in (MeshnodeError, KeyboardInterrupt):
        for leaf in found:
            if isinstance(leaf, kind):
                return leaf
    return found[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error
