"""The state of a random generator as JSON, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.archive import FileError, Json


def generator_state(rng: np.random.Generator) -> Json:
    """The state of a generator as plain JSON."""

    def plain(v: Any) -> Json:
        if isinstance(v, dict):
            return {key: plain(item) for key, item in v.items()}
        return v.tolist() if isinstance(v, (np.ndarray, np.generic)) else v

    state = plain(rng.bit_generator.state)
    if state.get("bit_generator") not in _BIT_GENERATORS:
        raise TypeError(
            f"save: a generator is driven by {type(rng.bit_generator).__name__}, expected one of "
            f"{', '.join(_BIT_GENERATORS)}; use numpy.random.default_rng"
        )
    return state


_BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
# NumPy does not check these fields; wrong values would read past the end of its buffer.
_STATE_LIMITS = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "uinteger": 2**32 - 1}


def restore_generator(state: Json) -> np.random.Generator:
    """A generator in a saved state; every field is validated against a new generator's state."""

    def like(model: Any, v: Json, key: str) -> Any:
        if isinstance(model, dict):
            if not isinstance(v, dict) or v.keys() != model.keys():
                raise ValueError(f"{key} has other fields than {sorted(model)}")
            return {k: like(item, v[k], k) for k, item in model.items()}
        if isinstance(model, np.ndarray):
            if not isinstance(v, list) or len(v) != model.size:
                raise ValueError(f"{key} has not {model.size} numbers")
            return np.array([like(0, item, key) for item in v], model.dtype)
        if isinstance(model, str):
            return model
        if not isinstance(v, int) or not 0 <= v <= _STATE_LIMITS.get(key, 2**128 - 1):
            raise ValueError(f"{key} is {str(v)[:40]}")
        return int(v)

    name = state.get("bit_generator")
    if name not in _BIT_GENERATORS:
        raise FileError(f"a generator of kind {name!s:.40}, expected {', '.join(_BIT_GENERATORS)}")
    bits = getattr(np.random, name)(0)
    try:
        bits.state = like(bits.state, state, name)
    except Exception as error:
        raise FileError(f"the state of a {name} generator is wrong: {error}") from error
    return np.random.Generator(bits)
