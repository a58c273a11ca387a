"""A module's Params, found once and not at every step."""

from __future__ import annotations

from typing import Any

from tinyae.fusion.plan_cache import plans_for
from tinyae.layers import Module
from tinyae.param import Param


def params(module: Module) -> dict[str, Param]:
    """The twin of ``Module.params``. It declines where a class finds its parts in another way."""
    plans: dict[str, Any] = plans_for(module)
    found = plans.get("params")
    if found is None:
        if not _found_as_defined(module):
            return NotImplemented
        found = plans["params"] = type(module).params.fget.definition(module)  # type: ignore[attr-defined]
    return dict(found)


def _found_as_defined(module: Module) -> bool:
    """Whether the library's own code says what the parts and Params are, all the way down."""
    for name in ("children", "params"):
        if not getattr(type(module), name).fget.__module__.startswith("tinyae."):
            return False
    return all(_found_as_defined(part) for part in module.children.values())
