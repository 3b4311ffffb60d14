"""Items against the JSON Schemas of their extensions, from a folder of the operator's.

A schema lies under its address without the scheme: `DIR/stac-extensions.github.io/eo/v1.1.0/
schema.json`. Nothing is ever fetched: what a schema refers to lies in the folder too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urldefrag, urlsplit

from meshnode.errors import UsageError
from meshnode.runtime.segments.validation import (
    Checked,
    Problem,
    Severity,
    check_items,
    is_refused,
)

if TYPE_CHECKING:
    from jsonschema_rs import Validator

_REASONS_MAX: Final = 5  # of one schema: more would bury the first ones
_SCHEMAS_MAX: Final = 1000  # of all items: their names come from the items


class ExtensionSchemas:
    """Checks items as `validation.check_items`, then by the schemas at hand. A schema is read once.

    Raises:
        UsageError: no such folder, or the library is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder of schemas", hint="give --schemas DIR")
        try:
            import jsonschema_rs
        except ImportError as error:
            raise UsageError(
                "JSON Schemas need the library jsonschema-rs",
                hint="install it: pip install 'meshnode[schemas]'",
            ) from error
        self._library = jsonschema_rs
        self.folder = folder
        self._validators: dict[str, Validator | None] = {}

    def check_items(self, values: Sequence[dict[str, Any]], collection: str) -> list[Checked]:
        """Check items; a violated schema refuses, a missing one warns.

        Raises:
            UsageError: a schema in the folder is broken, or refers to one that is not there.
        """
        return [
            one if is_refused(one.problems) else replace(one, problems=self._checked(value, one))
            for value, one in zip(values, check_items(values, collection), strict=True)
        ]

    def _checked(self, value: dict[str, Any], checked: Checked) -> list[Problem]:
        found = [
            problem
            for address in value.get("stac_extensions") or ()
            for problem in self._problems(str(address), value)
        ]
        refusals = [problem for problem in found if problem.severity is Severity.REFUSE]
        return refusals or [*checked.problems, *found]

    def _problems(self, address: str, value: dict[str, Any]) -> Iterator[Problem]:
        validator = self._validator(address)
        if validator is None:
            yield Problem(Severity.WARN, f"there is no schema of its extension {address!r:.100}")
            return
        for number, error in enumerate(validator.iter_errors(value)):
            if number == _REASONS_MAX:
                return
            where = ".".join(map(str, error.instance_path)) or "item"
            yield Problem(Severity.REFUSE, f"{where}: {error.message:.200} ({address:.100})")

    def _validator(self, address: str) -> Validator | None:
        if address not in self._validators:
            if len(self._validators) >= _SCHEMAS_MAX:
                return None
            self._validators[address] = self._load(address)
        return self._validators[address]

    def _load(self, address: str) -> Validator | None:
        path = self._path(address)
        if path is None or not path.is_file():
            return None
        try:
            return self._library.validator_for(self._document(path), retriever=self._retrieve)
        except ValueError as error:
            raise UsageError(
                f"the schema {path} cannot be used: {str(error).splitlines()[0]}",
                hint="put what it refers to beside it; nothing is fetched",
            ) from error

    def _retrieve(self, address: str) -> Any:  # noqa: ANN401 - JSON
        path = self._path(address)
        if path is None or not path.is_file():
            raise ValueError(f"{address} is not in {self.folder}")
        return self._document(path)

    def _document(self, path: Path) -> Any:  # noqa: ANN401 - JSON
        try:
            return json.loads(path.read_bytes())
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error

    def _path(self, address: str) -> Path | None:
        """Return where the schema of an address lies; None for one that could lead elsewhere."""
        parts = urlsplit(urldefrag(address).url)
        inside = PurePosixPath(parts.netloc, parts.path.lstrip("/"))
        if not parts.netloc or "\0" in address or ".." in inside.parts:
            return None
        return self.folder / inside
