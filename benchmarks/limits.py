"""The greatest ratios that are no regression, from `limits.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("limits.toml")


@dataclass(frozen=True, slots=True)
class Limits:
    """Case → peer tool → the greatest ratio."""

    cases: Mapping[str, Mapping[str, float]]

    @classmethod
    def load(cls, path: Path = FILE) -> Limits:
        return cls(tomllib.loads(path.read_text(encoding="utf-8")))

    def of(self, case: str) -> Mapping[str, float]:
        return self.cases.get(case, {})
