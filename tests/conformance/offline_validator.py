"""stac-api-validator without a network: `python offline_validator.py ARGUMENT…`, as the tool takes.

Run by an interpreter that has the tool. STAC's schemas are those that pystac brings; a schema of an
extension says nothing here. Whatever else would leave this machine is an error.
"""

import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pystac.validation
import stac_validator.utilities as utilities

_BUNDLED = Path(pystac.validation.__file__).with_name("jsonschemas")
_VERSION = "1.1.0"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_connected = socket.create_connection


def bundled(address: str) -> object:
    """Return the schema of an address; {} for one of an extension, None for what is no schema."""
    found = urlparse(address)
    name = Path(found.path).name
    if found.hostname in ("schemas.stacspec.org", "cdn.staclint.com"):
        schema = json.loads((_BUNDLED / "stac-spec" / f"v{_VERSION}" / name).read_text())
        return schema | {"$id": address.partition("#")[0]}
    if found.hostname == "geojson.org":
        return json.loads((_BUNDLED / "geojson" / name).read_text())
    return {} if found.hostname == "stac-extensions.github.io" else None


def fetched(address: str, headers: object = None) -> object:
    schema = bundled(address)
    return _fetched(address, headers) if schema is None else schema


def connected(address: tuple[str, int], *arguments: Any, **more: Any) -> socket.socket:
    if address[0] not in _LOOPBACK:
        raise OSError(f"{address[0]} is not on this machine")
    return _connected(address, *arguments, **more)


def schema_address(version: str, kind: str) -> str:
    return f"https://schemas.stacspec.org/v{version}/{kind}-spec/json-schema/{kind}.json"


_fetched = utilities.fetch_and_parse_file
utilities.fetch_and_parse_file = fetched
utilities.set_schema_addr = schema_address
utilities.set_schema_cache_size(128)
socket.create_connection = connected  # type: ignore[assignment]

from stac_api_validator import __main__ as tool  # noqa: E402
from stac_validator import validate  # noqa: E402

validate.set_schema_addr = schema_address

if __name__ == "__main__":
    tool.main()
