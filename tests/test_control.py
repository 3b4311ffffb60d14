"""The control socket, both ends: requests, events, errors, and askers that misbehave or go away."""

from __future__ import annotations

import io
import json
import logging
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing

from meshnode import control
from meshnode.control import (
    Control,
    Message,
    NotRunningError,
    decode_error,
    encode_error,
    read_lines,
)
from meshnode.errors import ConfigError, MeshnodeError, PeerError, StorageError, UsageError
from meshnode.runtime.control_server import CONNECTIONS_MAX, ControlServer

WITHIN_SECONDS = 30.0


class Clerk:
    """Answers requests; counts those that were begun and those whose work was ended."""

    def __init__(self) -> None:
        self.begun = 0
        self.working = trio.Event()
        self.ended = trio.Event()

    async def answer(self, action: str, said: Message) -> AsyncGenerator[Message, None]:
        self.begun += 1
        match action:
            case "echo":
                yield {"event": {"heard": said}}
                yield {"result": said}
            case "work":
                try:
                    yield {"event": {}}
                    self.working.set()
                    await trio.sleep_forever()
                finally:
                    self.ended.set()
            case "refuse":
                raise UsageError("not so", hint="like this")
            case "fail":
                raise KeyError("a bug")
            case "large":
                yield {"result": {"text": "ü" * 3_000_000}}
            case _:
                pytest.fail(f"nobody asks to {action!r}")


@pytest.fixture
def clerk() -> Clerk:
    return Clerk()


@pytest.fixture
async def path(clerk: Clerk, tmp_path: Path, nursery: trio.Nursery) -> Path:
    path = tmp_path / "control.sock"
    await nursery.start(ControlServer(path, clerk.answer).run)
    return path


async def say(path: Path, data: bytes) -> bytes:
    """Send bytes and return all that comes back until the server closes."""
    with trio.fail_after(WITHIN_SECONDS):
        stream = await trio.open_unix_socket(path)
        async with stream:
            with suppress(trio.BrokenResourceError):  # the server may have heard enough
                await stream.send_all(data)
            said = b""
            with suppress(trio.BrokenResourceError):
                async for part in stream:
                    said += part
            return said


async def test_a_request_is_answered_with_events_and_a_result(path: Path):
    async with aclosing(Control(path).follow("echo", word="über")) as messages:
        heard = [message async for message in messages]
    assert heard == [{"event": {"heard": {"word": "über"}}}, {"result": {"word": "über"}}]
    assert await Control(path).ask("echo", n=1) == {"n": 1}


async def test_a_large_answer_arrives_whole(path: Path):
    assert len((await Control(path).ask("large"))["text"]) == 3_000_000


async def test_an_error_keeps_its_kind_its_sentence_and_its_hint(path: Path):
    with pytest.raises(UsageError, match="not so") as caught:
        await Control(path).ask("refuse")
    assert caught.value.hint == "like this"


@pytest.mark.parametrize("kind", [PeerError, StorageError, ConfigError, UsageError, MeshnodeError])
def test_every_kind_of_error_survives_the_way(kind):
    error = decode_error(encode_error(kind("what", hint="next")))
    assert (type(error), str(error), error.hint) == (kind, "what", "next")


async def test_a_bug_is_answered_with_a_sentence_and_its_traceback_goes_to_the_log(path: Path):
    with structlog.testing.capture_logs() as logs, pytest.raises(StorageError, match="failed"):
        await Control(path).ask("fail")
    assert [(line["event"], line["exc_info"]) for line in logs] == [
        ("control request failed", True)
    ]
    assert await Control(path).ask("echo") == {}


async def test_only_the_owner_can_open_the_socket(path: Path):
    assert (await trio.Path(path).stat()).st_mode & 0o777 == 0o600


async def test_an_asker_that_goes_away_ends_the_work(path: Path, clerk: Clerk):
    with trio.fail_after(WITHIN_SECONDS):
        async with aclosing(Control(path).follow("work")) as messages:
            assert await anext(messages) == {"event": {}}
            await clerk.working.wait()
        await clerk.ended.wait()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"\xff\xfe garbage\n", "is not JSON"),
        (b"[" * 200_000 + b"\n", "is not JSON"),
        (b"[1]\n", "is not a JSON object"),
        (b'{"do": 3}\n', "names what to do"),
        (b'{"do": "echo", "with": 1}\n', "names what to do"),
    ],
)
async def test_garbage_is_answered_with_a_sentence(path: Path, line: bytes, problem: str):
    answer = json.loads(await say(path, line))
    assert answer["error"]["kind"] == "UsageError"
    assert problem in answer["error"]["message"]
    assert await Control(path).ask("echo") == {}


async def test_what_follows_the_request_is_ignored(path: Path):
    said = await say(path, b'{"do": "echo"}\n' + b"garbage\n" * 100_000)
    assert b'{"result":{}}' in said
    assert await Control(path).ask("echo") == {}


async def test_a_line_without_an_end_is_refused_at_its_bound(path: Path, monkeypatch):
    monkeypatch.setattr(control, "LINE_BYTES_MAX", 100_000)
    with pytest.raises(UsageError, match="more than 100000 bytes"):
        await Control(path).ask("echo", text="x" * 1_000_000)
    assert await Control(path).ask("echo") == {}


async def test_a_connection_without_a_request_is_nothing(path: Path, clerk: Clerk):
    stream = await trio.open_unix_socket(path)
    await stream.aclose()
    stream = await trio.open_unix_socket(path)
    await stream.send_all(b'{"do": "ec')
    await stream.aclose()
    assert await Control(path).ask("echo") == {}
    assert clerk.begun == 1


async def test_more_connections_than_are_served_at_once_are_all_answered(path: Path):
    answers = []

    async def ask(number: int) -> None:
        answers.append(await Control(path).ask("echo", n=number))

    with trio.fail_after(WITHIN_SECONDS):
        async with trio.open_nursery() as nursery:
            for number in range(CONNECTIONS_MAX * 2):
                nursery.start_soon(ask, number)
    assert len(answers) == CONNECTIONS_MAX * 2


async def test_a_path_longer_than_a_socket_address_works(clerk: Clerk, tmp_path: Path, nursery):
    folder = tmp_path / ("deep" * 30) / ("down" * 30)
    folder.mkdir(parents=True)
    with pytest.raises(NotRunningError):
        await Control(folder / "control.sock").ask("echo")
    await nursery.start(ControlServer(folder / "control.sock", clerk.answer).run)
    assert await Control(folder / "control.sock").ask("echo", n=1) == {"n": 1}
    with pytest.raises(NotRunningError):
        await Control(folder / "none" / "control.sock").ask("echo")


async def test_a_socket_left_by_a_killed_process_is_taken_over(
    clerk: Clerk, tmp_path: Path, nursery
):
    path = tmp_path / "control.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with pytest.raises(NotRunningError) as caught:
        await Control(path).ask("echo")
    assert caught.value.hint == f"meshnode run --home {tmp_path}"
    await nursery.start(ControlServer(path, clerk.answer).run)
    assert await Control(path).ask("echo") == {}


async def test_the_socket_is_gone_when_the_server_is(clerk: Clerk, tmp_path: Path):
    path = tmp_path / "control.sock"
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlServer(path, clerk.answer).run)
        nursery.cancel_scope.cancel()
    assert not path.exists()


async def test_a_server_that_cannot_listen_says_where(clerk: Clerk, tmp_path: Path):
    with pytest.raises(StorageError, match="cannot listen on"):
        await ControlServer(tmp_path / "none" / "control.sock", clerk.answer).run()


async def test_a_place_that_is_no_socket_is_an_error_of_the_machine(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot reach"):
        await Control(tmp_path / "file" / "control.sock").ask("echo")


async def test_a_server_that_ends_before_its_result_is_said_to_be_gone(tmp_path: Path, nursery):
    path = tmp_path / "control.sock"
    raw = trio.socket.socket(trio.socket.AF_UNIX)
    await raw.bind(str(path))
    raw.listen()

    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.send_all(b'{"event": {}}\n')

    nursery.start_soon(trio.serve_listeners, hang_up, [trio.SocketListener(raw)])
    with pytest.raises(StorageError, match="went away before it answered"):
        await Control(path).ask("echo")


async def test_lines_split_anywhere_are_put_together_again():
    near, far = trio.testing.memory_stream_pair()
    data = b'{"a":"\xc3\xbc"}\n{"b":2}\n'

    async def send() -> None:
        for byte in data:
            await near.send_all(bytes([byte]))
        await near.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        assert [line async for line in read_lines(far)] == [{"a": "ü"}, {"b": 2}]


def test_the_log_of_libraries_has_no_tracebacks(capsys):
    from meshnode.config import LogSettings
    from meshnode.runtime.logs import configure_logs

    configure_logs(LogSettings())
    try:
        raise KeyError("mischief")
    except KeyError:
        logging.getLogger("hypercorn.somewhere").exception("a stream failed")
    said = capsys.readouterr().err
    assert "a stream failed" in said
    assert "Traceback" not in said


def test_the_log_follows_standard_error(monkeypatch: pytest.MonkeyPatch):
    from meshnode.config import LogSettings
    from meshnode.runtime.logs import configure_logs

    captured, later = io.StringIO(), io.StringIO()
    log = structlog.get_logger()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", captured)
        configure_logs(LogSettings())
    captured.close()
    monkeypatch.setattr(sys, "stderr", later)
    log.error("said after the capture was closed")
    assert "said after the capture was closed" in later.getvalue()
