"""A static mirror in an object store that speaks S3: pushed, brought up to date, followed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.command_line import CommandLine, Said
from tests.cli.test_bad_input import town, write_items
from tests.e2e.environments import python_with, server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MOTO = ("moto[s3,server]>=5,<6",)
APP = Path(__file__).with_name("object_store_app.py")
PUBLIC = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::open-data/mesh/*",
        }
    ],
}
BUCKET = "s3://open-data/mesh"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("moto")
    with server(python_with("moto", MOTO, folder / "environment"), APP, folder / "run") as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def bucket(endpoint: str) -> str:
    """An empty bucket `open-data` that everybody may read; give its address on the web."""
    httpx.post(f"{endpoint}/moto-api/reset").raise_for_status()
    httpx.put(f"{endpoint}/open-data").raise_for_status()
    httpx.put(f"{endpoint}/open-data?policy", json=PUBLIC).raise_for_status()
    return f"{endpoint}/open-data"


@pytest.fixture
def towns(tmp_path: Path, endpoint: str) -> CommandLine:
    """Somebody who has published dawson in `towns`, and may write into the bucket."""
    person = CommandLine(tmp_path)
    person.environment |= {
        "AWS_ACCESS_KEY_ID": "a-test",
        "AWS_SECRET_ACCESS_KEY": "a-test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }
    assert person.call("init", "--listen", "/ip4/127.0.0.1/tcp/0").status == 0
    create = ("catalogue", "create", "towns", "--title", "Towns", "--no-passphrase")
    assert person.call(*create).status == 0
    publish(person, "dawson")
    return person


def publish(person: CommandLine, name: str) -> None:
    write_items(person.folder / "items.ndjson", town(name))
    said = person.call("publish", "items.ndjson")
    assert said.status == 0, said.err


def pushed(person: CommandLine, *options: str) -> dict[str, Any]:
    said = person.call("static", "push", BUCKET, "--json", *options)
    assert said.status == 0, said.err
    return dict(said.json)


def names_in(bucket: str) -> list[str]:
    text = httpx.get(bucket, params={"list-type": "2"}).raise_for_status().text
    return [part.partition("</Key>")[0] for part in text.split("<Key>")[1:]]


def test_only_what_is_missing_is_uploaded(towns: CommandLine, bucket: str) -> None:
    assert pushed(towns, "--dry-run")["written"] == 5
    assert names_in(bucket) == []
    assert pushed(towns)["written"] == 5
    assert len(names_in(bucket)) == 6
    assert pushed(towns)["written"] == 0
    publish(towns, "mayo")
    again = pushed(towns)  # the segment, the newest file of the log, and the index
    assert (again["written"], again["leaving"]) == (3, 2)
    assert pushed(towns, "--grace-hours", "0")["removed"] == 2
    assert len(names_in(bucket)) == again["files"] + 2  # the pointer, and the list of what leaves


def test_a_bucket_has_what_a_folder_has(towns: CommandLine, bucket: str) -> None:
    pushed(towns)
    assert towns.call("static", "export", "www").status == 0
    www = towns.folder / "www"
    files = {str(path.relative_to(www)): path for path in www.rglob("*") if path.is_file()}
    assert names_in(bucket) == [f"mesh/{name}" for name in sorted(files, key=lambda n: f"mesh/{n}")]
    for name, path in files.items():
        answer = httpx.get(f"{bucket}/mesh/{name}")
        assert answer.content == path.read_bytes()
        is_pointer = name == "mirror.cbor"
        wanted = "no-cache" if is_pointer else "public, max-age=31536000, immutable"
        assert answer.headers["Cache-Control"] == wanted


def test_what_is_withdrawn_for_privacy_is_gone_after_the_next_push(
    towns: CommandLine, bucket: str
) -> None:
    publish(towns, "mayo")
    pushed(towns)
    before = names_in(bucket)
    assert towns.call("withdraw", "towns", "dawson", "--reason", "privacy").status == 0
    assert pushed(towns)["removed"] >= 1
    after = names_in(bucket)
    gone = [name for name in before if name not in after]
    assert gone
    assert [httpx.get(f"{bucket}/{name}").status_code for name in gone] == [404] * len(gone)


def test_a_bucket_is_followed_like_any_web_server(
    towns: CommandLine, bucket: str, tmp_path: Path
) -> None:
    pushed(towns)
    (tmp_path / "reader").mkdir()
    reader = CommandLine(tmp_path / "reader")
    reader.call("init")
    reader.call("config", "set", "static_mirrors.allow_local_addresses", "true")
    followed = reader.call("follow", f"{bucket}/mesh/", "--yes")
    assert followed.status == 0, followed.err
    with reader.running_peer(options=["--https-only"]):
        while reader.call("status", "--json").json["catalogues"][0]["items"] < 1:
            pass
    found, published = (who.call("search", "--json").json for who in (reader, towns))
    assert found == published


def refused(said: Said) -> str:
    assert (said.status, said.out) == (1, "")
    return said.err


def test_what_cannot_be_pushed_says_why(towns: CommandLine, bucket: str, endpoint: str) -> None:
    wrong = refused(towns.call("static", "push", "https://data.example.org/"))
    assert "is not the address of an object store" in wrong
    nowhere = refused(towns.call("static", "push", "s3://nobody/mesh"))
    assert "error: cannot list the bucket: " in nowhere
    assert "next:  " in nowhere
    httpx.put(f"{endpoint}/open-data/page.html", content=b"a page").raise_for_status()
    foreign = refused(towns.call("static", "push", "s3://open-data"))
    assert "error: there are 1 other files and no mirror\nnext:  name an empty prefix\n" in foreign


def test_a_store_that_does_not_answer_is_said_so(towns: CommandLine) -> None:
    gone = towns.call("static", "push", BUCKET, "--endpoint", "http://127.0.0.1:9")
    assert "error: cannot list the bucket: " in refused(gone)
    assert "check the address, --endpoint and the network" in gone.err
