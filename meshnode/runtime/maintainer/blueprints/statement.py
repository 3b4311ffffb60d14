"""The manifest of a blueprint: an in-toto Statement v1 with SLSA Provenance v1.

Sources: in-toto attestation framework (Statement v1, ResourceDescriptor v1, DigestSet v1) and SLSA
1.0 (provenance). There is no time in it, so that the same build gives the same bytes; the log's
entry says when it was published, and is what is signed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from meshnode.errors import UsageError

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PROVENANCE: Final = "https://slsa.dev/provenance/v1"
CODE: Final = "code"  # the name of the dependency that is the commit


class _Part(BaseModel):
    """What this version does not know of a part is kept and not looked at."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)


class Resource(_Part):
    """A ResourceDescriptor: a thing by its digests."""

    name: str | None = None
    uri: str | None = None
    digest: dict[str, str] = Field(default_factory=dict)
    media_type: str | None = Field(None, alias="mediaType")
    annotations: dict[str, Any] | None = None


class Subject(_Part):
    name: str
    digest: dict[str, str]


class BuildDefinition(_Part):
    build_type: str = Field(alias="buildType")
    external_parameters: dict[str, Any] = Field(alias="externalParameters")
    resolved_dependencies: list[Resource] = Field(alias="resolvedDependencies")


class Builder(_Part):
    id: str


class RunDetails(_Part):
    builder: Builder


class Provenance(_Part):
    build_definition: BuildDefinition = Field(alias="buildDefinition")
    run_details: RunDetails = Field(alias="runDetails")


class Statement(_Part):
    """A whole manifest: `subject` are the outputs, by their names."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: list[Subject] = Field(min_length=1)
    predicate_type: Literal["https://slsa.dev/provenance/v1"] = Field(alias="predicateType")
    predicate: Provenance

    @property
    def outputs(self) -> dict[str, str]:
        """The SHA-256 of each output, in hexadecimal, by its name."""
        return {each.name: each.digest.get("sha256", "") for each in self.subject}

    def dependency(self, name: str) -> Resource | None:
        """Return what was built from, by its name in the manifest."""
        found = self.predicate.build_definition.resolved_dependencies
        return next((each for each in found if each.name == name), None)


def written_statement(statement: Statement) -> bytes:
    """Write a manifest: UTF-8 JSON, keys sorted, indented by two for people."""
    value = statement.model_dump(mode="json", by_alias=True, exclude_none=True)
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def read_statement(path: Path) -> Statement:
    """Read a manifest.

    Raises:
        UsageError: it cannot be read, or is no in-toto Statement v1 with SLSA Provenance v1.
    """
    try:
        return Statement.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}",
            hint="name a blueprint's folder or its manifest",
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the manifest"
        raise UsageError(f"{path} is no manifest of a build: {place}: {first['msg']}") from error
