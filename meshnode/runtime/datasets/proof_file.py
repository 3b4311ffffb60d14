"""The file that proves one item: the names of its members, for who writes it and who checks it."""

from __future__ import annotations

from typing import Final

VERSION: Final = 1
PROOF: Final = "proof.json"
ITEM: Final = "item.json"
SEGMENT: Final = "segment.parquet"
