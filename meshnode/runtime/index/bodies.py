"""The bytes of items in the index: each compressed against the first item of its segment.

The items of a segment resemble each other (zstd with a raw-content dictionary, RFC 8878 section 5).
"""

from __future__ import annotations

from typing import Final

import zstandard

SAMPLE_BYTES_MAX: Final = 64 * 1024  # of the first item; each search of the segment reads it again
ZSTD_LEVEL: Final = 3


class Bodies:
    """Compresses the items of one segment."""

    def __init__(self) -> None:
        self.sample = b""
        self._zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL)

    def compress(self, item: bytes) -> bytes:
        if not self.sample:
            self.sample = item[:SAMPLE_BYTES_MAX]
            dictionary = _dictionary(self.sample)
            self._zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL, dict_data=dictionary)
        return self._zstd.compress(item)


def decompressor(sample: bytes) -> zstandard.ZstdDecompressor:
    """Return what reads the bodies of the segment with this sample."""
    return zstandard.ZstdDecompressor(dict_data=_dictionary(sample))


def _dictionary(sample: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(sample, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
