"""No signed URL leads into the reader's own machine or network."""

from __future__ import annotations

import pytest

from meshnode.errors import PeerError
from meshnode.runtime.payloads.address_filter import vet_mirror


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/admin",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
async def test_a_mirror_inside_the_own_network_is_refused(url):
    with pytest.raises(PeerError, match="inside this machine's own network"):
        await vet_mirror(url, allow_local=False)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://8.8.8.8/",
        "http://user:secret@8.8.8.8/",
        "http:///path",
        "http://8.8.8.8:99999/",
        "http://8.8.8.8/#x",
        "http://8.8.8.8/a b",
        "http://8.8.8.8\\@127.0.0.1/",
        "http://8.8.8.8/\r\nHost: x",
        "http://8.8.8.8/" + "x" * 1024,
        "8.8.8.8",
    ],
)
async def test_a_url_that_is_not_plain_http_is_refused(url):
    with pytest.raises(PeerError, match="not a plain http"):
        await vet_mirror(url, allow_local=True)


async def test_the_operator_may_allow_local_mirrors():
    mirror = await vet_mirror("http://127.0.0.1:8080/x/", allow_local=True)

    assert mirror.endpoints == (("127.0.0.1", 8080),)


async def test_a_public_mirror_passes():
    mirror = await vet_mirror("https://8.8.8.8/data/", allow_local=False)

    assert mirror.endpoints == (("8.8.8.8", 443),)
