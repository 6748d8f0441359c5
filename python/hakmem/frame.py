"""Results as a data frame, for those who have pandas: `pip install hakmem[frames]`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .door import Door
from .errors import HakmemError

if TYPE_CHECKING:
    import pandas as pd


def frame(records: Iterable[Any]) -> pd.DataFrame:
    """A data frame with a line for each record and a column for each of its fields.

    Records are dataclasses, such as `hakmem.replay` and the store give. A field that is a record itself has a
    column for each of its own: ``ratio.low``. Without pandas this is a `HakmemError`.
    """
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise HakmemError("a data frame needs the package pandas: pip install pandas") from error
    return pandas.DataFrame([_flat(record) for record in records])


def _flat(record: Any) -> dict[str, Any]:
    if not is_dataclass(record) or isinstance(record, type):
        raise HakmemError(f"frame: expected records that are dataclasses, got {type(record).__name__}")
    found: dict[str, Any] = {}
    for name, value in asdict(record).items():
        if is_dataclass(getattr(record, name)) and isinstance(value, Mapping):
            found |= {f"{name}.{inner}": held for inner, held in value.items()}
        else:
            found[name] = value
    return found


sys.modules[__name__].__class__ = Door
