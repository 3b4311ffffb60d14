"""TOML files that people write for a command: a mapping, the description of a build."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from meshnode.errors import UsageError


class Strict(BaseModel):
    """A table of such a file; a member that is not known is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=Strict)


def read_toml(path: Path, model: type[Model], page: str) -> Model:
    """Read a file; `page` of the documentation says what can stand in it.

    Raises:
        UsageError: it cannot be read, is no TOML, or says something that is not known.
    """
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        where = f"{path}: {place}" if place else str(path)
        raise UsageError(
            f"{where}: {first['msg']}", hint=f"{page} says what can stand there"
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is no TOML: {error}", hint="mend it") from error
