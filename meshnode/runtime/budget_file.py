"""The operator's budgets of single catalogues, kept across restarts: `budgets.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from meshnode.config import CatalogueSettings
from meshnode.core.budgets import Budgets
from meshnode.core.identifiers import CatalogueId, catalogue_text, parse_catalogue
from meshnode.runtime.files import read_kept, write_durably


def budgets_of(path: Path, settings: CatalogueSettings) -> Budgets:
    """Return what is in force at a start; a setting of 0 is no limit. Raises StorageError."""
    each, total = settings.budget_bytes or None, settings.total_budget_bytes or None
    return Budgets(each, total, read_budgets(path))


def read_budgets(path: Path) -> dict[CatalogueId, int]:
    """Return the budgets in bytes. Raises StorageError."""
    again = "remove it, and set the budgets again: follow --budget"
    return read_kept(path, _parsed, {}, again)


def write_budgets(path: Path, budgets: Mapping[CatalogueId, int]) -> None:
    """Replace the file. Raises StorageError."""
    said = {catalogue_text(name): size_bytes for name, size_bytes in budgets.items()}
    write_durably(path, json.dumps(said, indent=1).encode())


def _parsed(raw: bytes) -> dict[CatalogueId, int]:
    said = json.loads(raw)
    return {parse_catalogue(name): int(size_bytes) for name, size_bytes in said.items()}
