"""Repositories that name their files: what is read of their answers, and how files are paired."""

from __future__ import annotations

import json
import os
import random
from contextlib import aclosing
from pathlib import Path

import pytest

from meshnode.core.filelist import FileList, PayloadFile
from meshnode.core.identifiers import Digest
from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.payloads.mirrors.file_addresses import addresses_at, file_url, pair, simplest
from meshnode.runtime.payloads.mirrors.range_client import MirrorError, RangeClient
from meshnode.runtime.payloads.mirrors.repositories import Copy, listed, repository_of
from tests.runtime.repository_servers import md5, repository
from tests.runtime.web_seeds import WebSeed, says, web_seed

SHARED = Path(__file__).resolve().parents[3] / "shared/data/mirror-answers"
FORMS = ("records/77", "details/tiles", "bucket/?list-type=2&prefix=")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "set"
    (path / "a").mkdir(parents=True)
    for number, name in enumerate(("one.bin", "a/two é.bin", "a/#3 x.bin")):
        (path / name).write_bytes(random.Random(number).randbytes(1000 + number))
    return path


def shared(name: str) -> bytes:
    path = SHARED / name
    if not path.exists() and not os.environ.get("MESHNODE_REQUIRE_SHARED"):
        pytest.skip(f"{path} is not here")
    return path.read_bytes()


async def copies_of(seed: WebSeed, url: str) -> list[Copy]:
    client = RangeClient(url, allow_local=True)
    async with aclosing(client):
        return await listed(client, url)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://zenodo.org/records/3615172", "InvenioRDM"),
        ("https://zenodo.org/record/3615172", "InvenioRDM"),
        ("https://archive.org/details/nasa", "Internet Archive"),
        ("https://data.source.coop/acme/?list-type=2&prefix=tiles%2F", "S3"),
        ("https://zenodo.org/records/3615172/files/a.tif?download=1", None),
        ("https://archive.org/download/nasa/", None),
        ("https://data.example.org/tiles/", None),
    ],
)
def test_a_url_says_which_kind_of_repository_it_is(url: str, name: str | None) -> None:
    found = repository_of(url)
    assert (found.name if found else None) == name


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("newer", [False, True])
async def test_p_34_each_file_is_found_with_its_size_and_checksum(
    folder: Path, form: str, newer: bool
) -> None:
    async with web_seed(repository(folder, newer=newer)) as seed:
        copies = await copies_of(seed, seed.url + form)
    found = pair(describe(folder).files, copies)
    sizes = [found[index].size_bytes for index in range(3)]
    assert sizes == [each.size_bytes for each in describe(folder).files.files]
    sums = [found[index].checksums["md5"] for index in range(3)]
    assert sums == [md5(folder.parent / each.path) for each in describe(folder).files.files]


async def test_the_recorded_answer_of_zenodo_is_read() -> None:
    body = shared("zenodo-record-3615172.json")
    async with web_seed(says("200 OK", body)) as seed:
        (copy,) = await copies_of(seed, f"{seed.url}records/3615172")
    said = json.loads(body)["files"][0]
    assert copy == Copy(
        said["key"], said["links"]["self"], said["size"], {"md5": said["checksum"][4:]}
    )


async def test_the_recorded_answer_of_the_internet_archive_is_read() -> None:
    body = shared("internet-archive-metadata-nasa.json")
    async with web_seed(says("200 OK", body)) as seed:
        copies = await copies_of(seed, f"{seed.url}details/nasa")
    said = json.loads(body)["files"]
    assert [copy.path for copy in copies] == [each["name"] for each in said]
    assert copies[0].url == f"{seed.url}download/nasa/{said[0]['name']}"
    assert copies[0].size_bytes == int(said[0]["size"])
    assert copies[0].checksums == {"md5": said[0]["md5"], "sha1": said[0]["sha1"]}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"files": 5}',
        b'{"files": [5]}',
        b'{"files": [{"key": 1}]}',
        b'{"files": [{"key": "a", "name": "a", "size": "many", "links": {}}]}',
        b"<html>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        b"<x><Contents><Key>a</Key></Contents><IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>t</NextContinuationToken></x>",
    ],
)
async def test_an_answer_of_another_form_is_an_error_and_no_more(form: str, body: bytes) -> None:
    async with web_seed(says("200 OK", body)) as seed:
        try:
            copies = await copies_of(seed, seed.url + form)
        except MirrorError:
            copies = []
    assert all(copy.size_bytes is None for copy in copies)
    assert len(seed.requests) <= 20


async def test_links_that_are_no_web_addresses_are_left_out() -> None:
    links = ("file:///etc/passwd", "https://example.org/a b", "https://example.org/ok")
    rows = [{"key": str(i), "size": 1, "links": {"self": link}} for i, link in enumerate(links)]
    async with web_seed(says("200 OK", json.dumps({"files": rows}).encode())) as seed:
        copies = await copies_of(seed, f"{seed.url}records/77")
    assert [copy.url for copy in copies] == ["https://example.org/ok"]


def file(path: str, size: int = 5) -> PayloadFile:
    return PayloadFile(path, size, Digest(bytes(32)), Digest(bytes(32)))


def test_files_are_paired_by_path_then_by_a_name_that_is_the_only_one() -> None:
    files = FileList((file("set/a/x.tif"), file("set/b/y.tif"), file("set/z.tif", 7)))
    copies = [
        Copy("a/x.tif", "https://h/1", 5),
        Copy("other/y.tif", "https://h/2", 5),
        Copy("z.tif", "https://h/3", 8),
        Copy("z2.tif", "https://h/4", 7),
    ]
    assert {index: copy.url for index, copy in pair(files, copies).items()} == {
        0: "https://h/1",
        1: "https://h/2",
    }
    twice = [*copies, Copy("third/y.tif", "https://h/5", 5)]
    assert list(pair(files, twice)) == [0]


def test_the_simplest_url_that_says_all_is_signed() -> None:
    one = FileList((file("x.tif"),))
    assert simplest("https://h/records/7", one, {0: Copy("x", "https://h/f?download=1", 5)}) == (
        "https://h/f?download=1"
    )
    two = FileList((file("set/a b.tif"), file("set/c.tif")))
    below = {i: Copy("", file_url("https://h/d/", two, i), 5) for i in range(2)}
    assert simplest("https://h/details/d", two, below) == "https://h/d/"
    apart = {0: Copy("", "https://h/1", 5), 1: Copy("", "https://h/2", 5)}
    assert simplest("https://h/records/7", two, apart) == "https://h/records/7"


async def test_a_repository_without_the_files_is_no_mirror_of_them(folder: Path) -> None:
    async with web_seed(repository(folder)) as seed:
        url = f"{seed.url}records/77"
        client = RangeClient(url, allow_local=True)
        async with aclosing(client):
            with pytest.raises(MirrorError, match="none of the payload's files"):
                await addresses_at(client, url, FileList((file("other.tif"),)))
