"""Puts one mutant in the place of a module, in the memory of this process alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType, ModuleType


class MutantLoader(SourceFileLoader):
    """Compiles the mutant instead of the file; no cache of compiled code is read or written."""

    def __init__(self, module: str, path: str, mutant: str) -> None:
        super().__init__(module, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._mutant, self.path, "exec", dont_inherit=True)


class MutantFinder(MetaPathFinder):
    """Finds the one module, and leaves all others to the next finder."""

    def __init__(self, module: str, path: str, mutant: str) -> None:
        self._module = module
        self._loader = MutantLoader(module, path, mutant)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        return spec_from_file_location(fullname, self._loader.path, loader=self._loader)


def plant(module: str, path: str, source: str) -> None:
    assert module not in sys.modules, f"{module} is imported before its mutant"
    sys.meta_path.insert(0, MutantFinder(module, path, source))
