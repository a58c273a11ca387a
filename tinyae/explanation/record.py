"""Record one pass: every layer, loss and penalty of a copy reports its inputs and its outputs.

Methods are wrapped on the objects of the copy only, so no class changes. A method that a layer
calls on itself (``backward`` calls ``backward_params``) belongs to the same call. What a penalty
computes with the Jacobian is reported as the penalty's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyae.data.corruption import Corruption
from tinyae.layers import Layer, Module
from tinyae.likelihoods import Likelihood
from tinyae.losses import Loss
from tinyae.models.contractive import ContractiveAutoencoder
from tinyae.models.gan import GeneratorLoss
from tinyae.models.gan_r1 import R1GAN
from tinyae.models.importance_weighted import ImportanceWeightedAutoencoder
from tinyae.models.sparse import Penalty
from tinyae.models.variational import VariationalAutoencoder
from tinyae.models.vqgan import VQGAN
from tinyae.models.wasserstein_gan import GradientPenalty
from tinyae.param import Array, unique

# computed from a Jacobian, by a model itself
PENALTIES = ("contraction", "r1", "gradient_penalty")


@dataclass(eq=False)
class Call:
    """One use of one part: forward, and the backward that belongs to it.

    ``given``, ``made``       inputs and outputs, by their names in the part's equation
    ``upstream``, ``returned``  the gradient that came and the one returned; None if there is none
    ``grads``                 what this use added to the gradient of each Param
    ``which``                 counts the uses of a part, from 1
    """

    name: str
    part: Any
    given: dict[str, Any]
    made: dict[str, Any]
    cache: Any = None
    upstream: Array | None = None
    returned: Array | None = None
    learns: bool = True
    which: int = 1
    grads: dict[str, Array] = field(default_factory=dict)


class Recorder:
    """Wraps the parts of a module and collects their ``calls`` while it runs."""

    def __init__(self, module: Module, name: str = "") -> None:
        self.calls: list[Call] = []
        self._silent = 0
        self._passing = 0  # > 0 within a backward pass in which nothing learns
        for where, part in parts(module, name):
            if isinstance(part, Layer):
                self._layer(where, part)
            elif isinstance(part, Likelihood):
                self._likelihood(where, part)
            for key, value in list(vars(part).items()):
                inner = f"{where}.{key}" if where else key
                if isinstance(value, Loss):
                    self._loss(inner, value)
                elif isinstance(value, Corruption):
                    setattr(part, key, _Corruption(self, inner, value))
                elif isinstance(value, Penalty):
                    setattr(part, key, _Penalty(self, inner, value))
                elif isinstance(value, GeneratorLoss):
                    setattr(part, key, _GeneratorLoss(self, inner, value))
            if isinstance(part, GradientPenalty):
                self._slope(part, "gradient_penalty", "x̂", _distance_from_one)
            if isinstance(part, VQGAN):
                self._balance(part)
            if isinstance(part, R1GAN):
                self._slope(part, "r1", "x", _square)
            if isinstance(part, ContractiveAutoencoder):
                self._contraction(part)
            if isinstance(part, ImportanceWeightedAutoencoder):
                self._weights(part)
            elif isinstance(part, VariationalAutoencoder):
                self._divergence(part)

    # --- what is wrapped -------------------------------------------------------------------

    def _layer(self, name: str, layer: Any) -> None:
        forward, busy = layer.forward, [False]

        def recorded(x: Array) -> Any:
            if self._silent or busy[0]:
                return forward(x)
            with _set(busy):
                y, cache = forward(x)
            which = 1 + sum(c.part is layer for c in self.calls)
            self.calls.append(Call(name, layer, {"x": x}, {"y": y}, cache, which=which))
            return y, cache

        def back(method: Callable[..., Any], learns: bool) -> Callable[..., Any]:
            def pulled(dy: Array, cache: Any) -> Any:
                if self._silent or busy[0]:
                    return method(dy, cache)
                self._passing += not learns
                learning = not self._passing
                with _set(busy), self._added(_own(layer)) as grads:
                    dx = method(dy, cache)
                self._passing -= not learns
                call = self._of(layer, cache)
                if call is not None:
                    call.upstream, call.returned, call.learns = dy, dx, learning
                    call.grads = grads if learning else {}
                return dx

            return pulled

        def quiet(method: Callable[..., Any]) -> Callable[..., Any]:
            def silent(*args: Any) -> Any:
                with self._hushed():
                    return method(*args)

            return silent

        layer.backward_params = back(layer.backward_params, True)
        layer.backward_input = back(layer.backward_input, False)
        layer.backward = back(layer.backward, True)
        layer.tangent = quiet(layer.tangent)
        layer.tangent_backward = quiet(layer.tangent_backward)
        layer.forward = recorded

    def _likelihood(self, name: str, part: Any) -> None:
        forward = part.forward

        def recorded(y: Array, x: Array) -> Any:
            nll, cache = forward(y, x)
            self.calls.append(Call(name, part, {"y": y, "x": x}, {"nll": nll}, cache))
            return nll, cache

        def back(method: Callable[..., Array]) -> Callable[..., Array]:
            def pulled(cache: Any, *weights: Array) -> Array:
                with self._added(_own(part)) as grads:
                    dy = method(cache, *weights)
                call = self._of(part, cache)
                if call is not None:
                    call.returned, call.grads = dy, grads
                return dy

            return pulled

        part.forward = recorded
        part.backward_weighted = back(part.backward_weighted)
        part.backward = back(part.backward)

    def _loss(self, name: str, loss: Any) -> None:
        measure = loss.measure

        def recorded(y: Array, target: Array) -> Any:
            L, dy = measure(y, target)
            self.calls.append(Call(name, loss, {"y": y, "t": target}, {"L": L}, returned=dy))
            return L, dy

        loss.measure = recorded

    def _contraction(self, model: Any) -> None:
        contract, params = model._contract, unique(model.params)

        def recorded(x: Array, h: Array, *rest: Any) -> Any:
            with self._hushed(), self._added(params) as grads:
                value, dh = contract(x, h, *rest)
            call = Call("contraction", model, {"x": x, "h": h}, {"contraction": value})
            call.returned = dh if isinstance(dh, np.ndarray) else None
            call.grads = {key: g for key, g in grads.items() if g.any()}
            self.calls.append(call)
            return value, dh

        model._contract = recorded

    def _slope(
        self, model: Any, name: str, point: str, describe: Callable[[Array], dict[str, Any]]
    ) -> None:
        """A penalty on the discriminator's gradient with respect to its input."""
        penalise, params = model.penalise, unique(model.params)

        def recorded(x: Array) -> Array:
            with self._hushed(), self._added(params) as grads:
                found: Array = penalise(x)
            call = Call(name, model, {point: x}, describe(found))
            call.grads = {key: g for key, g in grads.items() if g.any()}
            self.calls.append(call)
            return found

        model.penalise = recorded

    def _balance(self, model: Any) -> None:
        """Passes that only measure gradients are no part of the way back."""
        balance = model.balance

        def silent(*args: Any) -> Any:
            with self._hushed():
                return balance(*args)

        model.balance = silent

    def _divergence(self, model: Any) -> None:
        measure = model._terms

        def recorded(nll: float, mu: Array, logvar: Array, beta: float) -> Any:
            terms, dkl = measure(nll, mu, logvar, beta)
            given = {"mu": mu, "s": logvar, "beta": beta, "dkl": dkl}
            made = {key: terms[key] for key in ("kl", "free_bits") if key in terms}
            self.calls.append(Call("kl", model, given, made))
            return terms, dkl

        model._terms = recorded

    def _weights(self, model: Any) -> None:
        weigh = model._weigh

        def recorded(log_p: Array, ratio: Array) -> Any:
            terms, w = weigh(log_p, ratio)
            given, made = {"log_p": log_p, "ratio": ratio}, {**terms, "w": w}
            self.calls.append(Call("weights", model, given, made))
            return terms, w

        model._weigh = recorded

    # --- how ------------------------------------------------------------------------------

    def _of(self, part: Any, cache: Any) -> Call | None:
        """The forward call that made this cache; if that is unclear, the latest without a backward."""
        waiting = [c for c in reversed(self.calls) if c.part is part and c.returned is None]
        waiting = [c for c in waiting if c.upstream is None]
        return next((c for c in waiting if c.cache is cache), waiting[0] if waiting else None)

    @contextmanager
    def _hushed(self) -> Iterator[None]:
        self._silent += 1
        try:
            yield
        finally:
            self._silent -= 1

    @contextmanager
    def _added(self, params: dict[str, Any]) -> Iterator[dict[str, Array]]:
        """Collect what is added to each gradient in the meantime."""
        before = {key: p.grad.copy() for key, p in params.items()}
        grads: dict[str, Array] = {}
        yield grads
        grads.update({key: p.grad - before[key] for key, p in params.items()})


class _Corruption(Corruption):
    def __init__(self, recorder: Recorder, name: str, inner: Corruption) -> None:
        self.recorder, self.name, self.inner = recorder, name, inner

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        noisy = self.inner(x, rng)
        self.recorder.calls.append(Call(self.name, self.inner, {"x": x}, {"x̃": noisy}))
        return noisy


class _Penalty(Penalty):
    def __init__(self, recorder: Recorder, name: str, inner: Penalty) -> None:
        self.recorder, self.name, self.inner = recorder, name, inner

    def __call__(self, z: Array) -> tuple[float, Array]:
        value, dz = self.inner(z)
        call = Call(self.name, self.inner, {"z": z}, {"value": value}, returned=dz)
        self.recorder.calls.append(call)
        return value, dz


class _GeneratorLoss(GeneratorLoss):
    def __init__(self, recorder: Recorder, name: str, inner: GeneratorLoss) -> None:
        self.recorder, self.name, self.inner = recorder, name, inner

    def __call__(self, s: Array) -> tuple[float, Array]:
        L, ds = self.inner(s)
        self.recorder.calls.append(Call(self.name, self.inner, {"s": s}, {"L": L}, returned=ds))
        return L, ds


@contextmanager
def recorded(module: Module) -> Iterator[Recorder]:
    """Record what the parts of a module do while the module runs."""
    yield Recorder(module)


def parts(module: Module, name: str = "") -> Iterator[tuple[str, Module]]:
    """A module and all its parts, each once, under the names that ``params`` uses."""
    seen: set[int] = set()

    def walk(part: Module, where: str) -> Iterator[tuple[str, Module]]:
        if id(part) in seen:
            return
        seen.add(id(part))
        yield where, part
        for key, child in part.children.items():
            yield from walk(child, f"{where}.{key}" if where else key)

    return walk(module, name)


def _own(part: Module) -> dict[str, Any]:
    """The Params that a part uses itself, without those of the layers inside it."""
    return {} if part.children else unique(part.params)


@contextmanager
def _set(flag: list[bool]) -> Iterator[None]:
    flag[0] = True
    try:
        yield
    finally:
        flag[0] = False


def _distance_from_one(norms: Array) -> dict[str, Any]:
    return {"‖g‖": norms, "gradient_penalty": float(np.square(norms - 1).mean())}


def _square(v: Array) -> dict[str, Any]:
    return {"v": v, "r1": float(np.vdot(v, v)) / len(v)}
