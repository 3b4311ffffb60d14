"""Who may ask the peer's HTTP server, and what its answers say to browsers."""

from __future__ import annotations

import pytest

from meshnode.runtime.http.guard import Guard

GUARD = Guard(hosts=("maps.example.org",), origins=("https://viewer.example.org",))


def objection(**headers: str) -> str | None:
    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return GUARD.objection({"headers": pairs})


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8470", "localhost.:80", "127.0.0.1:8470", "[::1]:8470", "192.0.2.7",
     "maps.example.org", "maps.example.org:8470"],
)  # fmt: skip
def test_programs_that_call_it_by_address_or_by_a_name_of_its_own_may_ask(host: str) -> None:
    assert objection(host=host) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8470", "", "[::1", "a:b:c",
     "maps.example.org.evil.example"],
)  # fmt: skip
def test_a_name_that_was_made_to_lead_here_is_refused(host: str) -> None:
    assert objection(host=host) == (
        f"this peer is not called {host!r}: name it in the setting http.hosts"
    )


def test_a_request_without_a_host_or_with_two_is_refused() -> None:
    assert objection() is not None
    two = [(b"host", b"localhost"), (b"host", b"localhost")]
    assert GUARD.objection({"headers": two}) is not None


def test_pages_of_other_sites_are_refused_unless_the_operator_named_them() -> None:
    stranger = "https://evil.example"
    for headers in (
        {"origin": stranger},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "http://localhost:9999", "sec_fetch_site": "same-site"},
    ):
        assert objection(host="localhost:8470", **headers) is not None, headers
    for headers in (
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "same-origin", "origin": "http://localhost:8470"},
        {"sec_fetch_site": "cross-site", "origin": "https://viewer.example.org"},
    ):
        assert objection(host="localhost:8470", **headers) is None, headers


def test_only_a_named_site_is_permitted_to_read_the_answer() -> None:
    named = GUARD.permission({"headers": [(b"origin", b"https://viewer.example.org")]})
    other = GUARD.permission({"headers": [(b"origin", b"https://evil.example")]})
    assert (b"access-control-allow-origin", b"https://viewer.example.org") in named
    assert other == []
