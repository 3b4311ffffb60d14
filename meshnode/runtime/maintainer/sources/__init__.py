"""Where items come from: files, folders, static catalogues and STAC APIs.

Only the command line reads them, as the maintainer. What an item or a catalogue names is fetched
only if it lies within the source that the operator named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshnode.runtime.maintainer.sources.documents import Documents
from meshnode.runtime.segments.items import ItemText, RefusedItem

Given = ItemText | RefusedItem


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source gives. `items` is read once; `documents` fills while it is.

    A `RefusedItem` stands also for a part of the source that cannot be read: what it holds is not
    known then.
    """

    items: Iterator[Given]
    documents: Documents
