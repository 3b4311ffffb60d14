"""The operator's budgets of single catalogues, kept across restarts: `budgets.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from meshnode.config import CatalogueSettings
from meshnode.core.budgets import Budgets
from meshnode.core.identifiers import CatalogueId, catalogue_text, parse_catalogue
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.files import refused_by_disk, write_durably


def budgets_of(path: Path, settings: CatalogueSettings) -> Budgets:
    """Return what is in force at a start; a setting of 0 is no limit. Raises StorageError."""
    each, total = settings.budget_bytes or None, settings.total_budget_bytes or None
    return Budgets(each, total, read_budgets(path))


def read_budgets(path: Path) -> dict[CatalogueId, int]:
    """Return the budgets in bytes. Raises StorageError."""
    try:
        said = json.loads(path.read_bytes())
        return {parse_catalogue(name): int(size_bytes) for name, size_bytes in said.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise refused_by_disk(f"cannot read {path}", error) from error
    except (ValueError, TypeError, AttributeError, UsageError) as error:
        raise StorageError(
            f"{path} is damaged", hint="remove it, and set the budgets again: follow --budget"
        ) from error


def write_budgets(path: Path, budgets: Mapping[CatalogueId, int]) -> None:
    """Replace the file. Raises StorageError."""
    said = {catalogue_text(name): size_bytes for name, size_bytes in budgets.items()}
    write_durably(path, json.dumps(said, indent=1).encode())
