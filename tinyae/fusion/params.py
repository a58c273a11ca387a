"""A module's Params, collected once and not at every step."""

from __future__ import annotations

from typing import Any

from tinyae.fusion.plan_cache import plans_for
from tinyae.layers import Module
from tinyae.param import Param


def params(module: Module) -> dict[str, Param]:
    """The twin of ``Module.params``. It declines if a class defines its own way to find parts."""
    plans: dict[str, Any] = plans_for(module)
    found = plans.get("params")
    if found is None:
        if not _uses_library_properties(module):
            return NotImplemented
        found = plans["params"] = type(module).params.fget.definition(module)  # type: ignore[attr-defined]
    return dict(found)


def _uses_library_properties(module: Module) -> bool:
    """Whether the library defines ``children`` and ``params`` of the module and of its children."""
    for name in ("children", "params"):
        if not getattr(type(module), name).fget.__module__.startswith("tinyae."):
            return False
    return all(_uses_library_properties(part) for part in module.children.values())
