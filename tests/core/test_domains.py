"""Domains: only a site and a root that name each other are one institution's."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from meshnode.core.domains import (
    Binding,
    binding_of,
    domain_of,
    read_site,
    site_text,
    well_known_url,
)
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import CatalogueId, catalogue_text, sha256
from meshnode.core.roots import Root
from tests.core.institutions import Institution

OURS, THEIRS = CatalogueId(sha256(b"ours")), CatalogueId(sha256(b"theirs"))


def root_naming(domain: str | int) -> Root:
    return replace(Institution("town").root, meta={"domain": domain})


@pytest.mark.parametrize("domain", ["data.example", "a.b-c.example", "localhost:8443", "x"])
def test_r_91_a_domain_is_a_host_name_and_perhaps_a_port(domain: str):
    assert domain_of(root_naming(domain)) == domain


def test_r_91_capitals_are_the_same_domain():
    assert domain_of(root_naming("Data.Example")) == "data.example"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://data.example",
        "data.example/path",
        "user@data.example",
        "-a.example",
        "a..example",
        "ville.exämple",
        "data.example:",
        "data.example:123456",
        "[::1]",
        "a b",
        "data.example\n",
        "a" * 64 + ".example",
        ".".join(["a" * 50] * 6),
        7,
    ],
)
def test_r_91_other_texts_bind_nothing(text: str | int):
    assert domain_of(root_naming(text)) is None


def test_a_root_without_a_domain_names_none():
    assert domain_of(replace(Institution("town").root, meta={})) is None


def test_n_93_what_is_published_is_read_again():
    assert read_site(site_text([OURS, THEIRS]).encode()) == (OURS, THEIRS)
    assert well_known_url("data.example") == "https://data.example/.well-known/meshnode.json"


def test_n_93_members_that_are_not_known_are_ignored():
    said = {"meshnode": 1, "catalogues": [catalogue_text(OURS)], "contact": {"later": True}}
    assert read_site(json.dumps(said).encode()) == (OURS,)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"<html>",
        b'{"meshnode": 2, "catalogues": []}',
        b'{"meshnode": 1}',
        b'{"meshnode": 1, "catalogues": "bafy"}',
        b'{"meshnode": 1, "catalogues": ["bafy"]}',
        b'{"meshnode": 1, "catalogues": [1]}',
        json.dumps({"meshnode": 1, "catalogues": [catalogue_text(OURS)] * 257}).encode(),
        json.dumps({"meshnode": 1, "catalogues": [], "x": "x" * (64 << 10)}).encode(),
        b"[" * 60_000,
    ],
)
def test_n_93_what_does_not_name_catalogues_is_refused(raw: bytes):
    with pytest.raises(MalformedRecordError):
        read_site(raw)


@pytest.mark.parametrize(
    ("named", "binding"),
    [
        ((OURS,), Binding.SEEN),
        ((THEIRS, OURS), Binding.SEEN),
        ((THEIRS,), Binding.CONTRADICTED),
        ((), Binding.NOT_SEEN),
    ],
)
def test_n_94_the_binding_follows_from_what_the_site_names(
    named: tuple[CatalogueId, ...], binding: Binding
):
    assert binding_of(OURS, named) is binding
