"""What a program did to a folder: every system call that changes or syncs it, in order.

The kernel's own account, by strace: nothing of the program is replaced or wrapped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CALLS: Final = (
    "openat,creat,write,pwrite64,writev,pwritev,lseek,ftruncate,truncate,fsync,fdatasync,"
    "rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,"
    "fallocate,copy_file_range,sendfile"
)
# Calls that the peer does not make and the disk could not follow.
_UNKNOWN_CALLS: Final = (
    *("truncate", "fallocate", "copy_file_range", "sendfile"),
    *("link", "linkat", "symlink", "symlinkat"),
)
_SECONDS_MAX: Final = 240.0


# --- What can happen to a disk --------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Make:
    """A new, empty file or folder with these permissions."""

    path: str
    is_folder: bool
    mode: int


@dataclass(frozen=True, slots=True)
class Write:
    path: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """The file has this size now."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Move:
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Remove:
    path: str


@dataclass(frozen=True, slots=True)
class Sync:
    """An fsync has returned: what was done to the path before step `since` is durable."""

    path: str
    since: int


Step = Make | Write | Cut | Move | Remove | Sync


def reason_not_to_record() -> str:
    """Return why this machine cannot record, empty if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else f"strace may not trace: {tried.stderr[:200]!r}"


def record(command: Sequence[str], folder: Path, trace: Path) -> list[Step]:
    """Run a program to its end; return what it did within `folder`, which was empty before."""
    strace = ["strace", "-f", "-y", "-xx", "-s", str(1 << 24), "-e", f"trace={_CALLS}"]
    subprocess.run(
        [*strace, "-o", str(trace), *command],
        check=True,
        timeout=_SECONDS_MAX,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with trace.open(encoding="ascii") as lines:
        return _Reading(str(folder)).steps(_whole_calls(lines))


# --- strace's lines -------------------------------------------------------------------------------
_LINE: Final = re.compile(r"(\d+) +(.*)")
_RESUMED: Final = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_CALL: Final = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FILE: Final = re.compile(r"(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>")
_UNFINISHED: Final = " <unfinished ...>"


def _whole_calls(lines: Iterator[str]) -> Iterator[tuple[str, bool]]:
    """Yield each call twice: where it began (False) and, whole, where it ended (True)."""
    begun: dict[str, str] = {}
    for line in lines:
        if (split := _LINE.match(line)) is None:
            continue
        thread, text = split.groups()
        if text.endswith(_UNFINISHED):
            begun[thread] = text.removesuffix(_UNFINISHED)
            yield text, False
        elif resumed := _RESUMED.match(text):
            yield begun.pop(thread, "") + resumed[1], True
        else:
            yield text, False
            yield text, True


class _Reading:
    """Follows open files' offsets and turns calls into steps."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._steps: list[Step] = []
        self._offsets: dict[tuple[str, str], int] = {}  # by descriptor and path
        self._known: set[str] = set()
        self._syncing: dict[str, int] = {}

    def steps(self, calls: Iterator[tuple[str, bool]]) -> list[Step]:
        for text, is_over in calls:
            if not is_over:
                self._begin(text)
            elif (call := _CALL.match(text)) and int(call[3]) >= 0:
                self._end(call[1], call[2], int(call[3]), text)
        return self._steps

    def _begin(self, text: str) -> None:
        if text.startswith(("fsync(", "fdatasync(")) and (file := _FILE.search(text)):
            self._syncing[_text(file[1])] = len(self._steps)

    def _end(self, name: str, arguments: str, result: int, text: str) -> None:
        paths = [path for path in self._paths(arguments) if path.startswith(self._folder + "/")]
        file = _FILE.match(arguments)
        path = _text(file[1]) if file else ""
        if path in self._known:
            self._change(name, arguments, path, result)
        match name:
            case "openat" | "creat" if paths:
                self._open(paths[0], arguments, str(result))
            case "fsync" | "fdatasync" if path.startswith(self._folder):
                self._steps.append(Sync(path, self._syncing.pop(path)))
            case "mkdir" | "mkdirat" if paths:
                self._steps.append(Make(paths[0], is_folder=True, mode=_mode(arguments)))
            case "rename" | "renameat" | "renameat2" if paths:
                self._move(*paths)
            case "unlink" | "unlinkat" | "rmdir" if paths:
                self._known.discard(paths[0])
                self._steps.append(Remove(paths[0]))
            case _ if name in _UNKNOWN_CALLS and (paths or path in self._known):
                raise NotImplementedError(f"the disk knows no {text[:200]}")

    def _change(self, name: str, arguments: str, path: str, result: int) -> None:
        """Follow a call on an open file of the folder."""
        at = arguments.partition("<")[0], path
        match name:
            case "write" | "writev":
                offset = self._offsets.get(at, 0)
                self._offsets[at] = offset + result
                self._steps.append(Write(path, offset, self._data(arguments, result)))
            case "pwrite64" | "pwritev":
                offset = int(arguments.rpartition(",")[2])
                self._steps.append(Write(path, offset, self._data(arguments, result)))
            case "lseek":
                self._offsets[at] = result
            case "ftruncate":
                self._steps.append(Cut(path, int(arguments.rpartition(",")[2])))
            case _:
                pass  # its end is followed where names are, or it changes nothing

    def _open(self, path: str, arguments: str, descriptor: str) -> None:
        self._offsets[descriptor, path] = 0
        if "O_CREAT" in arguments and path not in self._known:
            self._known.add(path)
            self._steps.append(Make(path, is_folder=False, mode=_mode(arguments)))
        elif "O_TRUNC" in arguments:
            self._steps.append(Cut(path, 0))

    def _move(self, source: str, target: str) -> None:
        moved = {path for path in self._known if path == source or path.startswith(source + "/")}
        self._known = (self._known - moved) | {target + path[len(source) :] for path in moved}
        self._steps.append(Move(source, target))

    def _paths(self, arguments: str) -> Iterator[str]:
        """Yield the paths that a call names, absolute; a folder's descriptor goes before a name."""
        folders = [_text(file) for file in _FILE.findall(arguments)]
        for position, name in enumerate(_TEXT.findall(arguments)):
            folder = folders[min(position, len(folders) - 1)] if folders else "/"
            yield os.path.join(folder, _text(name))

    def _data(self, arguments: str, size: int) -> bytes:
        return b"".join(map(_bytes, _TEXT.findall(arguments)))[:size]


def _mode(arguments: str) -> int:
    return int(arguments.rpartition(",")[2], 8)


def _bytes(shown: str) -> bytes:
    return bytes.fromhex(shown.replace("\\x", ""))


def _text(shown: str) -> str:
    return os.fsdecode(_bytes(shown))
