"""Columns of Parquet files, made from bare buffers.

`pyarrow.array` asks of every list whether it is one of pandas, and loads pandas to ask: half of
what writing costs. Owns nothing of what the columns mean.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def floats(values: Sequence[float]) -> pa.Array:
    """Return a column of float64."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.float64(), len(values), [None, _buffer(array("d", values))])


def strings(values: Sequence[str]) -> pa.Array:
    """Return a column of text; its UTF-8 must be less than 2 GiB."""
    import pyarrow as pa

    raws = [value.encode() for value in values]
    ends = array("i", accumulate(map(len, raws), initial=0))
    return pa.Array.from_buffers(
        pa.string(), len(raws), [None, _buffer(ends), _buffer(b"".join(raws))]
    )


def _buffer(values: array[Any] | bytes) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(values)
