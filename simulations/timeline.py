"""What goes wrong, when and to whom: the faults and adversaries that a scenario file may name."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from simulations.settings import Seconds, Section, Share

Who = Literal["any", "publishers", "others"]


class _Timed(Section):
    at_seconds: Seconds
    for_seconds: Seconds

    @property
    def until_seconds(self) -> float:
        return self.at_seconds + self.for_seconds


class Struck(_Timed):
    """A fault of some peers."""

    who: Who = Field(
        default="any", description="Among whom the peers are drawn; publishers have a writer."
    )
    share: Share = Field(default=0.1, description="Of them, drawn at random; at least one.")


class Split(_Timed):
    """A partition. Peers are dealt to the sides in turn."""

    kind: Literal["split"]
    sides: int = Field(default=2, ge=2, le=64)
    shape: Literal["apart", "bridge", "ring", "one-way"] = Field(
        default="apart",
        description="apart: nothing crosses; bridge: one peer sees all sides; ring: each peer sees "
        "its own side and the two beside it; one-way: what a later side sends to an earlier one is "
        "lost, and connections stay up.",
    )


class Crash(Struck):
    """Some peers lose power and boot again from what was synced."""

    kind: Literal["crash"]


class Churn(Struck):
    """Some peers come and go, each at its own times (exponential)."""

    kind: Literal["churn"]
    up_seconds_mean: float = Field(default=120.0, gt=0, le=10**8)
    down_seconds_mean: float = Field(default=60.0, gt=0, le=10**8)


class Pause(Struck):
    """Some processes stand still, with their connections open, and go on (SIGSTOP, swapping)."""

    kind: Literal["pause"]


class Join(_Timed):
    """Peers come that were not there before, with an empty disk; they have `for_seconds` (I19)."""

    kind: Literal["join"]
    count: int = Field(default=1, ge=1, le=10**4, description="Of the last peers.")


class Skew(Struck):
    """The clocks of some peers are wrong, and may go on running wrong."""

    kind: Literal["skew"]
    who: Who = Field(
        default="others", description="Among whom the peers are drawn; publishers have a writer."
    )
    offset_seconds: int = Field(default=0, ge=-(10**8), le=10**8)
    drift_ppm: float = Field(
        default=0.0, ge=-(10**6), le=10**6, description="Microseconds gained in each second."
    )


class DiskFull(Struck):
    """The disks of some peers take nothing; the peers boot again when there is room."""

    kind: Literal["disk-full"]


class SlowDisk(Struck):
    """The disks of some peers are slow."""

    kind: Literal["slow-disk"]
    factor: float = Field(default=100.0, ge=1, le=10**5, description="Each fsync takes as long.")


class BitRot(Struck):
    """Some objects on the disks of some peers are no longer what they were; a scrub finds them.

    Until then, for `for_seconds`, the peer serves other bytes than it was asked for; afterwards it
    lacks the objects and fetches them again.
    """

    kind: Literal["bit-rot"]
    objects: Share = Field(default=0.5, description="Share of the objects of each struck peer.")


class MirrorOutage(_Timed):
    """The HTTP mirrors of all payloads do not answer."""

    kind: Literal["mirror-outage"]


class Theft(_Timed):
    """A thief with the first writer's key signs another end of its log at a peer of his.

    After `for_seconds` the institution's next root closes the log, if `closes`.
    """

    kind: Literal["theft"]
    heads: int = Field(default=1, ge=1, le=1000, description="That he signs, a segment each.")
    closes: bool = Field(
        default=True, description="With the owner's newest head as the last that counts."
    )


class Withdraw(_Timed):
    """The first writer withdraws items for a reason that erases; the other rows stay.

    After `for_seconds` no peer has the bytes any more (I21). A peer waits 7 days, unless `purges`.
    """

    kind: Literal["withdraw"]
    reason: Literal["privacy", "legal", "licence"] = "privacy"
    items: int = Field(default=1, ge=1, le=256, description="One of each publication.")
    purges: bool = Field(
        default=False, description="The institution's root keys sign that it is erased at once."
    )


Fault = Annotated[
    Split
    | Crash
    | Churn
    | Pause
    | Join
    | Skew
    | DiskFull
    | SlowDisk
    | BitRot
    | MirrorOutage
    | Theft
    | Withdraw,
    Field(discriminator="kind"),
]


class Adversary(Section):
    """Peers that follow the rules as far as it serves them."""

    kind: Literal[
        "withholder", "censor", "liar", "forger", "freezer", "sloth", "spammer", "equivocator"
    ] = Field(
        description="withholder: tells of heads and gives nothing; censor: passes nothing on and "
        "tells of nothing; liar: sends other bytes than were asked for; forger: alters "
        "entries and roots; freezer: tells of old heads only; sloth: lets every question time out; "
        "spammer: gossips heads that nobody signed; equivocator: of a log with several branches, "
        "tells each peer of one."
    )
    count: int = Field(default=1, ge=1, le=10**4, description="Of the last peers that do not join.")
    interval_seconds: float = Field(
        default=1.0, gt=0, le=10**6, description="Between two messages of a spammer."
    )


KINDS: frozenset[str] = frozenset(
    kind
    for fault in get_args(get_args(Fault)[0])
    for kind in get_args(fault.model_fields["kind"].annotation)
)
