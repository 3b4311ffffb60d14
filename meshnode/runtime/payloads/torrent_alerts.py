"""What the BitTorrent engine says of one torrent, told to its transfer as plain values."""

from __future__ import annotations

from typing import Final

import libtorrent as lt

from meshnode.errors import MeshnodeError, PeerError, StorageError
from meshnode.runtime.files import refused_by_disk
from meshnode.runtime.payloads.transfers import Transfer

_SYSTEM: Final = (lt.system_category().name(), lt.generic_category().name())


def tell(transfer: Transfer, alert: lt.torrent_alert) -> None:
    """Copy an alert's fields out of it."""
    match alert:
        case lt.torrent_checked_alert():
            transfer.note_checked()
        case lt.cache_flushed_alert():
            transfer.note_flushed()
        case lt.save_resume_data_alert():
            transfer.note_peers(tuple((str(ip), int(port)) for ip, port in alert.params.peers))
        case lt.piece_finished_alert():
            transfer.note_piece(int(alert.piece_index))
        case lt.torrent_finished_alert():
            transfer.wake()
        case lt.file_error_alert():
            transfer.note_failure(_disk_error(f"cannot write {alert.filename()}", alert.error))
        case lt.torrent_error_alert() if transfer.failure is None:  # else it says the same again
            transfer.note_failure(_error(alert))
        case _:
            _tell_fault(transfer, alert)


def _tell_fault(transfer: Transfer, alert: lt.torrent_alert) -> None:
    """Tell what a source did wrong."""
    match alert:
        case lt.hash_failed_alert():
            transfer.sources.note_bad_piece(int(alert.piece_index))
        case lt.peer_ban_alert():
            address, port = alert.endpoint
            transfer.sources.note_ban((str(address), int(port)))
            transfer.wake()
        case lt.url_seed_alert():
            # The alert's own text says "Success" for an HTTP error, and its code is not usable.
            transfer.sources.note_fault(str(alert.server_url()))
        case _:
            pass


def _error(alert: lt.torrent_error_alert) -> MeshnodeError:
    """Tell what the disk refused from what is wrong with the torrent: the engine says both so."""
    if alert.error.category().name() in _SYSTEM:
        return _disk_error("cannot write a payload's file", alert.error)
    return PeerError(f"torrent: {alert.message()}")


def _disk_error(doing: str, error: lt.error_code) -> StorageError:
    """Say what the system said of a payload's file."""
    return refused_by_disk(doing, OSError(error.value(), str(error.message())))
