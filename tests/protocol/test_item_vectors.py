"""The segment's projection, as the reference peer has it, against `items.json`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshnode.errors import PeerError
from meshnode.runtime.segments.json_text import parse_object
from meshnode.runtime.segments.projection import Extent, Projection, project
from tests.protocol.generate_vectors import VECTORS

ITEMS: dict[str, Any] = json.loads((VECTORS / "items.json").read_text("utf-8"))


def _named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


@pytest.mark.parametrize("vector", ITEMS["valid"], ids=_named)
def test_s_40_to_s_44_an_item_is_projected(vector: dict[str, Any]) -> None:
    found = project(parse_object(vector["item"].encode()), ITEMS["collection"])
    times = {"datetime": found.datetime_us, "start": found.start_us, "end": found.end_us}
    assert times == vector["microseconds"]
    assert list(found.box) == vector["box"]


@pytest.mark.parametrize("vector", ITEMS["invalid"], ids=_named)
def test_an_item_that_breaks_a_rule_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(PeerError):
        project(parse_object(vector["item"].encode()), ITEMS["collection"])


@pytest.mark.parametrize("vector", ITEMS["entry_bbox"], ids=_named)
def test_s_52_the_entry_covers_every_box(vector: dict[str, Any]) -> None:
    extent = Extent()
    for west, south, east, north in vector["boxes"]:
        extent.add(Projection("tile", 0, None, None, (west, south, east, north)))
    assert list(extent.bbox_e7) == vector["bbox"]


def test_s_53_the_span_is_in_whole_seconds_rounded_down() -> None:
    extent = Extent()
    extent.add(Projection("tile", -500_000, None, None, (0.0, 0.0, 0.0, 0.0)))
    extent.add(Projection("later", None, 1_000_000, 2_999_999, (0.0, 0.0, 0.0, 0.0)))
    assert extent.span_s == (-1, 2)
