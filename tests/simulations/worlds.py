"""A small world for tests: a split while both sides publish, and crashes of publishers."""

from __future__ import annotations

from simulations.scenario import Crash, LinkModel, Scenario, Split, Workload

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
