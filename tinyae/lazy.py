"""Lazy imports: names of a package that are imported at their first use (PEP 562).

On a small computer, ``import tinyae`` should not wait for plots, data sets and gradient checks,
which inference with a trained model never needs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def attach(package: str, homes: dict[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``; ``homes`` maps a name to "module" or "module:attribute"."""

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
