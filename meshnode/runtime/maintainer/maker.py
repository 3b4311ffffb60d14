"""A process that makes segments: `python -m meshnode.runtime.maintainer.maker DIRECTORY SCHEMAS`.

Frames on standard input (`frames`): `["add", number, collection, [raw, …]]` puts items into the
segment of that number, `["finish", number, document]` writes it into the directory, and is answered
with `["made", file, problems]`, or with `["usage" or "storage", message, hint]`, which is the last
answer. `SCHEMAS` is a folder of extension schemas, or empty.
"""

from __future__ import annotations

import dataclasses
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from meshnode.errors import StorageError, UsageError
from meshnode.runtime.collector import seldom_collected
from meshnode.runtime.frames import read_frame, write_frame
from meshnode.runtime.segments.extension_schemas import ExtensionSchemas
from meshnode.runtime.segments.making import Made, Making
from meshnode.runtime.segments.validation import check_items


def main(directory: Path, schemas: Path | None) -> None:
    """Answer until standard input ends, or an answer is an error."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    directory.mkdir(parents=True, exist_ok=True)
    check = ExtensionSchemas(schemas).check_items if schemas else check_items
    makings: dict[int, Making] = {}
    answer: list[object] = []
    while answer[:1] in ([], ["made"]) and (message := read_frame(sys.stdin.buffer)):
        answer = []
        try:
            match message:
                case ["add", number, collection, raws]:
                    making = makings.setdefault(number, Making(directory, collection, check))
                    making.add(raws, [None] * len(raws))
                case ["finish", number, document]:
                    answer = _answer(makings.pop(number).finish(document))
                case _:
                    raise AssertionError(f"no such message: {message!r:.80}")
        except (UsageError, StorageError) as error:
            kind = "usage" if isinstance(error, UsageError) else "storage"
            answer = [kind, str(error), error.hint]
        if answer:
            write_frame(sys.stdout.buffer, answer)


def _answer(made: Made) -> list[Any]:
    problems = [
        (number, [(one.severity.value, one.reason) for one in of_item])
        for number, of_item in made.problems.items()
    ]
    return ["made", made.file and dataclasses.astuple(made.file), problems]


if __name__ == "__main__":
    with suppress(BrokenPipeError), seldom_collected():  # the process that asked is gone
        main(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2] else None)
