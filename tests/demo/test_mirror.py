"""The demo's mirror speaks HTTP ranges, keeps to its folder and to its rate."""

from __future__ import annotations

import httpx
import pytest
import trio

from meshnode.demo.mirror import Mirror, _Site, serve_directory

BODY = bytes(range(256)) * 400


@pytest.fixture
def folder(tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    (served / "a b.bin").write_bytes(BODY)
    (tmp_path / "secret").write_bytes(b"secret")
    return served


async def ask(mirror: Mirror, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(mirror.url + path, headers=headers)


async def test_a_whole_file_is_served_and_counted(folder):
    async with serve_directory(folder) as mirror:
        answer = await ask(mirror, "a%20b.bin")

    assert (answer.status_code, answer.content) == (200, BODY)
    assert mirror.served_bytes == len(BODY)


@pytest.mark.parametrize(
    ("asked", "part", "said"),
    [
        ("bytes=0-9", BODY[:10], "bytes 0-9/102400"),
        ("bytes=100000-", BODY[100000:], "bytes 100000-102399/102400"),
        ("bytes=102000-999999", BODY[102000:], "bytes 102000-102399/102400"),
        ("bytes=-5", BODY[-5:], "bytes 102395-102399/102400"),
    ],
)
async def test_a_range_is_served(folder, asked, part, said):
    async with serve_directory(folder) as mirror:
        answer = await ask(mirror, "a%20b.bin", Range=asked)

    assert (answer.status_code, answer.content) == (206, part)
    assert answer.headers["content-range"] == said


@pytest.mark.parametrize(
    "asked", ["bytes=102400-", "bytes=9-3", "bytes=-0", "bytes=-", "items=0-1"]
)
async def test_a_range_that_cannot_be_satisfied_is_refused(folder, asked):
    async with serve_directory(folder) as mirror:
        answer = await ask(mirror, "a%20b.bin", Range=asked)

    assert answer.status_code == 416


@pytest.mark.parametrize("path", ["missing", "", "../secret", "%2e%2e/secret", "%2Fetc/passwd"])
async def test_nothing_outside_the_folder_is_served(folder, path):
    async with serve_directory(folder) as mirror:
        answer = await ask(mirror, path)

    assert (answer.status_code, mirror.served_bytes) == (404, 0)


async def test_the_rate_limit_holds_for_all_answers_together(folder, autojump_clock):
    site = _Site(folder, 1000, bytes)
    start = trio.current_time()

    async with trio.open_nursery() as answers:
        answers.start_soon(site._wait_for_turn, 1500)
        answers.start_soon(site._wait_for_turn, 500)

    assert trio.current_time() - start == pytest.approx(2.0)


async def test_a_mirror_can_be_made_to_serve_bad_bytes(folder):
    async with serve_directory(folder, change=lambda part: bytes(len(part))) as mirror:
        answer = await ask(mirror, "a%20b.bin")

    assert answer.content == bytes(len(BODY))
