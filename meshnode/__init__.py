"""A peer of a federation of open-data catalogues: signed, searchable, without a centre."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshnode.library import Catalogue

__all__ = ["Catalogue", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the library when it is first named: `import meshnode` alone loads none of it."""
    if name == "Catalogue":
        from meshnode.library import Catalogue

        return Catalogue
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
