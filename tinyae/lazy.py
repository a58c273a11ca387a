"""Names of a package that are imported when they are first asked for (PEP 562).

``import tinyae`` on a small board should not wait for the plots, the data sets and the gradient
checks that a run of a trained model never needs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def attach(package: str, homes: dict[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``: name → where it is, ``"module"`` or ``"module:attribute"``."""

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = homes[name].partition(":")
        value: Any = importlib.import_module(module)
        if attribute:
            value = getattr(value, attribute)
        setattr(sys.modules[package], name, value)
        return value

    return get
