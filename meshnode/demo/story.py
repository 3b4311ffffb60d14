"""What the demo tells: a small federation does its whole job, step by step, with real processes."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from meshnode.demo import sample
from meshnode.demo.account import Account, Seen
from meshnode.demo.federation import (
    Federation,
    Institution,
    plan,
    relays_running,
    settle_in,
)
from meshnode.demo.mirror import Mirror, serve_directory
from meshnode.demo.processes import PeerProcess, all_stopped
from meshnode.demo.sample_files import write_geoparquet, write_ndjson
from meshnode.errors import MeshnodeError, StorageError

SEED = 20_260_101
PAYLOAD_NAME = "whitehorse.bin"
PAYLOAD_BYTES = 32 << 20
MIRROR_BYTES_PER_SECOND = 4 << 20  # as much as the peer, so that each gives about half
SHARE_MIN = 0.2
SYNC_SECONDS_MAX = 60.0
ATTACK_SECONDS_MAX = 60.0


class StepFailedError(MeshnodeError):
    """A step of the demo did not show what it should."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the person asked for; `home` None: a temporary directory, removed unless kept."""

    items: tuple[Path, ...] = ()
    collection: str | None = None
    home: Path | None = None
    keep: bool = False


async def perform(options: Options, account: Account) -> None:
    """Do everything and record it.

    Raises:
        StepFailedError: a step failed, and why. The directories are then kept for a look.
    """
    directory = _directory(options.home)
    account.directory, account.is_kept = str(directory), True
    is_ours = options.home is None and not options.keep
    try:
        await _tell_story(plan(directory), options, account)
    except* MeshnodeError as group:
        error = _first_of(group)
        account.failure = str(error)
        raise _failed(account, error) from error
    except* BaseException:
        account.failure = "interrupted"
        _leave(account, directory, is_ours=is_ours)
        raise
    _leave(account, directory, is_ours=is_ours)


def _leave(account: Account, directory: Path, *, is_ours: bool) -> None:
    if is_ours:
        shutil.rmtree(directory)
        account.is_kept = False


def _failed(account: Account, error: MeshnodeError) -> StepFailedError:
    """Say which step failed, why, and where there is more to read."""
    step = f"step {len(account.steps) + 1}, “{account.at_work}”" if account.at_work else "the demo"
    logs = f"the peers' logs are {account.directory}/*.log"
    return StepFailedError(
        f"{step} failed: {error}", hint=f"{error.hint}; {logs}" if error.hint else logs
    )


async def _tell_story(federation: Federation, options: Options, account: Account) -> None:
    async with relays_running(federation), all_stopped(federation.peers):
        site = federation.directory / "mirror"
        site.mkdir()
        async with serve_directory(site, bytes_per_second=MIRROR_BYTES_PER_SECOND) as mirror:
            payload = await trio.to_thread.run_sync(make_payload, site, mirror.url)
            for title, work in (
                ("Two institutions, three peers", partial(found, federation)),
                ("Publish: check, sign, tell", partial(publish, federation, payload, options)),
                ("The same search, the same answer", partial(agree, federation)),
                ("Download: a mirror and a peer at once", partial(download, federation, mirror)),
            ):
                await account.record(title, work)
        for title, work in (
            ("Cut off, and back", partial(cut_and_heal, federation)),
            ("A hostile stranger is refused", partial(refuse_a_stranger, federation)),
            ("The end", partial(stop, federation)),
        ):
            await account.record(title, work)


def make_payload(site: Path, url: str) -> sample.PayloadFile:
    """Make the one real file: seeded noise, which nothing can compress."""
    content = random.Random(SEED).randbytes(PAYLOAD_BYTES)  # noqa: S311 - a sample is no secret
    (site / PAYLOAD_NAME).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return sample.PayloadFile(f"{url}{PAYLOAD_NAME}", len(content), digest)


# --- The steps ------------------------------------------------------------------------------------
async def found(federation: Federation) -> Seen:
    await settle_in(federation)
    for institution in federation.institutions:
        made = await institution.peer.command(
            *("catalogue", "create", institution.peer.name),
            *("--title", institution.title, "--no-passphrase"),
        )
        institution.catalogue = made["catalogue"]
    for peer in federation.peers:
        for institution in federation.institutions:
            await peer.command("follow", institution.catalogue)
    async with trio.open_nursery() as nursery:
        for peer in federation.peers:
            nursery.start_soon(
                peer.until, lambda status: status["connections"] == 2, SYNC_SECONDS_MAX
            )
    return Seen(
        (
            *(f"{each.title}: {each.catalogue[:20]}…" for each in federation.institutions),
            "The peers imagery, census and library run, each a process of its own. They found"
            " each other from a seed list and follow both catalogues.",
        ),
        {"catalogues": [each.catalogue for each in federation.institutions]},
    )


async def publish(federation: Federation, payload: sample.PayloadFile, options: Options) -> Seen:
    directory, imagery, census = federation.directory, federation.imagery, federation.census
    documents = {document["id"]: document for document in sample.sample_collections()}
    for name, document in documents.items():
        (directory / f"{name}.json").write_text(json.dumps(document))
    ndjson, parquet = directory / "imagery.ndjson", directory / "census.parquet"
    write_ndjson(ndjson, sample.sample_items(sample.ORTHOIMAGERY, SEED, payload))
    write_geoparquet(parquet, documents[sample.CENSUS], sample.sample_items(sample.CENSUS, SEED))
    published = [
        await _publish(federation, imagery, ndjson),
        await _publish(federation, census, parquet),
    ]
    own = ["--collection", options.collection] if options.collection else []
    if options.items:
        files = [str(path) for path in options.items]
        published.append(await imagery.peer.command("publish", *files, *own))
    await imagery.peer.command(
        "payload", "add", str(directory / "mirror" / PAYLOAD_NAME),
        "--collection", sample.ORTHOIMAGERY,
        "--bind", f"{sample.PAYLOAD_ITEM}:{sample.PAYLOAD_ASSET}",
        "--mirror", payload.href,
    )  # fmt: skip
    sources = (ndjson.name, parquet.name, "your own files")
    return Seen(
        (
            *(
                f"{done['items']} items of {source}, as signed segments: {done['segments']}"
                for done, source in zip(published, sources, strict=False)
            ),
            f"The file of one asset, {PAYLOAD_BYTES >> 20} MiB, is a payload now; an HTTP mirror"
            " has it too.",
        ),
        {"items": sum(done["items"] for done in published)},
    )


async def agree(federation: Federation) -> Seen:
    """Everybody fetches, verifies, indexes; the same search has the same answer everywhere."""
    await federation.until_all(await federation.heads(), SYNC_SECONDS_MAX)
    answers = [await _search_all(peer) for peer in federation.peers]
    if not answers[0] or any(answer != answers[0] for answer in answers):
        raise StepFailedError(f"the peers differ: {[len(answer) for answer in answers]} items")
    return Seen(
        (
            f"All {len(answers[0])} items are in each peer's own index, equal byte for byte.",
            "Heads came by gossip, entries and segments by streams; each peer checked them all.",
        ),
        {"items_each": len(answers[0])},
    )


async def download(federation: Federation, mirror: Mirror) -> Seen:
    target = federation.directory / "downloads"
    target.mkdir()
    got = await federation.library.command("get", sample.PAYLOAD_ITEM, "--to", str(target))
    sources: dict[str, int] = got["by_source"]
    total = sum(sources.values())
    shares = {source: size_bytes / total for source, size_bytes in sources.items()}
    kinds = {kind: _share(shares, kind) for kind in ("mirror", "peer")}
    if min(kinds.values()) < SHARE_MIN:
        raise StepFailedError(f"one source gave less than {SHARE_MIN:.0%}: {kinds}")
    file = got["files"][0]
    return Seen(
        (
            f"{file['size_bytes'] >> 20} MiB came, with the SHA-256 that its publisher signed:"
            f" {file['sha256'][:16]}…",
            *(f"{share:4.0%}  {source}" for source, share in sorted(shares.items())),
        ),
        {"shares": kinds, "sha256": file["sha256"], "mirror_bytes": mirror.served_bytes},
    )


async def cut_and_heal(federation: Federation) -> Seen:
    """Drop the library's links, publish on both sides of nothing, and bring it back."""
    before = len(await _search_all(federation.library))
    await _cut(federation)
    for institution in federation.institutions:
        await _publish_more(federation, institution, "while-cut-off")
    if len(await _search_all(federation.library)) != before:
        raise StepFailedError("something crossed the cut")
    federation.heal()
    healed = trio.current_time()
    await federation.until_all(await federation.heads(), SYNC_SECONDS_MAX)
    seconds = trio.current_time() - healed
    after = len(await _search_all(federation.library))
    return Seen(
        (
            "The library's links were dropped; both institutions went on publishing,"
            f" {after - before} items. The library went on answering from its own disk.",
            f"The links came back, and {seconds:.1f} s later the library had everything.",
        ),
        {"heal_seconds": round(seconds, 2), "items_missed": after - before},
    )


async def refuse_a_stranger(federation: Federation) -> Seen:
    """A hostile process offers a forged head and corrupt bytes to a peer that lags behind."""
    library, imagery = federation.library, federation.imagery
    await _cut(federation)
    await _publish_more(federation, imagery, "while-attacked")
    attacks = await _attack(federation)
    blames = (await library.command("peers"))["blames"]
    reasons = {blame["check"]: blame["reason"] for blame in blames}
    honest = [address.split("/")[-1] for address in federation.addresses.values()]
    if set(reasons) != {"content hash", "signature"} or any(b["peer"] in honest for b in blames):
        raise StepFailedError(f"{attacks} were blamed as {blames}")
    federation.heal()
    await federation.until_all(await federation.heads(), SYNC_SECONDS_MAX)
    return Seen(
        (
            "A process of its own offered the library a forged head and a corrupted segment.",
            *(f"Refused by the check “{check}”: {why}" for check, why in sorted(reasons.items())),
            "The honest bytes came from the others afterwards.",
        ),
        {"refused_by": reasons},
    )


async def stop(federation: Federation) -> Seen:
    statuses = [await peer.stop() for peer in federation.peers]
    if any(statuses):
        raise StepFailedError(f"a peer did not end well: exit statuses {statuses}")
    return Seen(("The three peers were asked to stop, and did.",), {"exits": statuses})


# --- What the steps are made of -------------------------------------------------------------------
async def _publish(federation: Federation, institution: Institution, file: Path) -> Any:  # noqa: ANN401
    document = federation.directory / f"{institution.collection}.json"
    return await institution.peer.command("publish", str(file), "--collection-json", str(document))


async def _publish_more(federation: Federation, institution: Institution, suffix: str) -> None:
    """Publish a dozen new items: some of the sample, under new ids."""
    path = federation.directory / f"{institution.peer.name}-{suffix}.ndjson"
    items = list(sample.sample_items(institution.collection, SEED))[:12]
    write_ndjson(path, [{**item, "id": f"{item['id']}-{suffix}"} for item in items])
    await _publish(federation, institution, path)


async def _search_all(peer: PeerProcess) -> Sequence[str]:
    """Return every item as published, in the order of ids."""
    found: list[tuple[str, str, str]] = []
    async for message in peer.control.follow("search"):
        for each in message.get("event", {}).get("found", ()):
            found += [(each["catalogue"], each["id"], each["item"])]
    return [item for _, _, item in sorted(found)]


async def _cut(federation: Federation) -> None:
    federation.cut()
    await federation.library.until(lambda status: status["connections"] == 0, SYNC_SECONDS_MAX)


async def _attack(federation: Federation) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "meshnode.demo.hostile"]
    command += ["--to", federation.addresses["library"]]
    command += ["--learn-from", federation.addresses["imagery"]]
    command += ["--catalogue", federation.imagery.catalogue]
    with trio.move_on_after(ATTACK_SECONDS_MAX):
        done = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False
        )
        if done.returncode:
            raise StepFailedError(f"the hostile process failed: {done.stderr.decode()[-400:]}")
        return [json.loads(line) for line in done.stdout.splitlines()]
    raise StepFailedError(f"the attack took more than {ATTACK_SECONDS_MAX:.0f} s")


def _first_of(group: BaseExceptionGroup[MeshnodeError]) -> MeshnodeError:
    """Return one of the errors of a group: those after it are its consequences."""
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first


def _share(shares: dict[str, float], kind: str) -> float:
    return round(sum(share for source, share in shares.items() if source.startswith(kind)), 3)


def _directory(home: Path | None) -> Path:
    if home is None:
        return Path(tempfile.mkdtemp(prefix="meshnode-demo-"))
    try:
        home.mkdir(parents=True, exist_ok=True)
        if any(home.iterdir()):
            raise StorageError(f"{home} is not empty", hint="name a new directory with --home")
    except OSError as error:
        raise StorageError(f"cannot use {home}: {error.strerror}") from error
    return home.resolve()
