"""Modules that are called by their own name: `hakmem.record(...)`, though `hakmem.record` is a module too."""

from __future__ import annotations

from types import ModuleType
from typing import Any


class Door(ModuleType):
    """The class of a module that has a function of its own name; calling the module calls that function."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function."""
        return getattr(self, self.__name__.rpartition(".")[2])(*arguments, **options)
