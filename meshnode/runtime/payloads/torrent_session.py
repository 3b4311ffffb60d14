"""Settings of the BitTorrent engine, and a session opened with them.

Private by design: sources are named by the mesh and the catalogue, so that nothing is announced to
trackers, to the DHT or to the local network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import libtorrent as lt

from meshnode.core.limits import MIRRORS_MAX
from meshnode.runtime.payloads.address_filter import forbidden_ranges
from meshnode.runtime.payloads.holdings import Holdings
from meshnode.runtime.payloads.limits import UNLIMITED, Limits

# What a slow mirror has begun nobody else fetches, and each request costs a server work: at most 70
# for a GiB, of which some are cut short where others have pieces already.
REQUEST_BYTES_MAX: Final = 32 << 20
REQUEST_BYTES_MIN: Final = 4 << 20  # of a small payload, so that every source has a share of it
REQUESTS_MIN: Final = 8  # for a payload, where they are not smaller than that
_ALERTS_MAX: Final = 20_000
_ALERTS: Final = (
    lt.alert.category_t.error_notification
    | lt.alert.category_t.status_notification
    | lt.alert.category_t.storage_notification
    | lt.alert.category_t.peer_notification
    | lt.alert.category_t.piece_progress_notification
)
BLOCKED: Final = 1  # the flag of a forbidden range in an ip_filter
_UNSCHEDULED: Final = lt.torrent_flags.auto_managed | lt.torrent_flags.paused
_UNDISCOVERED: Final = (
    lt.torrent_flags.disable_dht
    | lt.torrent_flags.disable_lsd
    | lt.torrent_flags.disable_pex
    | lt.torrent_flags.apply_ip_filter
)


@dataclass(frozen=True, slots=True)
class TorrentSettings:
    """Settings of the engine. Rates are of payload and protocol together; 0 means no limit.

    `limits` has all that bounds what moves.

    `listen` None: nobody can call this engine, which still fetches from mirrors and peers.
    `stall_seconds`: a download to which no source sent a byte for so long fails; somebody who
    reads in place waits for less. What is held is compared with its hashes at
    `scrub_bytes_per_second` (0: as fast as it goes), again after `scrub_days` (0: never by itself).
    `near_mirrors`: patterns of hosts that are asked before others.
    """

    listen: str | None = "127.0.0.1:0"
    limits: Limits = UNLIMITED
    allow_local_addresses: bool = False
    stall_seconds: float = 120.0
    read_stall_seconds: float = 30.0
    scrub_bytes_per_second: int = 4_000_000
    scrub_days: int = 30
    near_mirrors: tuple[str, ...] = ()


def open_session(settings: TorrentSettings) -> lt.session:
    parameters = lt.session_params()
    parameters.settings = _session_settings(settings)  # type: ignore[assignment]
    session = lt.session(parameters)
    everybody = lt.ip_filter()
    own_class = 1 << lt.session.global_peer_class_id
    everybody.add_rule("0.0.0.0", "255.255.255.255", own_class)  # noqa: S104 - a range, no bind
    everybody.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", own_class)
    session.set_peer_class_filter(everybody)  # else rate limits spare local peers
    if not settings.allow_local_addresses:
        forbidden = lt.ip_filter()
        for first, last in forbidden_ranges():
            forbidden.add_rule(first, last, BLOCKED)
        session.set_ip_filter(forbidden)
    return session


def parameters_of(holdings: Holdings, pieces: Sequence[int]) -> lt.add_torrent_params:
    """Return a torrent's parameters; these pieces are held, by a flag each."""
    parameters = holdings.torrent.parameters(holdings.folder, holdings.locations)
    parameters.have_pieces = list(map(bool, pieces))
    parameters.flags = int(parameters.flags) & ~int(_UNSCHEDULED) | int(_UNDISCOVERED)
    return parameters


def _session_settings(settings: TorrentSettings) -> dict[str, object]:
    return {
        "listen_interfaces": settings.listen or "",
        "max_retry_port_bind": 0,
        "listen_system_port_fallback": False,  # a port that is taken is told, not replaced
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "dht_bootstrap_nodes": "",
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "enable_ip_notifier": False,
        "allow_multiple_connections_per_ip": True,  # peers behind one address
        "active_downloads": -1,
        "active_seeds": -1,
        "active_limit": -1,
        "close_redundant_connections": False,
        "ssrf_mitigation": not settings.allow_local_addresses,
        "validate_https_trackers": True,  # web seeds too
        "max_web_seed_connections": MIRRORS_MAX,
        "urlseed_max_request_bytes": REQUEST_BYTES_MAX,
        "urlseed_timeout": 8,
        "urlseed_wait_retry": 10,
        "min_reconnect_time": 5,
        "download_rate_limit": settings.limits.download_bytes_per_second,
        "upload_rate_limit": settings.limits.upload_bytes_per_second,
        "alert_queue_size": _ALERTS_MAX,
        "alert_mask": int(_ALERTS),
        "user_agent": "meshnode",
    }
