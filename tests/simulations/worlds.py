"""Small worlds for tests: what the library's scenarios show, with a dozen peers."""

from __future__ import annotations

from simulations.scenario import Scenario
from simulations.settings import LinkModel, Payloads, Workload
from simulations.timeline import (
    Adversary,
    BitRot,
    Crash,
    DiskFull,
    Join,
    Split,
    Theft,
    Withdraw,
)

TROUBLED = Scenario(
    name="troubled",
    title="Twelve peers, a split, and publishers that lose power.",
    nodes=12,
    settle_seconds_max=200,
    links=LinkModel(degree=4, loss=0.02),
    workload=Workload(
        institutions=2, writers_each=2, segments_each=6, interval_seconds=6, withdraw_every=2
    ),
    faults=(
        Split(kind="split", at_seconds=25, for_seconds=30),
        Crash(kind="crash", at_seconds=45, for_seconds=8, who="publishers", share=1),
        Crash(kind="crash", at_seconds=48, for_seconds=10, who="others", share=0.2),
    ),
)

LARGE = TROUBLED.model_copy(
    update={
        "name": "large",
        "title": "Twelve peers in trouble, with segments of four mebibytes.",
        "workload": TROUBLED.workload.model_copy(update={"segment_bytes": 4 << 20}),
    }
)

MIXED = TROUBLED.model_copy(
    update={
        "name": "mixed",
        "title": "The same troubles, with half of the peers of the protocol's former version.",
        "former_share": 0.5,
    }
)

SPOKEN = TROUBLED.model_copy(
    update={
        "name": "spoken",
        "title": "The same troubles, while peers report what is wrong.",
        "workload": TROUBLED.workload.model_copy(update={"statements": 30}),
    }
)

HOSTILE = Scenario(
    name="hostile",
    title="Eighteen peers, nine of them adversaries, a payload, and a newcomer.",
    nodes=18,
    settle_seconds_max=200,
    links=LinkModel(degree=6, loss=0.02),
    workload=Workload(institutions=2, segments_each=10, interval_seconds=6, withdraw_every=2),
    payloads=Payloads(count=1, size_bytes=4 << 20, piece_bytes=1 << 20, downloads=5),
    faults=(Join(kind="join", at_seconds=70, for_seconds=100, count=1),),
    adversaries=(
        Adversary(kind="withholder", count=2),
        Adversary(kind="forger", count=3),
        Adversary(kind="liar", count=3),
        Adversary(kind="spammer", count=1, interval_seconds=3),
    ),
)

WORN = Scenario(
    name="worn",
    title="Twelve peers with disks that are full, rotten, or lose what was not synced.",
    nodes=12,
    settle_seconds_max=200,
    links=LinkModel(degree=4, loss=0.02),
    workload=Workload(institutions=2, segments_each=8, interval_seconds=8, withdraw_every=2),
    faults=(
        DiskFull(kind="disk-full", at_seconds=30, for_seconds=20, who="publishers", share=1),
        DiskFull(kind="disk-full", at_seconds=35, for_seconds=20, who="others", share=0.2),
        BitRot(kind="bit-rot", at_seconds=40, for_seconds=30, who="others", share=0.3),
        Crash(kind="crash", at_seconds=50, for_seconds=5, share=0.5),
    ),
)

STOLEN = Scenario(
    name="stolen",
    title="Ten peers, a thief with a writer's key, and the root that closes the log.",
    nodes=10,
    settle_seconds_max=200,
    links=LinkModel(degree=4, loss=0.02),
    workload=Workload(institutions=2, segments_each=8, interval_seconds=8, withdraw_every=3),
    faults=(Theft(kind="theft", at_seconds=50, for_seconds=30, heads=2),),
)

ERASED = Scenario(
    name="erased",
    title="Eight peers; items are withdrawn for legal reasons, and a purge hastens it.",
    nodes=8,
    settle_seconds_max=200,
    links=LinkModel(degree=4, loss=0.02),
    workload=Workload(institutions=1, segments_each=5, interval_seconds=5),
    faults=(
        Withdraw(
            kind="withdraw", at_seconds=60, for_seconds=40, reason="legal", items=2, purges=True
        ),
        Crash(kind="crash", at_seconds=55, for_seconds=15, who="others", share=0.3),
    ),
)

GROWN = Scenario(
    name="grown",
    title="Ten peers; two writers begin snapshots, and two newcomers begin with these.",
    nodes=10,
    settle_seconds_max=200,
    links=LinkModel(degree=4, loss=0.02),
    workload=Workload(
        institutions=1,
        writers_each=2,
        segments_each=14,
        interval_seconds=4,
        withdraw_every=2,
        snapshot_every=4,
    ),
    faults=(
        Join(kind="join", at_seconds=62, for_seconds=120, count=2),
        Crash(kind="crash", at_seconds=72, for_seconds=5, who="others", share=0.5),
    ),
)

SURROUNDED = Scenario(
    name="surrounded",
    title="Twelve peers, ten of them censors; a split that breaks no connection takes news away.",
    nodes=12,
    settle_seconds_max=450,  # eleven polls with the longest pauses between them, and the fetching
    links=LinkModel(degree=24, detect_seconds=60),
    workload=Workload(institutions=1, segments_each=6, interval_seconds=3),
    faults=(Split(kind="split", at_seconds=28, for_seconds=25),),
    adversaries=(Adversary(kind="censor", count=10),),
)

BAITED = Scenario(
    name="baited",
    title="Eight peers want a payload whose writer names mirrors that lead into their networks.",
    nodes=8,
    settle_seconds_max=200,
    links=LinkModel(degree=4),
    workload=Workload(institutions=1, segments_each=3, interval_seconds=5),
    payloads=Payloads(
        count=1, size_bytes=8 << 20, piece_bytes=1 << 20, mirrors=1, baits=6, downloads=5
    ),
)

FORKED = Scenario(
    name="forked",
    title="Ten peers in five parts; a stolen key signs in another, and no root decides.",
    nodes=10,
    settle_seconds_max=200,
    links=LinkModel(degree=4, loss=0.02),
    workload=Workload(institutions=2, segments_each=8, interval_seconds=8, withdraw_every=3),
    faults=(
        Split(kind="split", at_seconds=40, for_seconds=60, sides=5),
        Theft(kind="theft", at_seconds=50, for_seconds=10, heads=3, closes=False),
        Crash(kind="crash", at_seconds=110, for_seconds=5, share=0.5),
    ),
    adversaries=(Adversary(kind="equivocator", count=2),),
)
