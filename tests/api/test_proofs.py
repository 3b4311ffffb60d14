"""The proof of an item: given by the API, checked from the file alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest

from meshnode.core.identifiers import CatalogueId
from meshnode.errors import PeerError
from meshnode.runtime.verification.proofs import is_proof, pinned_in, verify_proof
from tests.api.serving import Api, serving_towns

pytestmark = pytest.mark.slow

Members = dict[str, bytes]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving_towns(tmp_path) as served:
        yield served


async def downloaded(api: Api, folder: Path) -> Path:
    path = folder / "town.proof.zip"
    answer = await api.http.get("collections/towns/items/town-04/proof")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="town-04.proof.zip"'
    path.write_bytes(answer.content)
    return path


def changed(path: Path, change: Callable[[Members], None], compression: int = ZIP_STORED) -> Path:
    with ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    other = path.with_name("changed.zip")
    with ZipFile(other, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return other


async def test_a_proof_holds_for_who_trusts_the_catalogue(api: Api, tmp_path: Path) -> None:
    path = await downloaded(api, tmp_path)
    verdict = await verify_proof(path, api.peer.node.followed())

    assert is_proof(path)
    assert verdict.failing == []
    assert [step.name for step in verdict.steps] == [
        "item", "segment", "entry", "inclusion", "head", "root", "catalogue", "trust", "row",
    ]  # fmt: skip
    assert (verdict.collection, verdict.item) == ("towns", "town-04")
    assert pinned_in(api.home) == list(api.peer.node.followed())


async def test_a_proof_of_a_catalogue_that_nobody_trusts_proves_nothing(
    api: Api, tmp_path: Path
) -> None:
    path = await downloaded(api, tmp_path)
    for pinned in ([], [CatalogueId(bytes(32))]):
        assert (await verify_proof(path, pinned)).failing == ["trust"]


async def test_whatever_is_changed_in_a_proof_is_found(api: Api, tmp_path: Path) -> None:
    path = await downloaded(api, tmp_path)
    pinned = api.peer.node.followed()

    def said(**values: object) -> Callable[[Members], None]:
        def change(members: Members) -> None:
            members["proof.json"] = json.dumps(json.loads(members["proof.json"]) | values).encode()

        return change

    def edited(members: Members) -> None:
        members["item.json"] = members["item.json"].replace(b"Town 4", b"Town 5")

    def flipped(members: Members) -> None:
        segment = members["segment.parquet"]
        members["segment.parquet"] = segment[:99] + bytes([segment[99] ^ 1]) + segment[100:]

    for change, failing in (
        (edited, ["row"]),
        (flipped, ["segment"]),
        (said(item="town-05"), ["item"]),
        (said(collection="ortho"), ["item", "entry"]),
        (said(index=1_000), ["inclusion"]),
    ):
        verdict = await verify_proof(changed(path, change), pinned)
        assert verdict.failing == failing


async def test_what_is_no_proof_is_refused_before_it_is_read(api: Api, tmp_path: Path) -> None:
    path = await downloaded(api, tmp_path)

    def as_it_is(_: Members) -> None: ...

    def without(members: Members) -> None:
        del members["segment.parquet"]

    def garbage(members: Members) -> None:
        members["proof.json"] = b'{"version": 2}'

    for change, compression in (
        (as_it_is, ZIP_DEFLATED),
        (without, ZIP_STORED),
        (garbage, ZIP_STORED),
    ):
        with pytest.raises(PeerError):
            await verify_proof(changed(path, change, compression), api.peer.node.followed())
    cut = tmp_path / "cut.zip"
    cut.write_bytes(path.read_bytes()[:-400])
    assert not is_proof(cut)


async def test_there_is_no_proof_of_what_is_not_there(api: Api) -> None:
    assert "no item 'nothing'" in await api.refused("collections/towns/items/nothing/proof", 404)
    assert "no collection" in await api.refused("collections/nothing/items/x/proof", 404)
