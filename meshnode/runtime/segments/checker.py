"""The parent side of the segment check: keeps one limited process warm and believes only its rows.

The rules and limits are `worker`'s; this module starts it, speaks with it over pipes, and
ends it when it hangs, dies or is no longer listened to.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgpack
import trio

import meshnode
from meshnode.core.names import SegmentRef
from meshnode.core.rows import CheckedRow
from meshnode.errors import PeerError, StorageError

FRAME_BYTES_MAX: Final = 16 << 20  # 1 MiB of items, one more of 4 MiB, and their other fields
_FRAME_SECONDS_MAX: Final = 60.0  # between two frames of at most 256 rows
_READ_BYTES: Final = 1 << 16


class SegmentRefusedError(PeerError):
    """The segment's content breaks a rule."""


class CheckEndedError(SegmentRefusedError):
    """The check did not live to its end: it ran into its limits, or somebody ended its process."""


class SegmentChecker:
    """Checks one segment after the other in a limited process.

    The process is either idle or in one check; a check that does not end cleanly ends the process.
    """

    def __init__(self, *, frame_seconds_max: float = _FRAME_SECONDS_MAX) -> None:
        self._frame_seconds_max = frame_seconds_max
        self._turn = trio.Semaphore(1, max_value=1)
        self._worker: _Worker | None = None

    async def __aenter__(self) -> SegmentChecker:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def check(self, path: Path, ref: SegmentRef) -> AsyncGenerator[list[CheckedRow], None]:
        """Yield the rows of the segment at `path`, in batches of about 1 MiB.

        The rows count only once the iterator has ended without an error. Close the iterator
        (`contextlib.aclosing`) when leaving it early.

        Raises:
            SegmentRefusedError: the content breaks a rule of protocol/03-segments.md.
            CheckEndedError: the process ended or fell silent; trying again may succeed.
            StorageError: the file cannot be read.
        """
        if not os.access(path, os.R_OK):
            raise StorageError(f"cannot read the segment {path}")
        async with self._turn:
            worker = await self._idle_worker()
            try:
                await worker.send(_request(path, ref))
                while (rows := await worker.receive()) is not None:
                    yield rows
                self._worker = worker
            finally:
                if self._worker is None:
                    await worker.end()

    async def aclose(self) -> None:
        """End the process."""
        if self._worker is not None:
            worker, self._worker = self._worker, None
            await worker.end()

    async def _idle_worker(self) -> _Worker:
        worker, self._worker = self._worker, None
        if worker is not None and worker.is_alive:
            return worker
        return await _Worker.start(self._frame_seconds_max)


class _Worker:
    """One process and the frames to and from it."""

    def __init__(self, process: trio.Process, frame_seconds_max: float) -> None:
        self._process = process
        self._seconds_max = frame_seconds_max
        self._received = bytearray()

    @classmethod
    async def start(cls, frame_seconds_max: float) -> _Worker:
        """Start the process, with nothing of our environment but what Python needs.

        Raises:
            StorageError: the machine cannot start one more process.
        """
        package_parent = str(Path(meshnode.__file__).parents[1])
        try:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "meshnode.runtime.segments.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"PYTHONPATH": package_parent, "ARROW_DEFAULT_MEMORY_POOL": "system"},
                start_new_session=True,  # a Ctrl-C at the terminal is for us, and we end it
            )
        except OSError as error:
            raise StorageError(f"cannot start the segment check: {error.strerror}") from error
        return cls(process, frame_seconds_max)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    async def send(self, request: dict[str, object]) -> None:
        body = msgpack.packb(request)
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send_all(len(body).to_bytes(4, "big") + body)
        except trio.BrokenResourceError:
            raise CheckEndedError("the segment's check did not begin") from None

    async def receive(self) -> list[CheckedRow] | None:
        """Return the next rows, or None after the last ones.

        Raises:
            SegmentRefusedError: the check says so, died, or was silent for too long.
        """
        with trio.move_on_after(self._seconds_max) as scope:
            frame = await self._frame()
        if scope.cancelled_caught:
            raise CheckEndedError(f"the segment's check was silent for {self._seconds_max} s")
        match frame:
            case ["rows", [*rows]]:
                return [_checked_row(row) for row in rows]
            case ["done"]:
                return None
            case ["refused", str(reason)]:
                raise SegmentRefusedError(f"the segment is refused: {reason}")
            case _:
                raise SegmentRefusedError("the segment's check answered out of turn")

    async def end(self) -> None:
        self._process.kill()
        with trio.CancelScope(shield=True):  # a killed process ends at once
            await self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    await pipe.aclose()

    async def _frame(self) -> object:
        size_bytes = int.from_bytes(await self._take(4), "big")
        if size_bytes > FRAME_BYTES_MAX:
            raise SegmentRefusedError("the segment's check answered too much at once")
        return msgpack.unpackb(await self._take(size_bytes))

    async def _take(self, size_bytes: int) -> bytes:
        assert self._process.stdout is not None
        while len(self._received) < size_bytes:
            chunk = await self._process.stdout.receive_some(_READ_BYTES)
            if not chunk:
                raise CheckEndedError("the segment's check died: it ran into its limits")
            self._received += chunk
        taken = bytes(self._received[:size_bytes])
        del self._received[:size_bytes]
        return taken


def _request(path: Path, ref: SegmentRef) -> dict[str, object]:
    return {
        "path": str(path.resolve()),
        "collection": ref.collection,
        "size_bytes": ref.size_bytes,
        "rows": ref.rows,
        "format": ref.format,
        "clock": ref.clock,
        "bbox": ref.bbox,
        "span": ref.span,
    }


def _checked_row(row: Any) -> CheckedRow:  # noqa: ANN401 - unpacked msgpack
    """Take a row apart: it comes from our own program, which is believed in its shape."""
    item_id, at, start, end, box, clock, item = row
    return CheckedRow(item_id, at, start, end, tuple(box), clock, item)
