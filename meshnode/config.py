"""The operator's settings: one TOML file, every field with its unit, bounds and default.

Owns the file's shape and its errors. What a setting means is said beside the code that obeys it.
"""

from __future__ import annotations

import json
import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from meshnode.errors import ConfigError

FILE_NAME = "config.toml"
OFF = "off"  # an address that is not listened on

MirrorUrl = Annotated[str, Field(pattern=r"^https?://[!-~]+/$", max_length=1024)]
Multiaddr = Annotated[str, Field(pattern=r"^/(ip4|ip6|dns|dns4|dns6)/", max_length=512)]


def _host_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    address = ip_address(host.removeprefix("[").removesuffix("]"))
    if (address.version == 6) != host.startswith("["):
        raise ValueError("write an IPv6 address as [address]:port")
    if int(port) > 65535:
        raise ValueError(f"there is no port {port}")
    return value


def _hours(value: str) -> str:
    first, _, last = value.partition("-")
    if value and first == last:
        raise ValueError("these hours are empty: write them as 08:00-22:00")
    return value


HostPortOrOff = Annotated[
    str,
    Field(pattern=r"^(off|(\[[0-9a-fA-F:]+\]|[0-9.]+):[0-9]{1,5})$"),
    AfterValidator(lambda value: value if value == OFF else _host_port(value)),
]
# From and to a minute of the day; the two differ.
Hours = Annotated[
    str,
    Field(
        pattern=r"^$|^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=11
    ),
    AfterValidator(_hours),
]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9.-]+$", max_length=253)]
HostPattern = Annotated[str, Field(pattern=r"^[a-z0-9.*-]+$", max_length=253)]
Origin = Annotated[str, Field(pattern=r"^https?://[a-z0-9.:\[\]-]+$", max_length=300)]
ApiOrigin = Annotated[str, Field(pattern=r"^(\*|https?://[a-z0-9.:\[\]-]+)$", max_length=300)]
Size = Annotated[int, Field(ge=0, le=2**53 - 1)]
Rate = Annotated[int, Field(ge=0, le=10**11)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSettings(_Section):
    """How this peer meets others (libp2p)."""

    listen: tuple[Multiaddr, ...] = Field(
        default=("/ip4/0.0.0.0/tcp/4001",),
        max_length=8,
        description="Addresses to listen on, as multiaddrs; port 0 lets the system choose.",
    )
    announce: tuple[Multiaddr, ...] = Field(
        default=(),
        max_length=8,
        description="Addresses to tell others instead, for example behind a router that forwards.",
    )
    seeds: tuple[Multiaddr, ...] = Field(
        default=(),
        max_length=64,
        description="First contacts: multiaddrs that end in /p2p/<peer id>.",
    )
    discover: bool = Field(
        default=True, description="Ask connected peers for the addresses of more peers."
    )
    connections_per_address: int = Field(
        default=64,
        ge=1,
        le=300,
        description="Inbound connections from one IPv4 address, or from one IPv6 /64; raise it if "
        "more peers than that share an address.",
    )
    provide: bool = Field(
        default=True,
        description="Say, signed, which catalogues and payloads others can get here and at which "
        "address, if it can be called from outside and few others say the same.",
    )
    ask_domains: bool = Field(
        default=True,
        description="Ask the web sites of followed institutions once a day whether they name their "
        "catalogues.",
    )
    https_only: bool = Field(
        default=False,
        description="Open no port to peers and speak to none: read static mirrors, and payloads "
        "from their HTTP mirrors.",
    )


class StaticMirrorSettings(_Section):
    """Static mirrors that this peer reads beside its peers, or instead of them."""

    urls: tuple[MirrorUrl, ...] = Field(
        default=(),
        max_length=32,
        description="Folders of static mirrors, as `meshnode follow https://…` adds them.",
    )
    poll_seconds: int = Field(
        default=60, ge=15, le=86_400, description="How often each is asked whether it has news."
    )
    allow_local_addresses: bool = Field(
        default=False, description="Also read mirrors at private and loopback addresses."
    )


class PayloadSettings(_Section):
    """How dataset files travel (BitTorrent and HTTP mirrors)."""

    listen: HostPortOrOff = Field(
        default="0.0.0.0:6881",
        description="Address and TCP port of the BitTorrent engine; port 0: the system chooses; "
        "off: nobody can call it, files still come from mirrors and peers.",
    )
    download_bytes_per_second: Rate = Field(
        default=0, description="Limit in bytes/s; 0 means none."
    )
    upload_bytes_per_second: Rate = Field(default=0, description="Limit in bytes/s; 0 means none.")
    slow_hours: Hours = Field(
        default="",
        description="Hours of this machine's day with other limits, as 08:00-22:00; empty: none.",
    )
    slow_download_bytes_per_second: Rate = Field(
        default=0, description="Limit in slow_hours, in bytes/s; 0 means none."
    )
    slow_upload_bytes_per_second: Rate = Field(
        default=0, description="Limit in slow_hours, in bytes/s; 0 means none."
    )
    hold_bytes_per_second: Rate = Field(
        default=0,
        description="Limit for fetching what is held for others (`payload hold`), all together; "
        "0 means none.",
    )
    monthly_bytes_max: Size = Field(
        default=0,
        description="Bytes that may be received and sent in a month (UTC), then transfers stop; 0: "
        "no limit.",
    )
    quota_bytes: Size = Field(
        default=0,
        description="What the data directory may occupy in all: payloads, catalogues, index, log. "
        "In bytes of disk blocks; 0: as much as the disk has.",
    )
    free_bytes_min: Size = Field(
        default=10**9,
        description="What fetching files leaves free on the disk for others, in bytes.",
    )
    scrub_bytes_per_second: Rate = Field(
        default=4_000_000,
        description="How fast held files are read to look for rot, in bytes/s; 0: no limit.",
    )
    scrub_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        description="Days after which a held file is looked at again; 0: never by itself.",
    )
    allow_local_addresses: bool = Field(
        default=False,
        description="Fetch from mirrors and peers at private and loopback addresses. Leave it off "
        "on a machine that has services of its own: signed entries may name any URL.",
    )
    near_mirrors: tuple[HostPattern, ...] = Field(
        default=(),
        max_length=32,
        description="Hosts of mirrors in your region or network, asked before others; * stands for "
        "any characters.",
    )


class HttpSettings(_Section):
    """What this machine's own programs read over HTTP: files of payloads, in place."""

    listen: HostPortOrOff = Field(
        default="127.0.0.1:8470",
        description="Address and TCP port; port 0: the system chooses; off: no HTTP. Whoever "
        "reaches the address can read every payload that this peer may fetch.",
    )
    hosts: tuple[HostName, ...] = Field(
        default=(),
        max_length=16,
        description="Names by which programs call it, beside localhost and addresses.",
    )
    origins: tuple[Origin, ...] = Field(
        default=(),
        max_length=16,
        description="Web sites whose pages may read from it in a browser, as https://host.",
    )


class ApiSettings(_Section):
    """The STAC API at /stac/ of the HTTP server: searching what this peer holds."""

    serve: Literal["local", "always", "off"] = Field(
        default="local",
        description="local: while http.listen is an address that only this machine reaches; "
        "always: also to others; off: never.",
    )
    origins: tuple[ApiOrigin, ...] = Field(
        default=(),
        max_length=16,
        description="Web sites whose pages may search in a browser, beside http.origins, as "
        "https://host; * allows all.",
    )
    url: str = Field(
        default="",
        pattern=r"^(https?://[!-~]+[^/])?$",
        max_length=300,
        description="Where others call it, without a slash at the end, for the links in answers: "
        "set it behind a web server. Empty: as each request calls it.",
    )


class CatalogueSettings(_Section):
    """How much of other people's catalogues this peer holds."""

    budget_bytes: Size = Field(
        default=2 << 30,
        description="Most bytes of one catalogue, where `follow --budget` says nothing else; 0 "
        "means no limit.",
    )
    total_budget_bytes: Size = Field(
        default=64 << 30, description="Most bytes of all catalogues together; 0 means no limit."
    )


class LogSettings(_Section):
    """What the peer writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug shows each event and effect of the node."
    )
    json_lines: bool = Field(default=False, description="One JSON object a line instead of text.")


class Config(_Section):
    """All settings of one peer."""

    network: NetworkSettings = NetworkSettings()
    static_mirrors: StaticMirrorSettings = StaticMirrorSettings()
    catalogues: CatalogueSettings = CatalogueSettings()
    payload: PayloadSettings = PayloadSettings()
    http: HttpSettings = HttpSettings()
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()


def load(path: Path) -> Config:
    """Read the file; a missing one means all defaults.

    Raises:
        ConfigError: not TOML, an unknown field, or a value out of its bounds.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    return parse(text, str(path))


def parse(text: str, where: str) -> Config:
    """Read settings from TOML text; `where` names it in errors."""
    try:
        return Config.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not TOML: {error}") from error
    except ValidationError as error:
        raise ConfigError(
            f"{where}: " + "; ".join(_problem(dict(problem)) for problem in error.errors()),
            hint="`meshnode config schema` lists every field with its bounds and default",
        ) from error


def to_toml(config: Config) -> str:
    """Return the settings as a commented TOML file that `parse` reads back."""
    parts = []
    for name in Config.model_fields:
        section = getattr(config, name)
        parts.append(f"# {type(section).__doc__}\n[{name}]")
        parts += [_line(key, info.description or "", section) for key, info in _fields(section)]
        parts.append("")
    return "\n".join(parts)


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the file."""
    return Config.model_json_schema()


def _fields(section: BaseModel) -> list[tuple[str, Any]]:
    return list(type(section).model_fields.items())


def _line(key: str, description: str, section: BaseModel) -> str:
    return f"# {description}\n{key} = {_toml_value(getattr(section, key))}"


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    assert isinstance(value, int)
    return str(value)


def _problem(problem: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {field}"
    return f"{field} = {problem['input']!r}: {problem['msg'].lower()}"
