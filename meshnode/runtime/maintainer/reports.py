"""The report of a run: a line of JSON for each problem of an item, refusals and warnings apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from meshnode.runtime.files import publish_file, refused_by_disk
from meshnode.runtime.maintainer.batches import Finding

Tell = Callable[[Finding], None]


@contextmanager
def reporting(path: Path | None) -> Iterator[Tell]:
    """Give what takes the findings; the file has its name when the block ended, however it did.

    Raises:
        StorageError: it cannot be written.
    """
    if path is None:
        yield lambda finding: None
        return
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:

            def tell(finding: Finding) -> None:
                file.write(f"{_line(finding)}\n")

            try:
                yield tell
            finally:
                file.flush()
                publish_file(temporary, path)
    except OSError as error:
        raise refused_by_disk(f"cannot write {path}", error) from error


def _line(finding: Finding) -> str:
    said = {
        "severity": finding.severity.value,
        "where": finding.where,
        "id": finding.id,
        "reason": finding.reason,
    }
    return json.dumps(said, ensure_ascii=False)
