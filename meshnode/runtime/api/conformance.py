"""What the API says that it can do: each class is here because a test asks it for what it demands.

The tests are those of `tests/conformance`.
"""

from __future__ import annotations

from typing import Final

_STAC: Final = "https://api.stacspec.org/v1.0.0"
_FEATURES: Final = "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf"
_FILTER: Final = "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf"
_CQL2: Final = "http://www.opengis.net/spec/cql2/1.0/conf"

CLASSES: Final = (
    f"{_STAC}/core",
    f"{_STAC}/collections",
    f"{_STAC}/ogcapi-features",
    f"{_STAC}/item-search",
    f"{_STAC}/item-search#fields",
    f"{_STAC}/item-search#sort",
    f"{_STAC}/ogcapi-features#fields",
    f"{_STAC}/ogcapi-features#sort",
    f"{_STAC}-rc.1/item-search#free-text",
    f"{_STAC}-rc.1/ogcapi-features#free-text",
    f"{_STAC}-rc.2/item-search#filter",
    f"{_FEATURES}/core",
    f"{_FEATURES}/geojson",
    f"{_FEATURES}/oas30",
    f"{_FILTER}/filter",
    f"{_FILTER}/features-filter",
    f"{_FILTER}/queryables",
    f"{_CQL2}/cql2-text",
    f"{_CQL2}/cql2-json",
    f"{_CQL2}/basic-cql2",
    f"{_CQL2}/advanced-comparison-operators",
    f"{_CQL2}/case-insensitive-comparison",
    f"{_CQL2}/accent-insensitive-comparison",
    f"{_CQL2}/basic-spatial-functions",
    f"{_CQL2}/basic-spatial-functions-plus",
    f"{_CQL2}/spatial-functions",
    f"{_CQL2}/temporal-functions",
    f"{_CQL2}/array-functions",
    f"{_CQL2}/property-property",
)
