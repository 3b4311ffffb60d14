"""Processes that make segments, beside the one that reads the source.

A few items are made into segments in this process: to start another one would take longer. Of a
large source each segment goes to one of a few warm processes, in turn. A process is told what to do
on its standard input and answers on its standard output (`maker`); it ends when its input does, so
it never outlives this one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

import meshnode
from meshnode.core.identifiers import Digest
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.frames import read_frame, write_frame
from meshnode.runtime.segments.extension_schemas import ExtensionSchemas
from meshnode.runtime.segments.making import Made, Making
from meshnode.runtime.segments.segment import SegmentFile
from meshnode.runtime.segments.validation import Problem, Severity, check_items

PROCESSES_MAX: Final = 4  # one that reads keeps about so many busy; each holds a segment or two

Values = Sequence[dict[str, Any] | None]


class Maker(Protocol):
    """Makes one segment, here or elsewhere. Calls may wait until there is room."""

    def add(self, raws: Sequence[bytes], values: Values) -> None: ...
    def finish(self, document: bytes) -> None: ...
    def made(self, *, wait: bool) -> Made | None:
        """Return what was made after `finish`; None if that is not known yet."""


class Makers:
    """Gives out makers. Use as a context manager: processes end with the block."""

    def __init__(self, directory: Path, schemas: ExtensionSchemas | None) -> None:
        self._directory = directory.resolve()
        self._schemas = schemas
        self._processes: list[_Process] = []
        self._turn = 0

    def __enter__(self) -> Makers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.end()

    def maker(self, collection: str, *, is_large: bool) -> Maker:
        """Return one for a segment of a collection; one that gets many items is `is_large`.

        Raises:
            StorageError: the machine cannot start one more process.
        """
        if not is_large and not self._processes:
            check = self._schemas.check_items if self._schemas else check_items
            return _Here(Making(self._directory, collection, check))
        number, self._turn = self._turn, self._turn + 1
        place = number % min(PROCESSES_MAX, len(os.sched_getaffinity(0)))
        if place == len(self._processes):
            self._processes.append(_Process(self._directory, self._schemas))
        return _There(self._processes[place], number, collection)


@dataclass(slots=True)
class _Here:
    """Makes a segment in this process."""

    making: Making
    result: Made | None = None

    def add(self, raws: Sequence[bytes], values: Values) -> None:
        self.making.add(raws, values)

    def finish(self, document: bytes) -> None:
        self.result = self.making.finish(document)

    def made(self, *, wait: bool) -> Made | None:
        return self.result


@dataclass(slots=True)
class _There:
    """Makes a segment in another process."""

    process: _Process
    number: int
    collection: str
    result: Made | None = None

    def add(self, raws: Sequence[bytes], values: Values) -> None:
        self.process.say(["add", self.number, self.collection, raws])

    def finish(self, document: bytes) -> None:
        self.process.say(["finish", self.number, document], self)

    def made(self, *, wait: bool) -> Made | None:
        if wait:
            self.process.settle()
        return self.result


@dataclass(slots=True)
class _Process:
    """One process. Invariant: at most one answer is owed, and nothing is said before it is here.

    Otherwise both could wait for each other, each with a full pipe before it.
    """

    staging: Path
    schemas: ExtensionSchemas | None
    _child: subprocess.Popen[bytes] = field(init=False)
    _owed_to: _There | None = None

    def __post_init__(self) -> None:
        folder = str(self.schemas.folder.resolve()) if self.schemas else ""
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "meshnode.runtime.maintainer.maker", self.staging, folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
                env=os.environ | {"PYTHONPATH": _python_path()},
                start_new_session=True,  # a Ctrl-C at the terminal is for us, and we end it
            )
        except OSError as error:
            raise StorageError(
                f"cannot start a process that makes segments: {error.strerror}"
            ) from error

    def say(self, message: object, answers: _There | None = None) -> None:
        self.settle()
        assert self._child.stdin is not None
        try:
            write_frame(self._child.stdin, message)
        except BrokenPipeError:
            self._answer()  # it ended before its time, and says why
            raise self._died() from None
        self._owed_to = answers

    def settle(self) -> None:
        """Wait for the answer that is owed, if one is.

        Raises:
            UsageError, StorageError: making the segment ended with it.
        """
        if self._owed_to is not None:
            there, self._owed_to = self._owed_to, None
            there.result = self._answer()

    def _answer(self) -> Made:
        assert self._child.stdout is not None
        match read_frame(self._child.stdout):
            case ["made", file, problems]:
                return _made(file, problems)
            case ["usage", str(message), str(hint)]:
                raise UsageError(message, hint=hint)
            case ["storage", str(message), str(hint)]:
                raise StorageError(message, hint=hint)
            case _:
                raise self._died()

    def end(self) -> None:
        self._child.kill()
        self._child.communicate()

    def _died(self) -> StorageError:
        status = self._child.wait()
        return StorageError(
            f"a process that makes segments ended with status {status}; nothing is published",
            hint="run it again; if it ran out of memory, give fewer items at a time",
        )


def _python_path() -> str:
    """Return where modules are found, ours first: the process starts in another directory."""
    own = str(Path(meshnode.__file__).parents[1])
    return os.pathsep.join([own, *filter(None, [os.environ.get("PYTHONPATH")])])


def _made(file: Any, problems: Any) -> Made:  # noqa: ANN401 - unpacked msgpack
    found = {
        number: [Problem(Severity(severity), reason) for severity, reason in of_item]
        for number, of_item in problems
    }
    if file is None:
        return Made(None, found)
    digest, size_bytes, rows, bbox, span, format_ = file
    return Made(
        SegmentFile(Digest(digest), size_bytes, rows, tuple(bbox), tuple(span), format_), found
    )
