"""The description of a build, which its author keeps beside the code (TOML)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from pydantic import Field, field_validator

from meshnode.runtime.maintainer.toml_files import Strict, read_toml

BUILD_TYPE: Final = "urn:x-meshnode:blueprint:1"  # docs/blueprints.md says what it means

_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class RawSource(Strict):
    """A raw source: where it came from, and its SHA-256, or the `file` here to take it from."""

    url: str
    sha256: str | None = None
    file: str | None = None

    @field_validator("url")
    @classmethod
    def _is_uri(cls, url: str) -> str:
        if not _URI.fullmatch(url):
            raise ValueError("it is no absolute address")
        return url

    @field_validator("sha256")
    @classmethod
    def _is_sha256(cls, text: str | None) -> str | None:
        if text is not None and not _SHA256.fullmatch(text):
            raise ValueError("it is not 64 hexadecimal digits in lower case")
        return text


class Description(Strict):
    """`builder` names who or what builds, as a URI; `environment` paths within the code.

    `repository` says where the code is kept, beside the bundle.
    """

    builder: str
    repository: str | None = None
    build_type: str = Field(BUILD_TYPE, alias="build-type")
    environment: list[str] = Field(min_length=1)
    sources: list[RawSource] = Field(default_factory=list)
    parameters: dict[str, Any] = Field(default_factory=dict)

    @field_validator("builder", "build_type", "repository")
    @classmethod
    def _is_uri(cls, text: str | None) -> str | None:
        if text is not None and not _URI.fullmatch(text):
            raise ValueError("it is no URI")
        return text


def read_description(path: Path) -> Description:
    """Read the description of a build.

    Raises:
        UsageError: it cannot be read, is no TOML, or says something that is not known.
    """
    return read_toml(path, Description, "docs/blueprints.md")
