"""What sites say of catalogues: asked over HTTPS, remembered, and no more than a word."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from meshnode.core.domains import Binding, site_text
from meshnode.core.identifiers import CatalogueId, sha256
from meshnode.core.roots import Root
from meshnode.core.trust import RootChain
from meshnode.errors import StorageError
from meshnode.runtime.joining.domain_book import (
    FRESH_SECONDS,
    LASTING_SECONDS,
    NO_DOMAIN,
    Domain,
    DomainBook,
    ask_site,
)
from tests.runtime.certificates import Authority, made_authority
from tests.runtime.seed_makers import SeedMaker
from tests.runtime.web import Answer, Folder, Web, serving

START = 1_800_000_000
OTHER = CatalogueId(sha256(b"another"))
WITHIN_SECONDS = 30.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return made_authority(tmp_path_factory.mktemp("authority"))


def site(tmp_path: Path, *catalogues: CatalogueId) -> Folder:
    folder = Folder(root=tmp_path)
    (tmp_path / ".well-known").mkdir(exist_ok=True)
    (tmp_path / ".well-known/meshnode.json").write_text(site_text(catalogues))
    return folder


def named(domain: str) -> tuple[CatalogueId, Root]:
    institution = SeedMaker("town", domain).institution
    return institution.catalogue, institution.root


def said(name: str, binding: Binding, at: int, reason: str = "") -> Domain:
    return Domain(name, binding, reason, at, at)


async def asked(url: str, *, names: bool, tmp_path: Path) -> Domain:
    catalogue, root = named(url.removeprefix("https://"))
    site(tmp_path, catalogue if names else OTHER)
    return await ask_site(catalogue, root, START, allow_local=True)


@pytest.mark.parametrize(("names", "binding"), [(True, "seen"), (False, "contradicted")])
async def test_n_94_a_site_names_the_catalogue_or_another(
    tmp_path: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    names: bool,
    binding: str,
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with serving(Folder(root=tmp_path), authority.tls) as url:
        found = await asked(url, names=names, tmp_path=tmp_path)
    assert (found.binding, found.said) == (Binding(binding), START)


async def test_n_93_a_site_whose_certificate_does_not_hold_says_nothing(
    tmp_path: Path, authority: Authority
):
    with serving(Folder(root=tmp_path), authority.tls) as url:
        found = await asked(url, names=True, tmp_path=tmp_path)
    assert found.binding is Binding.NOT_SEEN
    assert "certificate verify failed" in found.reason


async def test_n_93_a_domain_does_not_lead_into_the_own_network(
    tmp_path: Path, authority: Authority
):
    folder = Folder(root=tmp_path)
    with serving(folder, authority.tls) as url:
        catalogue, root = named(url.removeprefix("https://"))
        found = await ask_site(catalogue, root, START)
    assert found.binding is Binding.NOT_SEEN
    assert "inside this machine's own network" in found.reason
    assert folder.answered == []


@pytest.mark.parametrize("answer", [Answer(404), Answer(200, b"<html>"), Answer(200, b"{}")])
async def test_n_94_a_site_that_says_something_else_says_nothing(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, answer: Answer
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with serving(Web(first=[answer]), authority.tls) as url:
        catalogue, root = named(url.removeprefix("https://"))
        found = await ask_site(catalogue, root, START, allow_local=True)
    assert found.binding is Binding.NOT_SEEN
    assert found.reason


async def test_a_root_without_a_domain_asks_nobody():
    assert await ask_site(*named(""), START) is NO_DOMAIN


async def test_what_a_site_said_is_there_after_a_restart(tmp_path: Path):
    catalogue, root = named("town.example")
    book = DomainBook(tmp_path / "domains.json")
    await book.note(catalogue, said("town.example", Binding.SEEN, START))
    assert DomainBook(tmp_path / "domains.json").of(catalogue, root).binding is Binding.SEEN


@pytest.mark.parametrize(
    ("later", "binding"), [(LASTING_SECONDS - 1, Binding.SEEN), (LASTING_SECONDS, Binding.NOT_SEEN)]
)
async def test_n_94_a_silent_site_keeps_its_last_word_for_a_month(
    tmp_path: Path, later: int, binding: Binding
):
    catalogue, root = named("town.example")
    book = DomainBook(tmp_path / "domains.json")
    await book.note(catalogue, said("town.example", Binding.SEEN, START))
    for at in range(START, START + later, 7 * 86_400):
        await book.note(catalogue, said("town.example", Binding.NOT_SEEN, at, "away"))
    await book.note(catalogue, said("town.example", Binding.NOT_SEEN, START + later, "away"))
    assert book.of(catalogue, root).binding is binding


async def test_a_contradiction_replaces_what_was_seen(tmp_path: Path):
    catalogue, root = named("town.example")
    book = DomainBook(tmp_path / "domains.json")
    await book.note(catalogue, said("town.example", Binding.SEEN, START))
    await book.note(catalogue, said("town.example", Binding.CONTRADICTED, START + 1))
    assert book.of(catalogue, root).binding is Binding.CONTRADICTED


async def test_a_root_that_names_another_domain_was_not_seen_there(tmp_path: Path):
    catalogue, root = named("town.example")
    book = DomainBook(tmp_path / "domains.json")
    await book.note(catalogue, said("town.example", Binding.SEEN, START))
    moved = replace(root, meta={"domain": "village.example"})
    assert book.of(catalogue, moved).binding is Binding.NOT_SEEN
    assert book.is_due(catalogue, moved, START)
    assert book.of(catalogue, None) is NO_DOMAIN


@pytest.mark.parametrize(
    ("later", "is_due"),
    [(0, False), (FRESH_SECONDS - 1, False), (FRESH_SECONDS, True), (-FRESH_SECONDS, True)],
)
async def test_a_site_is_asked_once_a_day_whatever_the_clock_does(
    tmp_path: Path, later: int, is_due: bool
):
    catalogue, root = named("town.example")
    book = DomainBook(tmp_path / "domains.json")
    await book.note(catalogue, said("town.example", Binding.NOT_SEEN, START))
    assert book.is_due(catalogue, root, START + later) is is_due


async def test_a_running_peer_asks_the_sites_of_what_it_follows(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    book = DomainBook(tmp_path / "domains.json")
    with serving(Folder(root=tmp_path), authority.tls) as url:
        maker = SeedMaker("town", url.removeprefix("https://"))
        site(tmp_path, maker.institution.catalogue)
        chain = RootChain.begin(maker.institution.raw_root)
        async with trio.open_nursery() as nursery:
            rounds = trio.Event()

            def followed() -> list[RootChain]:
                if book.of(chain.catalogue, chain.current).binding is Binding.SEEN:
                    rounds.set()
                return [chain]

            monkeypatch.setattr("meshnode.runtime.joining.domain_book.ROUND_SECONDS", 0.01)

            async def run() -> None:
                await book.run(followed, random.Random(1), allow_local=True)

            nursery.start_soon(run)
            with trio.fail_after(WITHIN_SECONDS):
                await rounds.wait()
            nursery.cancel_scope.cancel()


async def test_a_damaged_file_is_named(tmp_path: Path):
    (tmp_path / "domains.json").write_text('{"a": 1}')
    with pytest.raises(StorageError, match=r"domains\.json is damaged"):
        DomainBook(tmp_path / "domains.json")
