"""Targets of what people ask: searches over an index with items in it."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from pydantic import ValidationError

from meshnode.core.identifiers import CatalogueId
from meshnode.core.rows import CheckedRow
from meshnode.errors import UsageError
from meshnode.runtime.index import words
from meshnode.runtime.index.cql2.checking import parse_filter
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.reader import Budget
from meshnode.runtime.operator.search_arguments import Search
from meshnode.runtime.segments.projection import project
from tests.fuzz.target import Target
from tests.runtime.stac_samples import COLLECTION, TOWNS, ref_of, segment

BUDGET = Budget(cpu_seconds=30.0)  # hostile items are another target: ours take milliseconds
SQUARE = {"type": "Polygon", "coordinates": [[[-80, 40], [-70, 40], [-70, 50], [-80, 40]]]}
TEXTS = (
    b"title LIKE 'Town%' AND datetime > TIMESTAMP('2020-01-01T00:00:00Z') OR NOT id = 'o''ne'",
    b"S_INTERSECTS(geometry, POLYGON((-80 40, -70 40, -70 50, -80 40))) AND gsd IS NULL",
    b"T_DURING(datetime, INTERVAL('2020-01-01', '..')) OR eo:cloud_cover BETWEEN 1 AND 2 * (3 - 1)",
    b"CASEI(ACCENTI(title)) IN (CASEI('a'), 'b') AND A_OVERLAPS(tags, ('a', 1)) AND view",
    b"S_WITHIN(geometry, BBOX(170, -10, -170, 10)) OR datetime = DATE('2021-06-01')",
)


class Searches:
    """An index of some towns, asked whatever comes."""

    def __init__(self, folder: Path) -> None:
        self.index = Index.open(folder / "index.db")
        odd = {"gsd": 1.5, "tags": ["a", 1], "view": True, "eo:cloud_cover": 3}
        towns = [
            {**town, "properties": {**town["properties"], **(odd if n % 2 else {})}}
            for n, town in enumerate(TOWNS)
        ]
        made = segment(folder / "segment", towns)
        with self.index.adding(ref_of(made)) as adding:
            for town in towns:
                found = project(town, COLLECTION)
                times = (found.datetime_us, found.start_us, found.end_us)
                raw = json.dumps(town).encode()
                adding.add([CheckedRow(found.id, *times, found.box, None, raw)])

    def ask(self, query: Query) -> None:
        """A page, a count and facets agree, and the second page is not the first."""
        found = self.index.search(query, BUDGET)
        number = self.index.count(query, BUDGET)
        assert number == self.index.facets(query, BUDGET).count
        if query.after is None:
            assert len(found) == min(number, query.limit)
        assert {each.catalogue for each in found} <= {CatalogueId(bytes(32))}

    def take_text(self, raw: bytes) -> None:
        self.ask(Query(filter=parse_filter(raw.decode(errors="replace"))))

    def take_json(self, raw: bytes) -> None:
        self.ask(Query(filter=parse_filter("{" + raw.decode(errors="replace")[1:])))

    def take_request(self, raw: bytes) -> None:
        """Ask as the control socket is asked: JSON, its fields checked by pydantic first."""
        arguments = Search.model_validate(json.loads(raw))
        self.ask(arguments.query())
        arguments.wanted_fields()

    def take_words(self, raw: bytes) -> None:
        text = raw.decode(errors="replace")
        assert words.match_expression(text)
        self.ask(Query(text=text))


def targets(held: ExitStack) -> list[Target]:
    folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
    searches = Searches(folder)
    held.callback(searches.index.close)
    filters = tuple(json.dumps(parse_filter(text.decode())).encode() for text in TEXTS)
    requests = tuple(
        json.dumps(each).encode()
        for each in (
            {"filter": json.loads(filters[0]), "sort": "-gsd,+id", "limit": 3},
            {"intersects": SQUARE, "text": '"town t1" OR tow* -t9', "bbox": [-180, -90, 180, 90]},
            {"bbox": [170, -90, -10, -10, 90, 9000], "datetime": "2020-01-01T00:00:00Z/.."},
            {"fields": "id,properties.title,-assets", "ids": ["t1"], "old": True},
        )
    )
    asked = b'town "t1" OR t2* -t3'
    refused = (UsageError,)
    of_request = (UsageError, ValidationError, json.JSONDecodeError, UnicodeDecodeError)
    return [
        Target("filter-text", None, TEXTS, searches.take_text, refused),
        Target("filter-json", "json", filters, searches.take_json, refused),
        Target("search-request", "json", requests, searches.take_request, of_request),
        Target(
            "search-words", None, (asked, "Forêt OR l'eau".encode()), searches.take_words, refused
        ),
    ]
