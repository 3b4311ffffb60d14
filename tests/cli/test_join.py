"""A newcomer's way in, from a web address to a search; and an institution's side of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine, Said
from tests.cli.test_bad_input import town, write_items
from tests.runtime.certificates import Authority, made_authority
from tests.runtime.web import Folder, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PEER = "/dns4/mesh.example.org/tcp/4001/p2p/12D3KooWQQNiGWbiiDLYSpeMHqVXhNFpAwxrYhYAYYkvTYMSCGpz"
WELL_KNOWN = ".well-known/meshnode.json"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return made_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Iterator[Folder]:
    """The institution's web server, over HTTPS."""
    folder = tmp_path / "www"
    folder.mkdir()
    with serving(web := Folder(root=folder), authority.tls):
        yield web


@pytest.fixture
def institution(tmp_path: Path, site: Folder) -> CommandLine:
    """An institution whose root names its web server."""
    (tmp_path / "institution").mkdir()
    person = CommandLine(tmp_path / "institution")
    person.call("init", "--listen", "/ip4/127.0.0.1/tcp/0")
    person.call("config", "set", "payload.listen", "127.0.0.1:0")
    domain = site.url.removeprefix("https://")
    made = person.call(
        "catalogue", "create", "towns", "--title", "Towns", "--domain", domain, "--no-passphrase"
    )
    assert made.status == 0, made.err
    return person


@pytest.fixture
def newcomer(tmp_path: Path, authority: Authority) -> CommandLine:
    """Somebody with nothing but a computer that trusts the authority of the tests."""
    (tmp_path / "newcomer").mkdir()
    person = CommandLine(tmp_path / "newcomer")
    person.environment["SSL_CERT_FILE"] = str(authority.file)
    return person


def assert_refused_with(said: Said, problem: str) -> None:
    """The command did nothing, says why, and what to do next."""
    assert said.status == 1
    error, *hints = said.err.splitlines()
    assert error.startswith("error: ")
    assert problem in error
    assert [hint[:7] for hint in hints] == ["next:  "]


def publish_list(institution: CommandLine, site: Folder, *peers: str) -> str:
    """Draft, sign and put on the web; return the fingerprint."""
    draft = institution.folder / "draft.toml"
    draft.unlink(missing_ok=True)
    options = [option for peer in peers or (PEER,) for option in ("--peer", peer)]
    made = institution.call("seeds", "create", "--to", str(draft), *options)
    assert made.status == 0, made.err
    signed = institution.call(
        "seeds", "sign", str(draft), "--to", str(site.root / "list"), "--json"
    )
    assert signed.status == 0, signed.err
    return str(signed.json["catalogue"])


def vouch(institution: CommandLine, site: Folder) -> None:
    (site.root / WELL_KNOWN).parent.mkdir(exist_ok=True)
    said = institution.call("catalogue", "well-known", "--to", str(site.root / WELL_KNOWN))
    assert said.status == 0, said.err


def test_a_newcomer_joins_from_a_web_address_and_finds_what_is_published(
    institution: CommandLine, newcomer: CommandLine, site: Folder
) -> None:
    write_items(institution.folder / "items.ndjson", town("dawson"))
    assert institution.call("publish", "items.ndjson").status == 0
    vouch(institution, site)
    with institution.running_peer():
        addresses = institution.call("status", "--json").json["addresses"]
        fingerprint = publish_list(institution, site, *addresses)
        joined = newcomer.call(
            "join", f"{site.url}/list", "--yes", "--fingerprint", fingerprint, "--json"
        )
        assert joined.status == 0, joined.err
        assert joined.json["domain"]["binding"] == "seen"
        assert joined.json["online"] is False
        newcomer.call("config", "set", "network.listen", "/ip4/127.0.0.1/tcp/0")
        newcomer.call("config", "set", "payload.listen", "127.0.0.1:0")
        with newcomer.running_peer():
            while newcomer.call("search", "--count").out.strip() != "1":
                newcomer.run("version")  # some work, so that it is not asked all the time
            stands = newcomer.call("status", "--json").json
    assert stands["catalogues"][0]["domain"]["binding"] == "seen"
    [source] = stands["seed_lists"][0]["sources"]
    assert (source["url"], source["state"], source["disagrees"]) == (
        f"{site.url}/list",
        "same",
        False,
    )


def test_a_person_sees_institution_domain_and_fingerprint_at_80_columns(
    institution: CommandLine, newcomer: CommandLine, site: Folder
) -> None:
    fingerprint = publish_list(institution, site)
    vouch(institution, site)
    said = newcomer.call("join", f"{site.url}/list", "--yes", "--fingerprint", fingerprint)
    domain = site.url.removeprefix("https://")
    lines = said.out.splitlines()
    assert lines[:3] == [
        "Towns",
        f"  fingerprint  {fingerprint}",
        f"  domain       {domain}: seen, it names this catalogue",
    ]
    assert [line for line in lines if len(line) > 80 and "/p2p/" not in line] == []
    assert lines[-1] == "joined"
    assert said.err == "next: meshnode run\n"
    listed = newcomer.call("catalogue", "list").out
    assert listed.startswith(f"Towns ({domain}: seen)\n  {fingerprint}\n")


def test_another_fingerprint_is_refused_and_nothing_is_kept(
    institution: CommandLine, newcomer: CommandLine, site: Folder
) -> None:
    own = publish_list(institution, site)
    other = "bafyreigh2akiscaildc3mqbqmvtqsdxkq2a7pyb4tjlmmuiwjzrobmqk3u"
    said = newcomer.call("join", f"{site.url}/list", "--yes", "--fingerprint", other)
    assert said.status == 1
    assert f"error: the fingerprint is {own}, and not {other}" in said.err
    assert not newcomer.home.exists()


def test_nobody_is_joined_unasked(
    institution: CommandLine, newcomer: CommandLine, site: Folder
) -> None:
    fingerprint = publish_list(institution, site)
    assert_refused_with(
        newcomer.call("join", f"{site.url}/list", "--yes"), "--yes needs --fingerprint"
    )
    unasked = newcomer.call("join", f"{site.url}/list", "--fingerprint", fingerprint)
    assert_refused_with(unasked, "nobody can be asked here")
    assert not newcomer.home.exists()


def test_a_site_that_names_another_catalogue_contradicts(
    institution: CommandLine, newcomer: CommandLine, site: Folder
) -> None:
    fingerprint = publish_list(institution, site)
    vouch(institution, site)
    other = "bafyreigh2akiscaildc3mqbqmvtqsdxkq2a7pyb4tjlmmuiwjzrobmqk3u"
    newcomer.call("init")
    newcomer.call("catalogue", "well-known", other, "--to", str(site.root / WELL_KNOWN))
    said = newcomer.call("join", f"{site.url}/list", "--yes", "--fingerprint", fingerprint)
    assert said.status == 0, said.err
    assert "CONTRADICTED, its site names other catalogues" in said.out
    domain = site.url.removeprefix("https://")
    wanted = f"CONTRADICTED Towns: the site of {domain} names other catalogues, and not this one"
    assert wanted in newcomer.call("status").out
    assert f"contradicted by {domain}" in newcomer.call("search").err


def test_a_rollback_is_reported_as_a_possible_eclipse(
    institution: CommandLine, newcomer: CommandLine, site: Folder
) -> None:
    publish_list(institution, site)
    old = (site.root / "list").read_bytes()
    fingerprint = publish_list(institution, site)
    newcomer.call("join", f"{site.url}/list", "--yes", "--fingerprint", fingerprint)
    (site.root / "list").write_bytes(old)
    listed = newcomer.call("seeds", "refresh").out
    assert "possible eclipse" in listed
    assert "it tells seed list 1, and 2 is known" in listed
    assert "possible eclipse Towns: at" in newcomer.call("status").out
    refused = newcomer.call("join", f"{site.url}/list", "--yes", "--fingerprint", fingerprint)
    assert_refused_with(refused, "it tells seed list 1, and 2 is known")
    assert newcomer.call("seeds", "list", "--json").json["lists"][0]["version"] == 2


def test_a_list_is_joined_from_a_file_while_the_peer_runs(
    institution: CommandLine, newcomer: CommandLine, site: Folder
) -> None:
    fingerprint = publish_list(institution, site)
    newcomer.call("init", "--listen", "/ip4/127.0.0.1/tcp/0")
    newcomer.call("config", "set", "payload.listen", "127.0.0.1:0")
    with newcomer.running_peer():
        path = str(site.root / "list")
        said = newcomer.call("join", path, "--all", "--yes", "--fingerprint", fingerprint)
        assert said.status == 0, said.err
        assert said.err == "next: meshnode status --watch\n"
    assert newcomer.call("seeds", "drop", fingerprint).out == f"dropped: {fingerprint}\n"
    assert newcomer.call("seeds", "list").out == "none yet\n"
    assert len(newcomer.call("status", "--json").json["catalogues"]) == 1


def test_copies_of_a_list_are_compared(institution: CommandLine, site: Folder) -> None:
    publish_list(institution, site)
    old = institution.folder / "old"
    old.write_bytes((site.root / "list").read_bytes())
    publish_list(institution, site)
    new = str(site.root / "list")
    assert institution.call("seeds", "check", new).status == 0
    said = institution.call("seeds", "check", str(old), new, "missing", "--json")
    assert said.status == 1
    problems = [each["problem"] for each in said.json["sources"]]
    assert problems[:2] == ["it is version 1, and there is version 2", ""]
    assert problems[2].startswith("cannot read missing")
    ending = institution.call("seeds", "check", new, "--days", "100")
    assert ending.status == 1
    assert "it ends on" in ending.out


@pytest.mark.parametrize(
    ("draft", "problem"),
    [
        ("peers = []", "names neither a peer nor a mirror"),
        ('peers = ["mesh.example.org"]', "is not the address of a peer"),
        ('mirrors = ["http://m.example.org"]', "mirrors.0"),
        ("days = 400", "days"),
        (f'peers = ["{PEER}", "{PEER}"]', "breaks the rules: a list names something twice"),
        ("host = 1", "host"),
        (f'peers = ["{PEER}"]\n[[catalogues]]\nid = "x"\ntitle = "y"', "is not a catalogue id"),
    ],
)
def test_a_draft_that_says_something_wrong_is_not_signed(
    institution: CommandLine, draft: str, problem: str
) -> None:
    (institution.folder / "draft.toml").write_text(draft)
    said = institution.call("seeds", "sign", "draft.toml", "--to", "list")
    assert_refused_with(said, problem)
    assert not (institution.folder / "list").exists()


def test_versions_rise_also_when_the_file_is_lost(institution: CommandLine, site: Folder) -> None:
    publish_list(institution, site)
    (site.root / "list").unlink()
    publish_list(institution, site)
    shown = institution.call("seeds", "show", str(site.root / "list"), "--json").json
    assert shown["version"] == 2
    assert shown["peers"] == [PEER]
    assert json.loads(institution.call("catalogue", "well-known").out)["catalogues"] == [
        shown["catalogue"]
    ]


def test_a_draft_replaces_no_file(institution: CommandLine) -> None:
    (institution.folder / "draft.toml").write_text("mine")
    said = institution.call("seeds", "create", "--to", "draft.toml", "--peer", PEER)
    assert_refused_with(said, "there is draft.toml already")
