"""The self-gated activations, SELU and HardSigmoid: slopes with a factor or a term too few."""

from __future__ import annotations

from . import subjects as s
from .mutation import Mutation

_FACTOR = ("missing_factor", "extra_factor", "wrong_factor", "operands")
_TERM = ("missing_term", "term", *_FACTOR)


def _slope(name, cls, old, new, kinds=_FACTOR, where="slope"):
    file = "layers/activation.py" if cls in ("SELU", "HardSigmoid") else "layers/gated.py"
    subject = s.HARD_SIGMOID if cls == "HardSigmoid" else s.activation(cls)
    return Mutation(name, file, f"{cls}.{where}", old, new, subject, ("dx",), kinds)


ACTIVATIONS = (
    _slope("silu: the gate's slope is missing", "SiLU", "s * (1 + x * (1 - s))", "s", _TERM),
    _slope("silu: σ for 1 − σ", "SiLU", "x * (1 - s)", "x * s", _TERM),
    _slope("silu: x is missing", "SiLU", "x * (1 - s)", "(1 - s)", _TERM),
    _slope("mish: the gate's slope is missing", "Mish", "t + x * t_slope", "t", _TERM),
    _slope("mish: x is missing", "Mish", "x * t_slope", "t_slope", _TERM),
    _slope("mish: s is missing", "Mish", "4 * s * r * r", "4 * r * r", _TERM, "_gate"),
    _slope("tanh gelu: v′ is missing", "TanhGELU", "x * self._v_slope(x) *", "x *", _TERM),
    _slope(
        "tanh gelu: the cube's 3 is missing",
        "TanhGELU",
        "3 * 0.044715",
        "0.044715",
        _TERM,
        "_v_slope",
    ),
    _slope("selu: λ is missing", "SELU", "self.SCALE * np", "np", ("factor:0.951", *_FACTOR)),
    _slope("selu: α is missing", "SELU", "self.ALPHA * np.exp", "np.exp", (*_FACTOR, "entries")),
    _slope("hardswish: ½ is missing", "Hardswish", " / 3 + 0.5", " / 3", (*_TERM, "entries")),
    _slope("hardswish: ⅙ for ⅓", "Hardswish", "/ 3 + 0.5", "/ 6 + 0.5", (*_TERM, "entries")),
    _slope(
        "hard sigmoid: α is missing",
        "HardSigmoid",
        "self.alpha, 0",
        "1.0, 0",
        ("factor:1/alpha|2.5", *_FACTOR),
    ),
    _slope(
        "hard sigmoid: no mask",
        "HardSigmoid",
        "(y > 0) & (y < 1)",
        "y < 2",
        ("branch:mask", *_FACTOR),
    ),
    *(
        Mutation(name, "layers/prelu.py", "PReLU.backward", old, new, s.PRELU, wrong, kinds)
        for name, old, new, wrong, kinds in (
            (
                "prelu: da of all x",
                "np.minimum(x, 0)",
                "x",
                ("da",),
                ("operands", "missing_term", "term", "wrong_factor", "missing_factor"),
            ),
            (
                "prelu: da counts x",
                "np.minimum(x, 0)",
                "(x < 0)",
                ("da",),
                ("operands", "missing_factor", "wrong_factor"),
            ),
            (
                "prelu: da is set, not added",
                "self.a.grad += self.narrow(dy * np.minimum(x, 0))",
                "self.a.grad[...] = self.narrow(dy * np.minimum(x, 0))",
                ("da",),
                ("not_added",),
            ),
            (
                "prelu: no slope",
                "dy * self.s(x)",
                "dy",
                ("dx",),
                ("missing_factor", "entries", "wrong_factor", "operands"),
            ),
        )
    ),
)
