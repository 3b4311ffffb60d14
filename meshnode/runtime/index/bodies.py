"""The bytes of items in the index: each compressed against the first item of its segment.

The items of a segment resemble each other (zstd with a raw-content dictionary, RFC 8878 section 5).
The first item, or its beginning, is the segment's sample: a zstd frame too.
"""

from __future__ import annotations

from typing import Final

import zstandard

SAMPLE_BYTES_MAX: Final = 64 * 1024  # of the first item; each search of the segment reads it again
ZSTD_LEVEL: Final = 3

BrokenBodyError = zstandard.ZstdError  # a body or a sample that cannot be read


class Bodies:
    """Compresses the items of one segment."""

    def __init__(self) -> None:
        self.sample = b""
        self._zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL)

    def compress(self, item: bytes) -> bytes:
        if not self.sample:
            beginning = item[:SAMPLE_BYTES_MAX]
            self.sample = self._zstd.compress(beginning)
            dictionary = zstandard.ZstdCompressionDict(
                beginning, dict_type=zstandard.DICT_TYPE_RAWCONTENT
            )
            self._zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL, dict_data=dictionary)
        return self._zstd.compress(item)


class Expander:
    """Gives items back, of any segment in turn. One thread uses it at a time.

    A decompressor a segment would cost more to make than the items of a page to read.
    """

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor()

    def beginning(self, sample: bytes) -> bytes:
        """Return the beginning of the item that a segment's bodies are compressed against."""
        return self._zstd.decompress(sample)

    def item(self, sample: bytes, body: bytes) -> bytes:
        """Return an item of the segment with this sample.

        Raises:
            BrokenBodyError: it cannot be read.
        """
        return self._zstd.decompress_content_dict_chain([sample, body])
