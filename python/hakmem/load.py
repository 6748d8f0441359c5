"""Loading built variants as Python objects; many variants can be loaded in one process."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
import threading
from types import ModuleType
from typing import Any, cast

from . import build as builds
from .build import Built
from .door import Door
from .errors import HakmemError, LoadError
from .spec import Variant

_loaded: dict[str, Engine] = {}
_lock = threading.Lock()


class Engine:
    """One loaded variant: its malloc family, statistics and workloads.

    Addresses are plain integers and 0 is NULL. The functions may be called from any thread. Blocks of one
    engine must not be freed with another.
    """

    def __init__(self, built: Built, module: ModuleType) -> None:
        self.built = built
        self.name = str(module.name())
        self.digest = str(module.digest())
        self.malloc = module.malloc
        self.calloc = module.calloc
        self.realloc = module.realloc
        self.aligned_alloc = module.aligned_alloc
        self.free = module.free
        self.usable_size = module.usable_size
        self.owns = module.owns
        self.collect = module.collect
        self.read = module.read
        self.write = module.write
        self._module = module

    def __repr__(self) -> str:
        return f"<hakmem.Engine {self.name} {self.digest}>"

    def policy_set(self) -> dict[str, Any]:
        """The policy set that was compiled in: axis to an object of kind and options."""
        return cast("dict[str, Any]", json.loads(self._module.policy_set()))

    def statistics(self) -> dict[str, Any]:
        """Counts of regions, SuperSlabs, slabs, blocks and OS calls, over all heaps."""
        return cast("dict[str, Any]", json.loads(self._module.statistics()))

    def class_bytes(self) -> list[int]:
        """What a program can use of a block of each size class that is served, in bytes, smallest first."""
        return cast("list[int]", self._module.class_bytes())

    def run_workload(self, name: str, **params: object) -> dict[str, Any]:
        """Run a workload with named parameters and return its row, every parameter resolved and times in ns.

        An unknown workload or parameter, or a value out of range, is a `HakmemError` in one line.
        """
        given = [
            (key, str(value).lower() if isinstance(value, bool) else str(value))
            for key, value in params.items()
        ]
        try:
            return cast("dict[str, Any]", json.loads(self._module.run_workload(name, given)))
        except ValueError as error:
            raise HakmemError(str(error)) from error


def load(what: str | Variant | Built) -> Engine:
    """Load a variant by name, by `Variant` or as built; it is built first when it is not.

    The same folder is loaded once per process. A module whose compiled-in name, digest or policy set is
    not that of its folder is a `LoadError`.
    """
    built = what if isinstance(what, Built) else builds.build_one(what)
    key = str(built.folder)
    with _lock:
        if key not in _loaded:
            _loaded[key] = _load(built)
        return _loaded[key]


def _load(built: Built) -> Engine:
    name = f"{__package__}._variants.{built.name}_{built.digest}._engine"
    loader = importlib.machinery.ExtensionFileLoader(name, str(built.module))
    found = importlib.util.spec_from_file_location(name, built.module, loader=loader)
    if found is None or not built.module.is_file():
        raise LoadError(f"{built.module}: expected the module of variant {built.name}, got no such file")
    try:
        module = importlib.util.module_from_spec(found)
        loader.exec_module(module)
    except ImportError as error:
        raise LoadError(f"{built.module}: {str(error).splitlines()[0]}") from error
    engine = Engine(built, module)
    for part, expected, got in (
        ("name", built.name, engine.name),
        ("digest", built.digest, engine.digest),
        ("policy set", built.variant.policies.as_json(), engine.policy_set()),
    ):
        if expected != got:
            raise LoadError(
                f"{built.module}: {part}: expected {expected}, got {got}; remove {built.folder} "
                "and build again"
            )
    return engine


sys.modules[__name__].__class__ = Door
