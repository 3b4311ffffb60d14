"""Every limit of the protocol (protocol/04-log-and-trust.md, "Limits"): what exceeds it is refused.

The numbers are the same for every peer: what one accepts, all accept. Limits that a peer may choose
for itself (queues, budgets, retries) stand beside the code they bound.
"""

from __future__ import annotations

from typing import Final

# --- Encoding -------------------------------------------------------------------------------------
DEPTH_MAX: Final = 8  # the deepest record needs 5; a bound keeps a decoder's stack small
INTEGER_MAX: Final = 2**53 - 1  # exact in every language, JavaScript and JSON included
NAME_BYTES_MAX: Final = 255  # a file name on every file system
URL_BYTES_MAX: Final = 1024

# --- Records, as signed where they are signed -----------------------------------------------------
SIGNED_HEAD_BYTES_MAX: Final = 4 << 10
SIGNED_ROOT_BYTES_MAX: Final = 16 << 10
ENTRY_BYTES_MAX: Final = 16 << 10  # 256 digests or 512 short ids fit
ANNOUNCEMENT_BYTES_MAX: Final = 16 << 10  # one gossip message
STATEMENT_BYTES_MAX: Final = 12 << 10
STATEMENT_BODY_BYTES_MAX: Final = 8 << 10
ISSUER_BYTES_MAX: Final = 64 << 10  # of all statements of one issuer that are kept
SNAPSHOT_BYTES_MAX: Final = 32 << 20  # 65,536 live segments at 350 bytes, and some
FORK_BYTES_MAX: Final = 2 * SIGNED_ROOT_BYTES_MAX + 64  # two signed roots in one array
PURGE_BYTES_MAX: Final = 64 << 10  # a longer purge is signed as several
NOTICE_BYTES_MAX: Final = PURGE_BYTES_MAX + 64  # a signed purge or root, and whose it is
SEEDS_BYTES_MAX: Final = 128 << 10  # every list in it full
SEED_FILE_BYTES_MAX: Final = 2 << 20  # a seed list and some hundred roots of usual length

# --- Static mirrors -------------------------------------------------------------------------------
STATIC_CATALOGUES_MAX: Final = 4096
STATIC_POINTER_BYTES_MAX: Final = 512 << 10  # each catalogue takes 75
STATIC_INDEX_BYTES_MAX: Final = 16 << 20
STATIC_STRETCHES_MAX: Final = 65_536  # of one branch: 16 million heads where they are small
STRETCH_HEADS_MAX: Final = 256  # a power of two
STRETCH_ENTRIES_MAX: Final = 4096  # as much as one head may add
STRETCH_BYTES_MAX: Final = 1 << 20  # heads and entries: one head with its entries always fits

# --- Reconciliation -------------------------------------------------------------------------------
RECONCILIATION_BYTES_MAX: Final = 56 << 10  # of one message; a question has room for more beside it
RECONCILIATION_BYTES_MIN: Final = 4 << 10  # that every peer takes
RECONCILIATION_RANGES_MAX: Final = 1024  # of one message: a few milliseconds to answer
ADMITTED_MAX: Final = 32_768  # catalogues that a peer names; 1 MiB
COMPARED_RECORDS_MAX: Final = 256  # that one question asks for by name

# --- Lists ----------------------------------------------------------------------------------------
SIGNATURES_MAX: Final = 32
KEYS_MAX: Final = 32
ROLE_KEYS_MAX: Final = 16
ROOT_VERSION_MAX: Final = 1024  # every peer keeps every version of a root
PURGES_MAX: Final = 256  # that are kept of one catalogue
WRITERS_MAX: Final = 64
PREFIXES_MAX: Final = 16  # of one writer
DELEGATES_MAX: Final = 64
META_MAX: Final = 16  # fields that describe an institution
META_TEXT_BYTES_MAX: Final = 1024
ANNOUNCED_HEADS_MAX: Final = 8
ANNOUNCED_ENTRIES_MAX: Final = 256  # of one announced head
ANNOUNCED_ENTRY_BYTES_MAX: Final = 8 << 10  # of all entries of one announcement
HEAD_ENTRIES_MAX: Final = 4096  # that one head adds
HEAD_ENTRY_BYTES_MAX: Final = 512 << 10  # of those: one answer brings them all, to check at once
REPLACES_MAX: Final = 256  # segments that one segment replaces
ITEM_IDS_MAX: Final = 512  # of one withdrawal
MIRRORS_MAX: Final = 16  # URLs of one entry
RELEASE_PAYLOADS_MAX: Final = 256
PURGE_NAMES_MAX: Final = 256  # objects, and again items
SEED_PEERS_MAX: Final = 64
SEED_CATALOGUES_MAX: Final = 256
SEED_MIRRORS_MAX: Final = 32
SEED_ADDRESS_BYTES_MAX: Final = 256  # of one multiaddr
SITE_BYTES_MAX: Final = 64 << 10  # what a domain says of its catalogues
SITE_CATALOGUES_MAX: Final = 256  # that one domain names
LIVE_SEGMENTS_MAX: Final = 65_536  # of one catalogue; those of the greatest rank find no room
BRANCHES_MAX: Final = 4  # of one log; a fifth is refused until a root closes one

# --- Sizes that records declare -------------------------------------------------------------------
CLOCK_MAX: Final = INTEGER_MAX
TREE_SIZE_MAX: Final = 2**40 - 1  # entries of one log; a frontier has at most 40 hashes
FRONTIER_HASHES_MAX: Final = 40
SEGMENT_BYTES_MAX: Final = 64 << 20
SEGMENT_ROWS_MAX: Final = 1_000_000
OBJECT_BYTES_MAX: Final = 64 << 20  # Collection documents, file lists, torrents, manifests
PIECE_BYTES_MIN: Final = 16 << 10  # BEP 52
PIECE_BYTES_MAX: Final = 256 << 20  # above the largest that clients accept
RISK_MAX: Final = 4
LONGITUDE_E7_MAX: Final = 1_800_000_000
LATITUDE_E7_MAX: Final = 900_000_000
