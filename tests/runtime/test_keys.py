"""Key files and the catalogues that can be published from a data directory."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from meshnode.core.identifiers import PublicKey
from meshnode.core.signing import public_key
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.keys import (
    create_key,
    load_key,
    load_or_create_key,
    public_key_of,
    read_public_key,
    write_public_key,
)
from meshnode.runtime.maintainer import institutions
from tests.runtime.homes import made_home

OPENSSL = """\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGTME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAhLc0ni7VUnTgICQAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBCaHylKwf4HnqjUdvdAlZoLBECK13WAt0SMZXuT
Z3YeXawAOxjv/Qq14ySmsfGNdEtXGgupaD/KzD9lqpY+Q03Mzxgbf8/MeV3oBoLh
iJSAYy2V
-----END ENCRYPTED PRIVATE KEY-----
"""


def words(said: str | None):
    """Return how a person who knows `said` answers, and what was asked of him."""
    if said is None:
        return None
    return lambda path: said


@pytest.mark.parametrize("passphrase", [None, "long words", "pass phräse \u26bf"])
def test_a_key_reads_back_and_only_its_owner_can_read_it(tmp_path: Path, passphrase):
    path = tmp_path / "a.key"
    made = create_key(path, passphrase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, words(passphrase)).private_bytes_raw() == made.private_bytes_raw()


def test_an_encrypted_key_is_a_standard_file_and_costs_a_guesser_scrypt(tmp_path: Path):
    """PBES2, scrypt N = 2^14, r = p = 8, AES-256-CBC: as `openssl pkcs8 -topk8 -scrypt` writes."""
    made = create_key(tmp_path / "a.key", "words")
    pem = (tmp_path / "a.key").read_text()
    assert pem.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    der = base64.b64decode("".join(pem.splitlines()[1:-1]))
    assert bytes.fromhex("2b06010401da47040b") in der
    assert bytes.fromhex("02024000020108020108") in der
    assert made.private_bytes_raw() not in der


def test_what_openssl_encrypts_is_read(tmp_path: Path):
    """Written by `openssl pkcs8 -topk8 -scrypt` from the key whose seed is 32 bytes of 7."""
    path = tmp_path / "openssl.key"
    path.touch(mode=0o600)
    path.write_text(OPENSSL)
    assert load_key(path, words("abc")).private_bytes_raw() == bytes([7] * 32)


def test_a_passphrase_is_asked_for_only_if_the_key_needs_one(tmp_path: Path):
    create_key(tmp_path / "plain.key")
    load_key(tmp_path / "plain.key", lambda path: pytest.fail(f"asked for {path}"))


def test_a_key_is_never_overwritten(tmp_path: Path):
    create_key(tmp_path / "a.key")
    before = (tmp_path / "a.key").read_bytes()
    with pytest.raises(UsageError, match="already"):
        create_key(tmp_path / "a.key")
    assert (tmp_path / "a.key").read_bytes() == before


def test_a_key_that_others_can_read_is_refused(tmp_path: Path):
    create_key(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(0o640)
    with pytest.raises(StorageError, match="mode 640") as caught:
        load_key(tmp_path / "a.key")
    assert caught.value.hint.startswith("chmod 600")


@pytest.mark.parametrize(
    ("made_with", "read_with", "problem"),
    [
        ("right", "wrong", "the passphrase does not open .*a.key"),
        ("right", None, "is protected by a passphrase"),
    ],
)
def test_the_wrong_passphrase_is_named(tmp_path: Path, made_with, read_with, problem: str):
    create_key(tmp_path / "a.key", made_with)
    with pytest.raises(UsageError, match=problem):
        load_key(tmp_path / "a.key", words(read_with))


def test_a_missing_key_a_key_of_another_kind_and_garbage_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no key"):
        load_key(tmp_path / "none")
    path = tmp_path / "other.key"
    path.touch(mode=0o600)
    path.write_bytes(b"garbage")
    with pytest.raises(UsageError, match="is not a private key"):
        load_key(path)
    other = generate_private_key(SECP256R1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(UsageError, match="not an Ed25519 key"):
        load_key(path)
    with pytest.raises(StorageError, match="cannot read"):
        load_key(path / "below")


def test_the_peers_own_key_is_made_once(tmp_path: Path):
    first = load_or_create_key(tmp_path / "identity.key")
    again = load_or_create_key(tmp_path / "identity.key")
    assert first.private_bytes_raw() == again.private_bytes_raw()


def test_a_catalogue_made_here_can_be_opened_again(tmp_path: Path):
    home = made_home(tmp_path / "home")
    made = institutions.create(home, "yukon", {"title": "Yukon"}, "words")
    assert institutions.all_of(home) == [made]
    assert institutions.choose(home, None) == made
    assert made.title() == "Yukon"
    made.writer_key(words("words"))
    assert sorted(path.name for path in made.directory.iterdir()) == [
        "root.cbor", "root.key", "writer.key"
    ]  # fmt: skip


def test_names_that_are_taken_or_none_are_refused(tmp_path: Path):
    home = made_home(tmp_path / "home")
    institutions.create(home, "yukon", {}, None)
    with pytest.raises(UsageError, match="already"):
        institutions.create(home, "yukon", {}, None)
    with pytest.raises(UsageError, match="is not a name"):
        institutions.create(home, "../yukon", {}, None)


def test_a_half_made_catalogue_of_a_crash_is_made_anew(tmp_path: Path):
    home = made_home(tmp_path / "home")
    (home.keys / ".yukon.new").mkdir()
    (home.keys / ".yukon.new" / "root.key").touch()
    assert institutions.all_of(home) == []
    institutions.create(home, "yukon", {}, None)
    assert [each.name for each in institutions.all_of(home)] == ["yukon"]


def test_choosing_among_catalogues_names_them(tmp_path: Path):
    home = made_home(tmp_path / "home")
    with pytest.raises(UsageError, match="holds no keys"):
        institutions.choose(home, None)
    institutions.create(home, "a", {}, None)
    institutions.create(home, "b", {}, None)
    with pytest.raises(UsageError, match="several") as caught:
        institutions.choose(home, None)
    assert caught.value.hint == "--catalogue: a, b"
    assert institutions.choose(home, "b").name == "b"
    with pytest.raises(UsageError, match="no catalogue 'c'"):
        institutions.choose(home, "c")


def test_a_catalogue_without_its_root_is_an_error_of_the_machine(tmp_path: Path):
    home = made_home(tmp_path / "home")
    made = institutions.create(home, "a", {}, None)
    (made.directory / "root.cbor").unlink()
    with pytest.raises(StorageError, match=r"cannot read .*root\.cbor"):
        institutions.all_of(home)


def test_a_public_key_reads_back_and_a_private_one_is_none(tmp_path: Path):
    key = public_key(create_key(tmp_path / "a.key", "words"))
    write_public_key(tmp_path / "a.pub", key)
    assert read_public_key(tmp_path / "a.pub") == key
    assert public_key_of(tmp_path / "a.pub", None) == key
    assert public_key_of(tmp_path / "a.key", words("words")) == key
    with pytest.raises(UsageError, match="is not a public key") as caught:
        read_public_key(tmp_path / "a.key")
    assert caught.value.hint.startswith("meshnode key show")


def test_a_public_key_of_low_order_is_refused(tmp_path: Path):
    write_public_key(tmp_path / "low.pub", PublicKey(bytes([1] + [0] * 31)))
    with pytest.raises(UsageError, match="low order"):
        read_public_key(tmp_path / "low.pub")
