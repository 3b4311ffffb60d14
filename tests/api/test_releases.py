"""What the API says of items that belong to a release: version, DOI, and the versions around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshnode.core.entries import ReleaseAdded, encode_entry
from meshnode.core.identifiers import Digest, sha256
from tests.api.serving import Api, serving
from tests.runtime.homes import follow, publish, publisher_of, result_of
from tests.runtime.test_operator_payloads import publish_payload

pytestmark = pytest.mark.slow


async def release(api: Api, version: str, key: str, supersedes: Digest | None) -> Digest:
    """Sign a release of one payload with a DOI of its own; return its name."""
    _, publisher = publisher_of(api.home)
    payloads = (Digest(bytes.fromhex(key)),)

    def draft(clock: int) -> ReleaseAdded:
        doi = f"10.5072/towns.{version}"
        return ReleaseAdded(clock, "towns", version, doi, payloads, None, supersedes)

    with publisher.session():
        await result_of(publisher.publish(await publisher.state(), [draft], ()))
        state = await publisher.state()
    return sha256(encode_entry(draft(state["clock"])))


async def test_an_item_says_of_which_release_it_is_and_links_to_the_one_before(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as api:
        institution, publisher = publisher_of(api.home)
        await follow(api.home, institution)
        await publish(publisher, tmp_path, "a", "b")
        keys = []
        for name in ("one", "two"):
            file = tmp_path / name / "tile.tif"
            file.parent.mkdir()
            file.write_bytes(name.encode())
            keys.append(await publish_payload(api.home, file))
        former = await release(api, "1", keys[0], None)
        await release(api, "2", keys[1], former)

        released = await api.get("collections/towns/items/a")
        [found] = (await api.get("search", ids="a"))["features"]
        other = await api.get("collections/towns/items/b")

    properties = released["properties"]
    assert (properties["version"], properties["sci:doi"]) == ("2", "10.5072/towns.2")
    assert "deprecated" not in properties
    links = {link["rel"]: link["href"] for link in released["links"]}
    assert links["cite-as"] == "https://doi.org/10.5072/towns.2"
    assert links["predecessor-version"] == "https://doi.org/10.5072/towns.1"
    assert links["self"].endswith("/collections/towns/items/a")
    assert any("version/v1.2.0" in each for each in released["stac_extensions"])
    assert found == released
    assert "version" not in other["properties"]
