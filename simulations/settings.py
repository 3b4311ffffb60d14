"""What a scenario says of the world that does not change while it runs: links, disks, publishers.

Every field has a unit, bounds and a default. What happens at which second is in `timeline`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=10**8)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """One table of the file: it never changes, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LinkModel(Section):
    """How messages travel."""

    degree: int = Field(
        default=8, ge=2, le=64, description="Links a peer has on average: a ring and random chords."
    )
    crossing: int = Field(
        default=0,
        ge=0,
        le=10**5,
        description="So many links alone between two halves, into which the peers are dealt in "
        "turn, as a split deals them; 0: halves are not told apart.",
    )
    latency_seconds_median: float = Field(
        default=0.04, gt=0, le=10, description="One way; each link has its own, log-normal."
    )
    latency_sigma: float = Field(
        default=0.5, ge=0, le=3, description="Spread of the link latencies (log-normal sigma)."
    )
    asymmetry: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="One way of a link, drawn for each, is slower by up to this share.",
    )
    jitter: float = Field(
        default=0.2, ge=0, le=10, description="Up to this share of the latency on top, a message."
    )
    loss: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of TCP segments that are lost; they are sent again, so messages are "
        "late.",
    )
    uplink_bytes_per_second: float = Field(
        default=2.5e6, gt=0, le=1e12, description="For log, object and piece answers of one peer."
    )
    hidden_share: float = Field(
        default=0.0,
        ge=0,
        le=0.95,
        description="Share of peers that nobody can dial (NAT, firewall): they dial two others and "
        "never meet each other.",
    )
    detect_seconds: Seconds = Field(
        default=10.0, description="From a cut until both ends know that the connection is gone."
    )
    redial_seconds_max: Seconds = Field(
        default=5.0, description="Within which two peers find each other once they can."
    )


class DiskModel(Section):
    """How fast peers write."""

    fsync_seconds: float = Field(default=0.005, ge=0, le=60, description="For one batch.")
    index_seconds_per_row: float = Field(
        default=0.0002, ge=0, le=10, description="To check and index one row of a segment."
    )


class Habits(Section):
    """What the node does of its own accord. A run without it shows what it is for."""

    reannounces: bool = Field(
        default=True,
        description="A peer that caught up by asking announces the newest head again, for others "
        "whom gossip did not reach either.",
    )


class Workload(Section):
    """What institutions publish. Writers live on the first peers, one each."""

    institutions: int = Field(default=2, ge=1, le=1000, description="Catalogues.")
    writers_each: int = Field(default=1, ge=1, le=64, description="Keys of one institution.")
    start_seconds: Seconds = Field(default=20.0, description="Of the first publication.")
    interval_seconds: float = Field(
        default=5.0, gt=0, le=10**7, description="Between two publications of one writer."
    )
    segments_each: int = Field(default=5, ge=1, le=10**5, description="Publications a writer.")
    statements: int = Field(
        default=0,
        ge=0,
        le=10**5,
        description="Reports about the catalogues, by peers drawn at random, over the same time.",
    )
    segment_bytes: int = Field(default=200_000, ge=1, le=64 << 20, description="Of one file.")
    segment_rows: int = Field(default=100, ge=1, le=10**6, description="Items in one segment.")
    withdraw_every: int = Field(
        default=0, ge=0, le=10**5, description="Each so-many-th publication withdraws an item."
    )
    snapshot_every: int = Field(
        default=0,
        ge=0,
        le=10**5,
        description="After each so-many-th publication, which states the collection's document "
        "anew, a head begins a snapshot.",
    )


class Payloads(Section):
    """Dataset files that peers download in pieces, from mirrors and from each other."""

    count: int = Field(default=0, ge=0, le=1000, description="Payloads; each has one seeding peer.")
    size_bytes: int = Field(default=64 << 20, ge=1, le=1 << 44, description="Of one payload.")
    piece_bytes: int = Field(default=4 << 20, ge=16 << 10, le=1 << 30, description="Of one piece.")
    mirrors: int = Field(default=1, ge=0, le=16, description="HTTP copies of each payload.")
    baits: int = Field(
        default=0,
        ge=0,
        le=16,
        description="Further mirrors that are signed for each payload, and lead whoever follows "
        "them into its own network: at once, or at the second look.",
    )
    mirror_bytes_per_second: float = Field(
        default=5e6, gt=0, le=1e12, description="What one mirror sends to all together."
    )
    mirrors_only: bool = Field(
        default=False, description="Peers send each other no pieces, as behind an HTTPS-only wall."
    )
    downloads: int = Field(
        default=0, ge=0, le=10**5, description="Peers that download each payload, drawn at random."
    )
    start_seconds: Seconds = Field(default=30.0, description="Of the first download.")
    spread_seconds: Seconds = Field(
        default=60.0, description="Within which the downloads begin; small is a crowd."
    )
