"""The mapping file: how a row of an inventory, or a file of a folder, becomes an item.

Texts in it are templates: `{column}` stands for the row's value, `{file.name}`, `{file.stem}` and
`{file.extension}` for what its URL says, `{d4c.dguid}` and the like for the parts of a name by the
convention of Data for Canada. A member whose template has a value that the row lacks is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Values
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from meshnode.errors import UsageError
from meshnode.runtime.maintainer.toml_files import Strict, read_toml

_PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")


class Columns(Strict):
    """What the columns of the inventory are called; those that are not there are not used."""

    url: str = "url"
    size: str = "size"
    etag: str = "etag"
    sha256: str = "sha256"
    updated: str = "updated"


class ItemPart(Strict):
    """`geometry`: the column with the geometry; without it the files are asked.

    `crs` says what its coordinates are, where the inventory does not (longitude and latitude).
    """

    id: str = "{file.stem}"
    geometry: str | None = None
    crs: str | None = None
    datetime: str | None = None


class AssetPart(Strict):
    href: str
    title: str | None = None
    type: str | None = None
    roles: list[str] | None = None


class Mapping(Strict):
    """`base` comes before relative URLs, and before the paths of a folder."""

    collection: str
    names: Literal["any", "d4c"] = "any"
    base: str | None = None
    columns: Columns = Field(default_factory=Columns)
    item: ItemPart = Field(default_factory=ItemPart)
    properties: dict[str, Any] = Field(default_factory=dict)
    assets: dict[str, AssetPart] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _agrees(self) -> Mapping:
        if self.base is not None and not self.base.startswith(("http://", "https://")):
            raise ValueError("base is not an http or https address")
        if self.item.crs and not self.item.geometry:
            raise ValueError("item.crs is said without item.geometry")
        return self


def read_mapping(path: Path) -> Mapping:
    """Read a mapping file.

    Raises:
        UsageError: it cannot be read, is no TOML, or says something that is not known.
    """
    return read_toml(path, Mapping, "docs/inventory.md")


def filled(template: Any, values: Values[str, Any]) -> Any:  # noqa: ANN401 - TOML
    """Return a template with its placeholders filled, at every depth; None if a value is missing.

    A template that is one placeholder takes the value as it is, a number as a number.

    Raises:
        UsageError: it names something that no row of this inventory has.
    """
    match template:
        case str():
            return _filled_text(template, values)
        case list():
            return [filled(each, values) for each in template]
        case dict():
            found = {name: filled(each, values) for name, each in template.items()}
            return {name: each for name, each in found.items() if each is not None}
        case _:
            return template


def _filled_text(template: str, values: Values[str, Any]) -> Any:  # noqa: ANN401 - a column's value
    names = _PLACEHOLDER.findall(template)
    for name in names:
        if name not in values:
            raise UsageError(
                f"the mapping names {{{name}}}, which is not there",
                hint=f"there is {', '.join(values)}"[:300],
            )
        if values[name] in (None, ""):
            return None
    if _PLACEHOLDER.fullmatch(template):
        return values[names[0]]
    return _PLACEHOLDER.sub(lambda found: str(values[found[1]]), template)
