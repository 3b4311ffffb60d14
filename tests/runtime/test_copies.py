"""What a publisher finds out of a repository before he signs it as a mirror."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from meshnode.errors import UsageError
from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.payloads.mirrors.copies import mirror_of, mirror_url
from tests.runtime.repository_servers import repository
from tests.runtime.web_seeds import says, web_seed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tiles"
    path.mkdir()
    for number, name in enumerate(("a b.tif", "c.tif")):
        (path / name).write_bytes(random.Random(number).randbytes(1000))
    return path


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("zenodo:3615172", "https://zenodo.org/records/3615172"),
        ("ia:nasa", "https://archive.org/details/nasa"),
        ("source:acme/tiles", "https://data.source.coop/acme/?list-type=2&prefix=tiles%2F"),
        ("s3://acme/a+b/", "https://acme.s3.amazonaws.com/?list-type=2&prefix=a%2Bb%2F"),
        ("s3://acme", "https://acme.s3.amazonaws.com/?list-type=2&prefix="),
        ("tigris:acme/x/y", "https://acme.t3.storage.dev/?list-type=2&prefix=x%2Fy%2F"),
        ("https://data.example.org/x.tif", "https://data.example.org/x.tif"),
    ],
)
def test_a_short_name_stands_for_a_url(text: str, url: str) -> None:
    assert mirror_url(text) == url


@pytest.mark.parametrize("text", ["zenodo:abc", "ftp://example.org/x", "s3:acme", "", "ia:a/b"])
def test_what_is_no_mirror_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(UsageError, match="is not a mirror") as caught:
        mirror_url(text)
    assert "zenodo:RECORD" in caught.value.hint


async def test_the_simplest_url_is_signed_for_each_kind(folder: Path) -> None:
    one, all_ = describe(folder / "c.tif").files, describe(folder).files
    async with web_seed(repository(folder)) as seed:
        signed = [
            await mirror_of(seed.url + form, files, content, allow_local=True)
            for form, files, content in (
                ("records/77", one, folder / "c.tif"),
                ("records/77", all_, folder),
                ("details/tiles", all_, folder),
                ("bucket/?list-type=2&prefix=", all_, folder),
                ("plain/", all_, folder),
            )
        ]
    assert [url.removeprefix(seed.url) for url in signed] == [
        "api/records/77/files/c.tif/content",
        "records/77",
        "download/",
        "bucket/?list-type=2&prefix=",
        "plain/",
    ]


async def test_a_repository_with_another_file_is_refused(folder: Path) -> None:
    files = describe(folder).files
    (folder / "c.tif").write_bytes(random.Random(9).randbytes(1000))
    async with web_seed(repository(folder)) as seed:
        url = f"{seed.url}records/77"
        await mirror_of(url, files, None, allow_local=True)  # by size alone it is the same
        content = folder.parent / "own" / "tiles"
        content.mkdir(parents=True)
        (content / "a b.tif").write_bytes((folder / "a b.tif").read_bytes())
        (content / "c.tif").write_bytes(random.Random(1).randbytes(1000))
        with pytest.raises(UsageError, match=r"has another c\.tif: its md5 is not that of"):
            await mirror_of(url, files, content, allow_local=True)
        (folder / "c.tif").unlink()
    async with web_seed(repository(folder)) as seed:
        with pytest.raises(UsageError, match=r"does not have tiles/c\.tif"):
            await mirror_of(f"{seed.url}records/77", files, None, allow_local=True)


async def test_a_repository_that_does_not_answer_is_named(folder: Path) -> None:
    async with web_seed(says("404 Not Found")) as seed:
        url = f"{seed.url}details/tiles"
        with pytest.raises(UsageError, match=rf"{url} answered with an error \(HTTP 404\)"):
            await mirror_of(url, describe(folder).files, None, allow_local=True)
