"""Models of codes: the prior over them, and the game that sharpens what is decoded from them."""

from __future__ import annotations

from . import subjects as s
from .models import _model

_prior = _model("code_prior")
_vqgan = _model("vqgan")

_BLOCK = (
    *("attention_norm.dgamma", "attention_norm.dbeta", "mlp_norm.dgamma", "mlp_norm.dbeta"),
    *(f"attention.{kind}{name}" for name in "qvo" for kind in ("dW", "db")),
    *("attention.dWk", "mlp.layer.0.dW", "mlp.layer.0.db", "mlp.layer.2.dW", "mlp.layer.2.db"),
)
_HEAD = ("head.0.dgamma", "head.0.dbeta", "head.1.layer.dW", "head.1.layer.db")
_TABLES = ("classes_table.dE", "codes_table.dE", "positions.dP")
_PRIOR = (*_TABLES, *(f"blocks.0.{name}" for name in _BLOCK), *_HEAD)
_ENCODER = ("encoder.0.dW", "encoder.0.db")
_DECODER = ("decoder.0.dW", "decoder.0.db", "decoder.2.dW", "decoder.2.db")

CODES = (
    _prior(
        "code prior: ds is the softmax alone",
        "CodePrior._measure",
        "np.take_along_axis(ds, k[..., None], 2) - 1, 2)",
        "np.take_along_axis(ds, k[..., None], 2), 2)",
        s.CODE_PRIOR,
        _PRIOR,
        ("offset", "operands", "term", "missing_term"),
    ),
    _prior(
        "code prior: ds is a mean over the codes too",
        "CodePrior._measure",
        "ds /= len(k)",
        "ds /= k.size",
        s.CODE_PRIOR,
        _PRIOR,
        ("factor:1/|0.3333", "wrong_factor"),
    ),
    _prior(
        "code prior: a code's vector learns from its own place, not from the next",
        "CodePrior.backprop",
        "dh[:, 1:]",
        "dh[:, :-1]",
        s.CODE_PRIOR,
        ("codes_table.dE",),
        ("shift", "operands", "term", "missing_term", "entries"),
    ),
    _prior(
        "code prior: the class learns from the first place alone",
        "CodePrior.backprop",
        "dh.sum(axis=1)",
        "dh[:, 0]",
        s.CODE_PRIOR,
        ("classes_table.dE",),
        ("term", "missing_term", "operands"),
    ),
    _vqgan(
        "vqgan: the game's gradient without its weight",
        "ReconstructionPlayer.passes",
        "dy.dtype.type(weight) * dfake",
        "dfake",
        s.VQGAN,
        (*_ENCODER, *_DECODER),
        ("missing_factor", "term:generator", "wrong_factor"),
    ),
    _vqgan(
        "vqgan: the commitment is left out",
        "ReconstructionPlayer.backprop",
        "dq + (2 * game.commitment / z.size) * (z - target)",
        "dq",
        s.VQGAN,
        _ENCODER,
        ("term:commitment|path", "missing_term"),
    ),
    _vqgan(
        "vqgan: the discriminator's gradient ends at y",
        "ReconstructionPlayer.passes",
        "dy = dy + dy.dtype.type(weight) * dfake",
        "pass",
        s.VQGAN,
        (*_ENCODER, *_DECODER),
        ("term:generator|path", "missing_term"),
    ),
)
