"""File names by the convention of Data for Canada: what they say, and what is wrong with them.

    [region]_[source]-[DGUID]_[package]_[date]_[variant]_[version].[extension]

The DGUID, the variant and the version may be missing. Names in use stray from the convention in
known ways (an underscore before the DGUID or within the source, a day as the version): those are
warnings. A name whose parts cannot be told apart is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from meshnode.errors import UsageError
from meshnode.runtime.index.dguids import PATTERN, Dguid, parse_dguid
from meshnode.runtime.maintainer.inventories.dates import DATE, Span, span_of
from meshnode.runtime.segments.items import ItemText
from meshnode.runtime.segments.validation import Problem, Severity

SYNTAX: Final = "[region]_[source]-[DGUID]_[package]_[date]_[variant]_[version].[extension]"
PACKAGE_PREFIX: Final = "d4c-datapkg-"

_EXTENSION: Final = re.compile(
    r"((?:\.[A-Za-z][A-Za-z0-9]{0,15})?\.(?:gz|zst|xz|zip|torrent)|\.[A-Za-z][A-Za-z0-9]{0,15})$"
)
_REGION: Final = re.compile(r"[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?")
_VERSION: Final = re.compile(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
_WITH_DGUID: Final = re.compile(rf"(?P<source>.+?)(?P<mark>[-_])(?P<dguid>{PATTERN})_(?P<rest>.+)")
_PROJECTION: Final = re.compile(r"(epsg|nad|wgs|utm|srid)[-:]?\d+", re.IGNORECASE)
_CHARACTERS: Final = re.compile(r"[A-Za-z0-9._:+-]+")


class UnfitNameError(UsageError):
    """A name whose parts cannot be told apart."""


@dataclass(frozen=True, slots=True)
class FileName:
    """The parts of a name, as they stand in it; those that it does not have are None."""

    region: str
    source: str
    dguid: Dguid | None
    package: str
    date: str
    variant: str | None
    version: str | None
    extension: str

    @property
    def span(self) -> Span:
        """The first and the last second (UTC) of the date, which is as exact as it is written."""
        return span_of(self.date)

    def parts(self) -> dict[str, str]:
        """Return the parts that the name has, by their names."""
        found = {
            "region": self.region,
            "source": self.source,
            "dguid": self.dguid.text if self.dguid else None,
            "package": self.package,
            "date": self.date,
            "variant": self.variant,
            "version": self.version,
            "extension": self.extension,
        }
        return {name: part for name, part in found.items() if part is not None}


def parse_name(name: str) -> FileName:
    """Tell the parts of a file name apart.

    The first date after the source ends the package. Of what follows it, a version or a second date
    at the end is the version.

    Raises:
        UnfitNameError: it has no region, source, package, date or extension.
    """
    if not _CHARACTERS.fullmatch(name.replace("_", "-")):
        raise UnfitNameError("it has characters other than letters, digits and - _ . : +")
    stem, extension = split_name(name)
    if not extension:
        raise UnfitNameError("it has no extension")
    region, _, rest = stem.partition("_")
    if not _REGION.fullmatch(region):
        raise UnfitNameError(f"{region!r} at its start is no region, such as ca or ca-yt")
    source, dguid, rest = _source(rest)
    package, date, after = _around_date(rest)
    variant, version = _variant_and_version(after)
    parsed = FileName(region, source, dguid, package, date, variant, version, extension)
    try:
        _ = parsed.span
    except ValueError as error:
        raise UnfitNameError(f"{date!r} is no date: {error}") from error
    return parsed


def split_name(name: str) -> tuple[str, str]:
    """Return a file's name without its extension, and the extension, such as tif or csv.gz."""
    ending = _EXTENSION.search(name)
    if ending is None:
        return name, ""
    return name[: ending.start()], ending[0].removeprefix(".")


def lint(name: str) -> list[Problem]:
    """Return what is wrong with a file name, refusals first; an empty list for a good one."""
    try:
        parsed = parse_name(name)
    except UnfitNameError as error:
        return [Problem(Severity.REFUSE, str(error))]
    return [Problem(Severity.WARN, reason) for reason in _doubts(name, parsed)]


def doubts(item: ItemText) -> list[Problem]:
    """Return the warnings about the file names of an item's assets, each once."""
    assets = item.value.get("assets") or {}
    names = (asset["href"].rpartition("/")[2] for asset in assets.values())
    found = dict.fromkeys(problem for name in names for problem in lint(unquote(name)))
    return [each for each in found if each.severity is Severity.WARN]


def _source(rest: str) -> tuple[str, Dguid | None, str]:
    """Return the source, the DGUID, and what follows them."""
    if found := _WITH_DGUID.fullmatch(rest):
        return found["source"], parse_dguid(found["dguid"]), found["rest"]
    source, _, rest = rest.partition("_")
    if not source or not rest:
        raise UnfitNameError("it has no source and package after its region")
    return source, None, rest


def _around_date(rest: str) -> tuple[str, str, list[str]]:
    """Return the package, the date, and the parts after it."""
    parts = rest.split("_")
    for place, part in enumerate(parts):
        if DATE.fullmatch(part):
            package = "_".join(parts[:place])
            if not package:
                raise UnfitNameError(f"it has no package before its date {part}")
            return package, part, parts[place + 1 :]
    raise UnfitNameError("it has no date, such as 2023, 2023-06 or 2023-06-01")


def _variant_and_version(parts: list[str]) -> tuple[str | None, str | None]:
    version = None
    if parts and (_VERSION.fullmatch(parts[-1]) or DATE.fullmatch(parts[-1])):
        version = parts.pop()
    return "_".join(parts) or None, version


def _doubts(name: str, parsed: FileName) -> list[str]:
    doubts = []
    dguid = parsed.dguid.text if parsed.dguid else ""
    plain = name.replace(dguid, "") if dguid else name
    plain = plain.replace(parsed.date, "").removesuffix(parsed.extension)
    if plain != plain.lower():
        doubts.append("only the letter of a DGUID is a capital")
    if "_" in parsed.source:
        doubts.append(f"its source {parsed.source!r} has an underscore: write a hyphen")
    if parsed.dguid:
        doubts += parsed.dguid.problems()
        if f"_{dguid}_" in name:
            doubts.append("an underscore stands before its DGUID: write a hyphen")
    if not parsed.package.startswith(PACKAGE_PREFIX):
        doubts.append(f"its package {parsed.package!r} does not begin with {PACKAGE_PREFIX}")
    if parsed.variant and (found := _PROJECTION.search(parsed.variant)):
        doubts.append(f"its variant names a projection, {found[0]}: the file says that itself")
    if parsed.version and not _VERSION.fullmatch(parsed.version):
        doubts.append(f"its version {parsed.version!r} is a date: write v1.0.0")
    return doubts
