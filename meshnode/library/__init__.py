"""What programs and notebooks import: a peer's data directory, searched without asking the peer."""

from meshnode.library.catalogue import Catalogue
from meshnode.library.changes import Change, ChangePage
from meshnode.library.search import Facets, Search
from meshnode.library.signed_items import Proof, SignedItem

__all__ = ["Catalogue", "Change", "ChangePage", "Facets", "Proof", "Search", "SignedItem"]
