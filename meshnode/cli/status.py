"""`status`, `peers`: what a peer says of itself and of the others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.mirrors import required_text
from meshnode.cli.standing import print_notes, titled
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    out,
    print_json,
    print_json_line,
    print_labelled,
    print_table,
    run_async,
    short,
    size_text,
)
from meshnode.control import Control, Message

TURNED_AWAY_SHOWN_MIN = 100  # fewer are failures such as there are everywhere

app = typer.Typer()


@app.command(rich_help_panel="Peer")
def status(
    home: HomeOption,
    watch: Annotated[bool, typer.Option("--watch", help="Print again at each change.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what this peer follows, how far it is, and what it refused.

    Examples:

      meshnode status

      meshnode status --json | jq .catalogues
    """

    async def show() -> None:
        async with reach(home) as control:
            if watch:
                await _watch(control, as_json=as_json)
            else:
                _show_status(await control.ask("status"), as_json=as_json)

    run_async(show)


@app.command(rich_help_panel="Peer")
def peers(home: HomeOption, as_json: JsonOption = False) -> None:
    """Show the peers that are connected, who calls in vain, and what peers were blamed for.

    Examples:

      meshnode peers

      meshnode peers --json | jq .inbound
    """

    async def show() -> None:
        async with reach(home) as control:
            _show_peers(await control.ask("peers"), as_json=as_json)

    run_async(show)


async def _watch(control: Control, *, as_json: bool) -> None:
    async for message in control.follow("watch"):
        if "event" in message and as_json:
            print_json_line(message["event"])
        elif "event" in message:
            _show_status(message["event"], as_json=False)


def _show_status(status: Message, *, as_json: bool) -> None:
    if as_json:
        print_json(status)
        return
    _print_peer(status)
    out.print(
        f"{counted(status['connections'], 'peer')} connected,"
        f" {status['backlog']} objects and segments to go"
    )
    out.print(f"  {_of_budget(status)} of catalogues held")
    out.print(f"  {_quota_text(status['quota'])}, {size_text(status['free_bytes'])} free")
    _show_stop(status["traffic"])
    if status["connections"]:
        _print_reach(status["reach"])
    for seeds in status["seed_lists"]:
        _print_seed_notes(seeds)
    for mirror in status["mirrors"]:
        _show_mirror(mirror)
    _print_warnings(status)
    if not status["catalogues"]:
        out.print("no catalogue is followed yet: [bold]meshnode follow CATALOGUE[/]")
        return
    print_table(
        ("catalogue", "title", "items", "segments", "payloads", "logs (seq)"),
        (_catalogue_row(catalogue) for catalogue in status["catalogues"]),
    )
    for catalogue in status["catalogues"]:
        print_notes(catalogue)
    for refused in status["refused"]:
        text = f"segment {short(refused['segment'])}: {refused['reason']}"
        print_labelled("refused", text, "yellow", out)


def _print_warnings(status: Message) -> None:
    for alarm in status["mirror_alarms"]:
        text = f"{alarm['label']} at {alarm['mirror']}: {required_text(alarm)}"
        print_labelled("mirror missing:", text, "red bold", out)
    if status["read_only"]:
        print_labelled("read-only:", status["read_only"], "red bold", out)
    for denied in status["denied"]:
        out.print(f"denied: {denied} (meshnode deny list)")


def _print_peer(status: Message) -> None:
    running = f"since {_time(status['started'])}" if status["online"] else "offline"
    out.print(f"[bold]peer[/] {status['peer'] or '(known while it runs)'}")
    out.print(f"  {running}, meshnode {status['version']}, in {status['home']}")
    for address in status["addresses"]:
        out.print(f"  {address}")
    if (http := status["http"]) is not None and http["url"]:
        out.print(f"  {http['url']} (payloads, read in place)")
        if http["api"]["url"]:
            out.print(f"  {http['api']['url']}/ (STAC API)")
        else:
            print_labelled("  no STAC API:", http["api"]["failure"], "yellow", out)
    elif http is not None and http["failure"]:
        print_labelled("no HTTP:", http["failure"], "yellow", out)


def _print_reach(reach: Message) -> None:
    """Say whether others can call this peer, and what to do if they cannot."""
    seen = f" (others see it at {', '.join(reach['seen_at'])})" if reach["seen_at"] else ""
    ports = ", ".join(map(str, reach["ports"]))
    if reach["state"] == "not reachable":
        text = (
            f"others cannot call TCP port {ports}{seen}: open it in the firewall, or have the"
            " router forward it; this peer calls others meanwhile"
        )
        print_labelled("not reachable:", text, "yellow bold", out)
    elif reach["state"] == "unknown":
        out.print("reachable from outside: not known yet, peers of other networks are asked")
    else:
        out.print(f"{reach['state']} at TCP port {ports}{seen}")


def _print_seed_notes(seeds: Message) -> None:
    """Print what is wrong with a seed list, or with what its sources say."""
    name = seeds["title"] or short(seeds["catalogue"])
    if seeds["expired"]:
        text = f"{name}: its list of first contacts ended: meshnode seeds refresh"
        print_labelled("expired", text, "yellow", out)
    for source in seeds["sources"]:
        if source["disagrees"]:
            text = f"{name}: at {source['url']}, {source['reason']}"
            print_labelled("possible eclipse", text, "red bold", out)


def _show_mirror(mirror: Message) -> None:
    if mirror["connected"]:
        state = f"read {_time(mirror['checked'])}" if mirror["checked"] else "being read"
    elif mirror["failing_since"]:
        state = f"cannot be read since {_time(mirror['failing_since'])}"
    else:
        state = "not read yet"
    out.print(Text(f"mirror {mirror['url']}\n  {state}"))
    if mirror["faults"]:
        said = f"{counted(mirror['faults'], 'fault')} since the start: meshnode peers"
        print_labelled("  blamed:", said, "yellow", out)
    if mirror["problem"]:
        print_labelled("  problem:", mirror["problem"], "yellow", out)


_STOPPED = {
    "paused": "payloads are paused: meshnode payload resume",
    "month": "payloads rest until next month: payload.monthly_bytes_max is reached",
}


def _show_stop(traffic: Message | None) -> None:
    """Say why no payload moves, if none does."""
    if traffic is not None and traffic["stopped"]:
        out.print(f"  {_STOPPED[traffic['stopped']]}", style="yellow")


def _quota_text(quota: Message) -> str:
    limit = f" of {size_text(quota['limit_bytes'])}" if quota["limit_bytes"] else ", no quota"
    reserved = size_text(quota["reserved_bytes"])
    return f"{size_text(quota['used_bytes'])} kept in all{limit}, {reserved} reserved"


def _of_budget(holder: Message) -> str:
    """Return how much is held, and of how much if there is a limit."""
    budget = holder["budget_bytes"]
    return size_text(holder["bytes"]) + ("" if budget is None else f" of {size_text(budget)}")


def _catalogue_row(catalogue: Message) -> tuple[Any, ...]:
    logs = ", ".join(
        f"{log['label']} {log['seq']}"
        + (f" DISPUTED since {log['disputed_since']}" if log["disputed"] else "")
        + (f", its snapshot LIES since {since}" if (since := log["snapshot_lies_since"]) else "")
        for log in catalogue["logs"]
    )
    title = titled(catalogue, "(its root is not here yet)")
    if catalogue["delegated"]:
        title += f" (delegated: {', '.join(f'{prefix}*' for prefix in catalogue['delegated'])})"
    segments = f"{catalogue['segments']} ({_of_budget(catalogue)})"
    counts = (catalogue["items"], segments, catalogue["payloads"])
    return (short(catalogue["id"]), title, *counts, logs)


def _show_peers(answer: Message, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    if answer["peers"]:
        _print_reach(answer["reach"])
        _print_connections(answer["peers"])
    else:
        out.print("no peer is connected: [bold]meshnode config set network.seeds ADDRESS[/]")
    for blocked in answer["blocked"]:
        out.print(f"blocked: {blocked}")
    for each in answer["broken_words"]:
        times = counted(each["times"], "time")
        text = f"{short(each['peer'])} had not what it stated, or was not there, {times}"
        print_labelled("called in vain", text, "yellow", out)
    if answer["inbound"] is not None:
        _print_turned_away(answer["inbound"])
    for blame in answer["blames"]:
        who = f"{_time(blame['time'])} {short(blame['peer'])}"
        print_labelled("blamed", f"{who} ({blame['check']}): {blame['reason']}", "yellow", out)


def _print_turned_away(inbound: Message) -> None:
    """Name who called in vain; a handshake or two that fail are nothing to speak of."""
    for each in inbound["most_turned_away"]:
        if each["times"] >= TURNED_AWAY_SHOWN_MIN:
            text = f"{each['times']} connections from {each['network'] or 'an unknown address'}"
            print_labelled("turned away", text, "yellow", out)


def _print_connections(connected: list[Message]) -> None:
    print_table(
        ("peer", "address", "direction", "since", "faults"),
        (
            (
                short(peer["peer"]),
                peer["address"],
                "out" if peer["outbound"] else "in",
                _time(peer["since"]),
                peer["faults"],
            )
            for peer in connected
        ),
    )


def _time(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
