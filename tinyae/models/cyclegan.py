"""Two sets of images and no pairs: what one set's image would look like in the other.

    parts = cyclegan((1, 28, 28), rng=rng)
    model = CycleGAN(*parts)
    fit(model, (x, y), optimizer=(Adam(1e-3, beta1=0.5), Adam(1e-3, beta1=0.5)))
    model.to_y(x); model.to_x(y)

A discriminator alone asks of G(x) that it looks like *some* y. That it is the y of this x follows from
the cycle: F must find x again in G(x), so G may not lose what makes x this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae.arrays import check_real
from tinyae.layers import Layer
from tinyae.losses import L1, MSE
from tinyae.models.base import Model, Terms
from tinyae.models.checks import check_parts, check_reach, check_weight, output_range
from tinyae.models.gan import check_ends_in_logit, merged
from tinyae.models.gan_players import Player, Run, inferring, prefixed, training
from tinyae.param import Array, Param

_l1, _mse = L1(), MSE()


class CycleGAN(Model):
    """Two generators, G from x to y and F back, each with a discriminator for what it makes.

    Forward   ỹ = G(x)      x̂ = F(ỹ)      x̃ = F(y)      ŷ = G(x̃)
              adversarial   = mean (D_y(ỹ) − 1)² + mean (D_x(x̃) − 1)²
              cycle         = mean |x̂ − x| + mean |ŷ − y|
              identity      = mean |G(y) − y| + mean |F(x) − x|
              discriminator = ½ [mean (D_y(y) − 1)² + mean D_y(ỹ)² + mean (D_x(x) − 1)² + mean D_x(x̃)²]
              the generators' total = adversarial + λ cycle + μ identity
              total = both players' totals      (reported, but minimised by neither player)
    Shapes    a batch is (x, y), n rows of each, which do not belong together: x, ỹ … (N, …) all alike
              D(·) (N, …): one number for each patch of an image, or one for all of it
    Backward  see :class:`TranslatorsPlayer` and :class:`CycleDiscriminatorsPlayer`
    Units     ``real`` and ``fake`` are the mean of D on data and on what is made, of both sides;
              1 and 0 if D knows them apart, ½ each if it does not
    Raises    TypeError, ValueError  no two arrays; data beyond a generator's last layer; a discriminator
              whose last layer bounds what it gives
    Source    Zhu, Park, Isola & Efros (2017), eq. 1-3; §4 and §7 for the squares and the identity

    ``cycle`` is λ and ``identity`` is μ: 10 and 5 in the paper. The identity loss keeps the brightness:
    without it, G may invert an image if F inverts it back. Where a set cannot go through the other's
    generator, μ is 0. The paper shows D also images of earlier steps; here it sees only new ones.
    """

    def __init__(
        self,
        generator_y: Layer,
        generator_x: Layer,
        discriminator_y: Layer,
        discriminator_x: Layer,
        *,
        cycle: float = 10.0,
        identity: float = 5.0,
    ) -> None:
        check_parts("CycleGAN", Layer, generator_y=generator_y, generator_x=generator_x)
        judges = {"discriminator_y": discriminator_y, "discriminator_x": discriminator_x}
        check_parts("CycleGAN", Layer, **judges)
        for part in judges.values():
            check_ends_in_logit("CycleGAN", part)
        self.generator_y, self.generator_x = generator_y, generator_x
        self.discriminator_y, self.discriminator_x = discriminator_y, discriminator_x
        self.cycle = check_weight("CycleGAN", "cycle", cycle, "10")
        self.identity = check_weight("CycleGAN", "identity", identity, "5")

    @property
    def players(self) -> tuple[Model, ...]:
        """Both discriminators, which are trained first, and both generators."""
        return CycleDiscriminatorsPlayer(self), TranslatorsPlayer(self)

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        return merged(player.objective(x, rng) for player in self.players)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        """Both players' gradients at the same point, each of its own loss."""
        return merged(player.backprop(x, rng) for player in self.players)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        return merged(player.evaluate_batch(x, rng) for player in self.players)

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        a, b = self.pair(x)
        for side, other, start in (("y", "x", a), ("x", "y", b)):
            made = start
            for name, made in getattr(self, f"generator_{side}").trace(start, f"generator_{side}"):
                yield name, made
            yield from getattr(self, f"generator_{other}").trace(made, f"generator_{other}")
            yield from getattr(self, f"discriminator_{side}").trace(made, f"discriminator_{side}")

    def check_data(self, x: Any) -> None:
        """Check both sets as every model does, and that the generators can reach them."""
        super().check_data(x)
        a, b = self.pair(x)
        for data, generator in ((a, self.generator_x), (b, self.generator_y)):
            bounds, last = output_range(generator)
            do = f"the generator's last layer, {last}, reaches no further: scale the data"
            check_reach(self, data, (bounds, do))

    def pair(self, batch: Any) -> tuple[Array, Array]:
        """The two sets of a batch.

        Raises
            TypeError  anything but a tuple of two arrays
        """
        if not isinstance(batch, tuple) or len(batch) != 2:
            got = f"{len(batch)} arrays" if isinstance(batch, tuple) else "one array"
            raise TypeError(f"CycleGAN: a batch is {got}, expected two; pass (x, y), a set of each")
        return batch

    def sides(self, batch: Any) -> tuple[tuple[Layer, Layer, Layer, Array, Array], ...]:
        """For y and for x: what makes it, what leads back, who judges it, its source, and data."""
        x, y = self.pair(batch)
        return (
            (self.generator_y, self.generator_x, self.discriminator_y, x, y),
            (self.generator_x, self.generator_y, self.discriminator_x, y, x),
        )

    # --- use -------------------------------------------------------------------------------

    def to_y(self, x: Array) -> Array:
        """G(x), in inference mode, 1,024 rows at a time. Takes any real dtype."""
        return self._in_chunks(lambda part: self.in_data_units(self.generator_y(part)), x)

    def to_x(self, y: Array) -> Array:
        """F(y), likewise."""
        check_real("CycleGAN.to_x: y", y)
        return self._in_chunks(lambda part: self.in_data_units(self.generator_x(part)), y)


class CycleDiscriminatorsPlayer(Player):
    """D_y and D_x, which learn to give 1 to data and 0 to what the generators make.

    Forward   s = D(y)      s̃ = D(G(x))      total = discriminator = ½ [mean (s − 1)² + mean s̃²],
              and the same for D_x, added
    Backward  ds = (s − 1) / m      ds̃ = s̃ / m,   m the entries of s
              ∂L/∂θ_D = J_D(y)ᵀ ds + J_D(ỹ)ᵀ ds̃; the generators get no gradient: ỹ is data here
    Source    Mao et al. (2017), eq. 9 with b = c = 1 and a = 0
    """

    @property
    def params(self) -> dict[str, Param]:
        game = self.game
        return prefixed("discriminator_y", game.discriminator_y) | prefixed(
            "discriminator_x", game.discriminator_x
        )

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        return self._measure(x, training)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        return self._measure(x, inferring)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        found = []
        for make, _, D, source, data in self.game.sides(x):
            fake = _alike(data, make.forward(source)[0])
            s, real_cache = D.forward(data)
            s_fake, fake_cache = D.forward(fake)
            terms, ds, ds_fake = self._score(s, s_fake)
            D.backward_params(ds_fake, fake_cache)
            D.backward_params(ds, real_cache)
            found.append(terms)
        return self._both(found)

    def _measure(self, batch: Any, run: Run) -> Terms:
        found = []
        for make, _, D, source, data in self.game.sides(batch):
            fake = _alike(data, run(make, source))
            found.append(self._score(run(D, data), run(D, fake))[0])
        return self._both(found)

    def _score(self, s: Array, s_fake: Array) -> tuple[Terms, Array, Array]:
        """One side's terms, with ds and ds̃."""
        L, ds = _mse(s, np.ones_like(s))
        L_fake, ds_fake = _mse(s_fake, np.zeros_like(s_fake))
        L, ds, ds_fake = (L + L_fake) / 2, ds / 2, ds_fake / 2
        return {"discriminator": L, "real": _mean(s), "fake": _mean(s_fake)}, ds, ds_fake

    def _both(self, found: list[Terms]) -> Terms:
        y, x = found
        L = y["discriminator"] + x["discriminator"]
        means = {name: (y[name] + x[name]) / 2 for name in ("real", "fake")}
        return {"total": L, "discriminator": L} | means


class TranslatorsPlayer(Player):
    """G and F, which learn to deceive D_y and D_x, to find the way back, and to leave well alone.

    Forward   ỹ = G(x)      s = D(ỹ)      x̂ = F(ỹ)      y′ = G(y),   and the same from y, added
              total = mean (s − 1)² + λ mean |x̂ − x| + μ mean |y′ − y|
    Backward  ds = 2 (s − 1) / m      dx̂ = λ sign(x̂ − x) / m      dy′ = μ sign(y′ − y) / m
              dỹ = J_D(ỹ)ᵀ ds + J_F(ỹ)ᵀ dx̂      (D's parameters get no gradient)
              ∂L/∂θ_F = J_F(ỹ)ᵀ dx̂      ∂L/∂θ_G = J_G(x)ᵀ dỹ + J_G(y)ᵀ dy′
    Source    Zhu, Park, Isola & Efros (2017), eq. 1-3

    With the other direction's, each generator has three passes, whose caches are kept apart and
    whose gradients add.
    """

    @property
    def params(self) -> dict[str, Param]:
        game = self.game
        return prefixed("generator_y", game.generator_y) | prefixed("generator_x", game.generator_x)

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        return self._measure(x, training)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        return self._measure(x, inferring)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        game, found = self.game, []
        for make, back, D, source, data in game.sides(x):
            made, make_cache = make.forward(source)
            s, judge_cache = D.forward(_alike(data, made))
            again, back_cache = back.forward(made)
            adversarial, ds = _mse(s, np.ones_like(s))
            cycle, dagain = _l1(again, source)
            dmade = D.backward_input(ds, judge_cache)
            dmade = dmade + back.backward(game.cycle * dagain, back_cache)
            make.backward_params(dmade, make_cache)
            identity = 0.0
            if game.identity:
                same, same_cache = make.forward(data)
                identity, dsame = _l1(same, data)
                make.backward_params(game.identity * dsame, same_cache)
            found.append((adversarial, cycle, identity))
        return self._terms(found)

    def _measure(self, batch: Any, run: Run) -> Terms:
        found = []
        for make, back, D, source, data in self.game.sides(batch):
            made = _alike(data, run(make, source))
            s = run(D, made)
            cycle, _ = _l1(run(back, made), source)
            identity = _l1(run(make, data), data)[0] if self.game.identity else 0.0
            found.append((_mse(s, np.ones_like(s))[0], cycle, identity))
        return self._terms(found)

    def _terms(self, found: list[tuple[float, float, float]]) -> Terms:
        adversarial, cycle, identity = (a + b for a, b in zip(*found))
        total = adversarial + self.game.cycle * cycle + self.game.identity * identity
        return {"total": total, "adversarial": adversarial, "cycle": cycle, "identity": identity}


def _alike(data: Array, made: Array) -> Array:
    """What a generator makes, if it has the shape of data.

    Raises
        ValueError  otherwise
    """
    if made.shape[1:] != data.shape[1:]:
        raise ValueError(
            f"CycleGAN: a generator makes {made.shape}, the data it is judged by have shape "
            f"{data.shape}; generators lead from one set's shape to the other's"
        )
    return made


def _mean(s: Array) -> float:
    return float(s.mean(dtype=np.float64))
