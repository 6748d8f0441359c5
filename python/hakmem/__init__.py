"""hakmem builds your malloc: variants composed from policies, proved correct, raced, and taken away.

The names below are imported on first use, so that ``python -m hakmem.spec`` needs only the standard library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .build import BuildFailure as BuildFailure
    from .build import Built as Built
    from .build import build as build_variants
    from .build import find as find
    from .build import kept_variants as kept_variants
    from .build import runner as runner
    from .build import variant as variant
    from .errors import HakmemError as HakmemError
    from .frame import frame as frame
    from .handover import hand_over as hand_over
    from .load import Engine as Engine
    from .load import load as load
    from .record import record as record
    from .replay import replay as replay
    from .spec import PolicySet as PolicySet
    from .spec import Variant as Variant
    from .spec import load_variant as load_variant
    from .spec import resolve as resolve
    from .sweeps import expand as expand
    from .trace import trace as trace
    from .tune import tune as tune
    from .verify import verify as verify

__version__ = "0.1.0"

_HOME = {
    "Built": "build",
    "BuildFailure": "build",
    "build_variants": "build",
    "find": "build",
    "kept_variants": "build",
    "runner": "build",
    "variant": "build",
    "HakmemError": "errors",
    "Engine": "load",
    "load": "load",
    "PolicySet": "spec",
    "Variant": "spec",
    "load_variant": "spec",
    "resolve": "spec",
    "expand": "sweeps",
    "frame": "frame",
    "hand_over": "handover",
    "record": "record",
    "replay": "replay",
    "trace": "trace",
    "tune": "tune",
    "verify": "verify",
}

__all__ = [
    "BuildFailure",
    "Built",
    "Engine",
    "HakmemError",
    "PolicySet",
    "Variant",
    "__version__",
    "build_variants",
    "expand",
    "find",
    "frame",
    "hand_over",
    "kept_variants",
    "load",
    "load_variant",
    "record",
    "replay",
    "resolve",
    "runner",
    "trace",
    "tune",
    "variant",
    "verify",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'hakmem' has no attribute {name!r}")
    module = import_module(f".{home}", __name__)
    if home == name:
        return module  # a `door`: it is called as its function, and `from hakmem.load import Engine` agrees
    value = getattr(module, "build" if name == "build_variants" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
