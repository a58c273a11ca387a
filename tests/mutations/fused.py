"""Broken twins: edits of the faster code in ``fusion/`` and in the fused kernels.

The doctor examines only definitions, so these mutations are for the tests:
``python -m tests.mutations --suite --only twin:``.
"""

from __future__ import annotations

from .mutation import Mutation

_STEPS, _DENSE, _SEQUENTIAL = "fusion/steps.py", "fusion/dense.py", "fusion/sequential.py"
_CONVOLUTIONS, _MLP, _JITTED = "fusion/convolutions.py", "fusion/mlp.py", "kernels/jitted/mlp.py"
_NORM = "fusion/batch_norm.py"
_CACHE, _BATCHES = "fusion/plan_cache.py", "fusion/microbatches.py"


def _twin(name: str, file: str, where: str, old: str, new: str) -> Mutation:
    return Mutation(f"twin: {name}", file, where, old, new, lambda library: None, (), ("twin",))


FUSED: tuple[Mutation, ...] = (
    _twin(
        "activation: tanh's slope for sigmoid's",
        *("fusion/activation.py", "backward"),
        *("kernels.sigmoid_backward(dy", "kernels.tanh_backward(dy"),
    ),
    _twin(
        "activation: sigmoid's slope for SiLU's",
        *("fusion/activation.py", "backward"),
        *("kernels.silu_backward(dy", "kernels.sigmoid_backward(dy"),
    ),
    _twin(
        "group norm: dγ and dβ change places",
        *("fusion/group_norm.py", "backward", "gamma.grad, beta.grad", "beta.grad, gamma.grad"),
    ),
    _twin(
        "group norm: x̂'s slope is not taken out",
        *("kernels/jitted/group_norm.py", "_backward", " - hat[k] * tilt[k]", ""),
    ),
    _twin(
        "group norm: the variance is of m − 1 numbers",
        *(
            "kernels/jitted/group_norm.py",
            "_forward",
            "np.sqrt(mean[k] / m",
            "np.sqrt(mean[k] / (m - 1)",
        ),
    ),
    _twin("micro-batches weigh the same", _STEPS, "step", "dy *= batch.weight", "dy *= 0.5"),
    _twin("the loss is a sum", _STEPS, "step", "total += batch.weight * L", "total += L"),
    _twin(
        "the encoder does not learn",
        *(_STEPS, "step"),
        *("model.encoder.backward_params(dz, encoder_cache)", "pass"),
    ),
    _twin(
        "the target is x",
        _STEPS,
        "step",
        "mlp.backprop(x, target, loss)",
        "mlp.backprop(x, x, loss)",
    ),
    _twin(
        "dz is twice as large",
        _STEPS,
        "decoder_step",
        "return L, cast(Array, dz)",
        "return L, 2 * dz",
    ),
    _twin(
        "a likelihood is a mean over features",
        *(_STEPS, "variational_decoder_step", "per_sample=True", "per_sample=False"),
    ),
    _twin("dense: dW twice", _DENSE, "backward", "(dy, x, layer.W", "(2 * dy, x, layer.W"),
    _twin(
        "dense: dx of Wᵀ", _DENSE, "backward", "(dy, layer.W.value)", "(dy[::-1], layer.W.value)"
    ),
    _twin("dense: db twice", _DENSE, "backward_params", "(dy, x, layer.W", "(dy, x[::-1], layer.W"),
    _twin(
        "tied: dV of x backwards", _DENSE, "tied_backward", "(dy, x, layer", "(dy, x[::-1], layer"
    ),
    _twin(
        "contraction: half of W's share",
        *("fusion/contraction.py", "row_sq_norms", ", scale, dense", ", scale / 2, dense"),
    ),
    _twin("the first layers' order", _SEQUENTIAL, "backward", "reversed(parts)", "parts"),
    _twin(
        "a layer is left out on the way back",
        *(_SEQUENTIAL, "backward_params", "parts[:first:-1]", "parts[: first + 1 : -1]"),
    ),
    _twin(
        "a derived layer is taken for its base",
        *(
            _CACHE,
            "is_unmodified",
            "if known is None:\n        return False",
            "if known is None:\n        return True",
        ),
    ),
    _twin(
        "a replaced method is not seen",
        *(
            _CACHE,
            "Fingerprint.holds",
            "return self._current_methods() == self._methods",
            "return True",
        ),
    ),
    _twin("a change is not seen", _CACHE, "Fingerprint.holds", "if now != then:", "if False:"),
    _twin(
        "no ReLU after a convolution",
        _CONVOLUTIONS,
        "FusedConvolutions.forward",
        "x, relu and",
        "x, False and",
    ),
    _twin(
        "no mask on the way back",
        *(
            _CONVOLUTIONS,
            "FusedConvolutions._backward_to_first",
            "None if norm else relu_mask",
            "None",
        ),
    ),
    _twin(
        "a convolution does not learn",
        *(_CONVOLUTIONS, "FusedConvolutions._backward_to_first"),
        *("_add_gradients(conv, g, x)", "pass"),
    ),
    _twin(
        "no mask of a ReLU after a norm",
        *(_CONVOLUTIONS, "FusedConvolutions._backward_to_first"),
        *("g, remaining.pop(), relu_mask)", "g, remaining.pop(), None)"),
    ),
    _twin(
        "a norm's statistics stand still",
        *(_NORM, "forward_with_relu", "norm.momentum * (mean", "0 * (mean"),
    ),
    _twin("a norm that rectifies", _NORM, "forward", "x, False)", "x, True)"),
    _twin(
        "a norm's dx of another dy",
        _NORM,
        "backward",
        "dy, cache, None)",
        "-dy, cache, None)",
    ),
    _twin("the bias is left out", _CONVOLUTIONS, "_linear", "conv.b.value", "0 * conv.b.value"),
    _twin("shares of one sample", _BATCHES, "microbatches", "(b - a) / n", "1 / n"),
    _twin("mlp: caches of y for x", _MLP, "FusedMLP.forward", "[before, zs.get", "[y, zs.get"),
    _twin(
        "mlp: a stale y",
        _MLP,
        "FusedMLP._backward",
        "ys.append(caches[-1])",
        "ys.append(caches[1])",
    ),
    _twin(
        "mlp: dx is not made", _MLP, "FusedMLP.backward", "dy, caches, True", "0 * dy, caches, True"
    ),
    _twin(
        "kernel: db is set, not added",
        *(_JITTED, "_run_operation", "total[row0 + t] += sums[t]", "total[row0 + t] = sums[t]"),
    ),
    _twin(
        "kernel: a mean over samples",
        *(_JITTED, "_backprop", "n if per_sample else n * outputs", "n"),
    ),
    _twin(
        "kernel: a loss per sample is one per number",
        *(_JITTED, "mlp_backprop", "(len(x) if per_sample else target.size)", "target.size"),
    ),
)
