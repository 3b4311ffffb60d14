"""Where an export is written: whole or not at all, and never over what somebody has there.

It is made in a folder of its own beside the destination and renamed at the end. What a killed run
left behind is removed by the next one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from meshnode.control import Message
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.files import refused_by_disk, sync_directory

SUMMARY: Final = "export.json"  # marks a folder as an export, which --force may replace

_MADE: Final = ".part"  # .NAME.PID.part is being made
_FORMER: Final = ".old"  # .NAME.PID.old gives way to it


@contextmanager
def replacing(to: Path, *, is_folder: bool, force: bool) -> Iterator[Path]:
    """Give a folder to write in. At the end the folder becomes `to`, or its files lie beside `to`.

    Files have the name of `to`, and of its parts: `a.2.parquet` is the second of `a.parquet`.

    Raises:
        UsageError: something is there and `force` is false, or `to` is a folder that is no export.
        StorageError: the disk refuses; what was there before is unchanged.
    """
    to = Path(os.path.abspath(to))
    try:
        _clear_away(to)
        _refuse_existing(to, is_folder=is_folder, force=force)
        made = to.with_name(f".{to.name}.{os.getpid()}{_MADE}")
        made.mkdir()
        try:
            yield made
            os.sync()  # thousands of small files: once for all of them
            (_publish_folder if is_folder else _publish_files)(made, to)
            sync_directory(to.parent)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise refused_by_disk(f"cannot write {to}", error) from error


def write_summary(path: Path, said: Message) -> None:
    """Say in the folder which collections it holds, and in which files."""
    path.write_text(json.dumps(said, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def parts_of(to: Path) -> list[Path]:
    """Return the file and its further parts that are there, in order."""
    named = re.compile(rf"{re.escape(to.stem)}(\.[1-9]\d*)?{re.escape(to.suffix)}")
    found = (path for path in to.parent.glob("*") if named.fullmatch(path.name))
    return sorted(found, key=lambda path: (len(path.name), path.name))


def _refuse_existing(to: Path, *, is_folder: bool, force: bool) -> None:
    again = "--force writes it anew; or name another place with --to"
    if not is_folder:
        if to.is_dir():
            raise UsageError(f"{to} is a folder", hint="name a file with --to")
        if to.exists() and not force:
            raise UsageError(f"{to} is there already", hint=again)
        return
    if not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return
    if not (to / SUMMARY).is_file():
        raise UsageError(f"{to} holds something else than an export", hint="name a new folder")
    if not force:
        raise UsageError(f"{to} is there already", hint=again)


def _publish_files(made: Path, to: Path) -> None:
    names = {path.name for path in made.iterdir()}
    for path in parts_of(to):
        if path.name not in names:
            path.unlink()  # a further part of a larger export
    for path in made.iterdir():
        path.replace(to.with_name(path.name))


def _publish_folder(made: Path, to: Path) -> None:
    former = to.with_name(f".{to.name}.{os.getpid()}{_FORMER}")
    if to.exists():
        to.rename(former)
    made.rename(to)
    shutil.rmtree(former, ignore_errors=True)


def _clear_away(to: Path) -> None:
    """Remove what a run left that was killed; what it was about to replace is put back."""
    if not to.parent.is_dir():
        raise StorageError(f"there is no folder {to.parent}", hint="make it, or name another place")
    named = re.compile(rf"\.{re.escape(to.name)}\.(?P<pid>\d+)({_MADE}|{_FORMER})")
    for path in to.parent.glob(f".*{_FORMER}"):
        if _is_left(named, path) and not to.exists():
            path.rename(to)
    for pattern in (f".*{_MADE}", f".*{_FORMER}"):
        for path in to.parent.glob(pattern):
            if _is_left(named, path):
                shutil.rmtree(path, ignore_errors=True)


def _is_left(named: re.Pattern[str], path: Path) -> bool:
    found = named.fullmatch(path.name)
    if found is None or not path.is_dir():
        return False
    with suppress(PermissionError):  # somebody else's process runs under that number
        try:
            os.kill(int(found["pid"]), 0)
        except (ProcessLookupError, OverflowError):
            return True
    return False
