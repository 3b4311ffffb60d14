"""The Collection documents that a source gives beside its items."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import ValidationError
from stac_pydantic import Collection


@dataclass(slots=True)
class Documents:
    """Invariant: each document is a valid STAC Collection of the id it stands under.

    `problems` says which documents were none: the items are good without them.
    """

    by_id: dict[str, bytes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def take(self, raw: bytes, where: str) -> None:
        try:
            document = Collection.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "document"
            self.problems.append(f"{where}: no valid STAC Collection: {place}: {first['msg']}")
            return
        self.by_id[document.id] = raw
