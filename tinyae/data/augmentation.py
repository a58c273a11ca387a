"""Augmentation: x′ ~ q(x′ | x), a new sample that is as plausible as x.

A corruption (:mod:`tinyae.data.corruption`) changes only the input; augmentation changes the input
and the target alike. ``fit(model, x, augment=RandomAffine())`` draws new samples at every step, so
that no sample is seen twice. This reduces overfitting, the gap between training and test error.
"""

from __future__ import annotations

import numpy as np

from tinyae import kernels
from tinyae.arguments import check_generator, number, positive_pair
from tinyae.arrays import check_float
from tinyae.param import Array


class RandomAffine:
    """Each image is rotated, stretched, slanted and shifted a little.

    Forward   x′(p) = x(A p + t) for each pixel p, relative to the image's centre, with
              A = [[cos θ, −sin θ], [sin θ, cos θ]] [[eᵃ, s], [0, eᵇ]]   and
              θ ~ N(0, rotation²)   a, b ~ N(0, stretch²)   s ~ N(0, slant²)   t ~ N(0, shift² I);
              interpolated by cubic convolution, zero outside, clipped to the image's range
    Shapes    x (N, C, H, W)   x′ as x; the channels of an image move together
    Units     rotation in radians, stretch and slant as fractions, shift in pixels
    Raises    ValueError unless all four are ≥ 0 and finite; TypeError unless x is a batch of images
    Source    Keys (1981), eq. (15), for the interpolation; Simard et al. (2003), §2, for the idea
    """

    def __init__(
        self,
        rotation: float = 0.05,
        stretch: float = 0.03,
        slant: float = 0.05,
        shift: float = 0.2,
    ) -> None:
        arguments = {"rotation": rotation, "stretch": stretch, "slant": slant, "shift": shift}
        for name, value in arguments.items():
            if not 0 <= number("RandomAffine", name, value, 0.05) < np.inf:
                raise ValueError(
                    f"RandomAffine: {name} is {value}, expected ≥ 0 and finite; pass e.g. 0.05"
                )
        self.rotation, self.stretch, self.slant, self.shift = map(float, arguments.values())

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        check_images("RandomAffine", x)
        check_generator("RandomAffine", rng)
        return kernels.warp(x, self.maps(len(x), x.shape[2:], rng).astype(x.dtype))

    def maps(self, n: int, size: tuple[int, ...], rng: np.random.Generator) -> Array:
        """(n, 2, 3): pixel (i, j) of x′ is x at the position maps[n] (i, j, 1)."""
        angle = self.rotation * rng.standard_normal(n)
        down, across = np.exp(self.stretch * rng.standard_normal((2, n)))
        slant, shift = self.slant * rng.standard_normal(n), self.shift * rng.standard_normal((n, 2))
        c, s = np.cos(angle), np.sin(angle)
        A = np.array([[c * down, c * slant - s * across], [s * down, s * slant + c * across]])
        A, middle = A.transpose(2, 0, 1), (np.array(size) - 1) / 2
        return np.concatenate([A, (middle + shift - A @ middle)[:, :, None]], axis=2)

    def __repr__(self) -> str:
        values = (self.rotation, self.stretch, self.slant, self.shift)
        return f"RandomAffine({', '.join(map(str, values))})"


class RandomCrop:
    """A random window of each image, so that a small network sees many small pictures.

    Forward   x′(p) = x(p + t),   t uniform over the places where the window lies inside x
    Shapes    x (N, C, H, W)   x′ (N, C, size[0], size[1]); a window larger than x is as large as x
    Raises    ValueError unless size is an int ≥ 1 or a pair of them; TypeError unless x is a batch of
              images

    For models that work on pictures of any size, such as those of
    :func:`~tinyae.models.conv_denoiser.conv_denoiser`.
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = positive_pair("RandomCrop", "size", size, 32)

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        check_images("RandomCrop", x)
        check_generator("RandomCrop", rng)
        high, wide = min(self.size[0], x.shape[2]), min(self.size[1], x.shape[3])
        rows = rng.integers(0, x.shape[2] - high + 1, len(x))
        columns = rng.integers(0, x.shape[3] - wide + 1, len(x))
        windows = [image[:, i : i + high, j : j + wide] for image, i, j in zip(x, rows, columns)]
        return np.stack(windows)

    def __repr__(self) -> str:
        return f"RandomCrop({self.size})"


def check_images(who: str, x: Array) -> None:
    if not isinstance(x, np.ndarray) or x.ndim != 4 or x.dtype.kind != "f":
        what = f"of shape {x.shape}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise TypeError(
            f"{who}: x is {what}, expected images (N, C, H, W) of floating "
            "point; of a tuple augment the parts yourself, with augment=lambda batch, rng: …"
        )
    check_float(f"{who}: x", x)
