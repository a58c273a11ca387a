"""Synthetic grey faces: people, each in several pictures.

A picture is painted from back to front with soft-edged ellipses, from two sets of random factors:

person    proportions and tones of head, hair, brows, eyes, nose, mouth, beard; once per person
picture   position and pose of the head, expression, light, background and camera noise; anew for
          every picture

Each set is a table below. Two pictures of one person may differ in more pixels than pictures of two
people, so recognising a person is not trivial. No real person is shown.

Forward   canvas ← canvas + α (tone − canvas)      α = clip(1/2 − d / pixel, 0, 1)
          d is the distance to the shape's edge, negative inside
Source    Quílez (2017), distance to an ellipse (the first-order estimate); Porter & Duff (1984),
          "over"; Turk & Pentland (1991) for the use of a distribution of faces
"""

import numpy as np
from numpy.typing import NDArray

from tinyae.arguments import integer

Factors = dict[str, NDArray]  # name -> (n, 1, 1), to go with pixels (n, size, size)

# Factor -> mean, standard deviation (clipped at two). Lengths in half pictures, x to the right,
# y downwards, (0, 0) in the middle of the head; tones from 0 black to 1 white; slopes as dy/dx.
PERSON = {
    "head width": (0.54, 0.045),
    "head height": (0.66, 0.045),
    "jaw": (0.10, 0.10),  # how much narrower the head is at the bottom
    "skin": (0.74, 0.10),
    "hair": (0.28, 0.17),
    "hair volume": (0.09, 0.035),  # distance from the head
    "hair length": (0.20, 0.42),  # y of its lower end
    "hairline": (-0.39, 0.085),
    "hairline bend": (0.0, 0.45),  # a peak in the middle, or covered temples
    "parting": (0.0, 0.2),
    "ears": (0.10, 0.025),
    "eye height": (-0.04, 0.035),
    "eye distance": (0.225, 0.022),  # of each eye from the middle
    "eye width": (0.105, 0.013),
    "eye opening": (0.060, 0.011),
    "eye slant": (0.0, 0.12),
    "iris": (0.15, 0.08),
    "brow distance": (0.145, 0.018),  # above the eye
    "brow width": (0.145, 0.018),
    "brow thickness": (0.036, 0.012),
    "brow slant": (0.0, 0.16),
    "nose length": (0.24, 0.04),
    "nose width": (0.085, 0.018),
    "mouth height": (0.37, 0.025),
    "mouth width": (0.18, 0.028),
    "lips": (0.040, 0.012),
    "lip tone": (0.62, 0.10),  # times the skin's
    "beard": (-0.15, 0.30),  # ≤ 0: none
}
PICTURE = {
    "x": (0.0, 0.035),
    "y": (0.0, 0.035),
    "roll": (0.0, 0.07),  # in the plane of the picture, rad
    "size": (0.0, 0.045),  # ln of the scale
    "turn": (0.0, 0.045),  # to the side; protruding parts move more
    "nod": (0.0, 0.025),
    "smile": (0.25, 0.35),  # height of the mouth's corners, in mouth widths
    "mouth opening": (0.0, 0.022),
    "eyelids": (0.92, 0.16),  # times the eye opening
    "brows raised": (0.0, 0.015),
    "gaze": (0.0, 0.018),
    "background": (0.50, 0.20),
    "clothes": (0.40, 0.20),
    "brightness": (0.97, 0.09),
    "light from the right": (0.0, 0.22),
    "light from above": (0.06, 0.12),
}
NOISE = 0.02  # standard deviation of every pixel
BLOCK = 64  # pictures painted at once, which fit into the cache


def draw(table: dict[str, tuple[float, float]], n: int, rng: np.random.Generator) -> NDArray:
    """Factors (n, factors): normal, clipped at two standard deviations."""
    mean, std = np.array(list(table.values())).T
    return (mean + std * rng.normal(size=(n, len(table))).clip(-2, 2)).astype(np.float32)


class Canvas:
    """Grey pictures (n, size, size) being painted; ``pixel`` is the width of a soft edge."""

    def __init__(self, tone: NDArray, size: int, pixel: float) -> None:
        self.grey = np.empty((len(tone), size, size), np.float32)
        self.grey[:] = tone
        self.pixel = np.float32(pixel)

    def cover(self, distance: NDArray, soft: float = 1.0) -> NDArray:
        """α of a shape from the distance to its edge, which is ``soft`` pixels wide."""
        return np.clip(0.5 - distance / (soft * self.pixel), 0, 1)

    def paint(self, tone: NDArray | float, alpha: NDArray) -> None:
        self.grey += alpha * (tone - self.grey)


def ellipse(x: NDArray, y: NDArray, a: NDArray | float, b: NDArray | float) -> NDArray:
    """Distance to the ellipse (x/a)² + (y/b)² = 1, to first order: (r − 1) r / |∇ r²/2|."""
    u, v = x / a, y / b
    r = np.sqrt(u * u + v * v)
    slope = np.sqrt(np.square(u / a) + np.square(v / b)) + np.float32(1e-6)
    return r * (r - 1) / slope


def paint(person: Factors, picture: Factors, size: int) -> NDArray:
    """Pictures (n, size, size), without noise and not yet clipped to [0, 1]."""
    p, q = person, picture
    pixel = 2 / size
    v, u = np.meshgrid(*2 * [(np.arange(size, dtype=np.float32) + 0.5) * pixel - 1], indexing="ij")

    # from the picture's coordinates (u, v) to the head's
    scale, cos, sin = 0.88 * np.exp(-q["size"]), np.cos(q["roll"]), np.sin(q["roll"])
    dx, dy = (u - q["x"]) * scale, (v - q["y"] - 0.08) * scale
    x, y = cos * dx + sin * dy, cos * dy - sin * dx
    width, height, skin, hair = (p[name] for name in ("head width", "head height", "skin", "hair"))
    canvas = Canvas(q["background"], size, pixel)
    cover, over = canvas.cover, canvas.paint

    # hair behind the head: a cap, and hair down to the shoulders
    tall, wide = height + p["hair volume"], width + 0.8 * p["hair volume"]
    fall = np.where(y > 0, np.abs(x) - wide, ellipse(x, y, wide, tall))
    behind = np.maximum(fall, y - p["hair length"])
    over(hair, cover(behind, 1.5))

    # clothes, neck, ears, head
    over(q["clothes"], cover(ellipse(x, y - 1.2, 0.95, 0.42)))
    neck = np.maximum(np.abs(x) - 0.45 * width, np.abs(y - 0.6) - 0.35)
    over(0.8 * skin, cover(neck, 1.5))
    ear = ellipse(np.abs(x) - width, y - p["eye height"] - 0.08, 0.6 * p["ears"], 1.3 * p["ears"])
    over(0.9 * skin, cover(ear))
    taper = x / (1 - p["jaw"] * y / height)
    head = ellipse(taper, y, width, height)
    on_head = cover(head)
    over(skin * (1 - 0.25 * np.square(x / width)), on_head)  # round, so darker at the sides

    # features in front of the head move when it turns
    x, y = x - q["turn"], y - q["nod"]
    side = np.abs(x)
    outwards = side - p["eye distance"]
    beard = np.minimum(ellipse(x, y - p["mouth height"], 0.27, 0.19), 0)
    jaw = np.maximum(0.16 + 0.25 * np.square(x / width) - y, -beard)
    over(hair, on_head * cover(jaw, 2.5) * np.clip(p["beard"], 0, 0.85))

    eye_y = y - p["eye height"] - p["eye slant"] * outwards
    opening = p["eye opening"] * np.clip(q["eyelids"], 0.15, 1.1)
    over(0.82 * skin, cover(ellipse(outwards, eye_y, 1.35 * p["eye width"], 0.11), 3))  # socket
    eye = cover(ellipse(outwards, eye_y, p["eye width"], opening))
    over(0.95, eye)
    iris = ellipse(np.where(x > 0, 1, -1) * outwards - q["gaze"], eye_y, 0.058, 0.062)
    over(p["iris"], eye * cover(iris))
    brow_y = y - p["eye height"] + p["brow distance"] + q["brows raised"]
    brow_y = brow_y - p["brow slant"] * outwards + 1.2 * np.square(outwards)
    over(0.75 * hair, cover(ellipse(outwards, brow_y, p["brow width"], p["brow thickness"])) * 0.85)

    # the nose protrudes most: a light ridge, and a shadow under its tip
    nose_x, tip = x - 0.7 * q["turn"], p["eye height"] + p["nose length"]
    ridge = ellipse(nose_x, y - tip + 0.14, 0.55 * p["nose width"], 0.15)
    over(np.minimum(1.12 * skin, 1), cover(ridge, 2) * 0.6)
    over(0.58 * skin, cover(ellipse(nose_x, y - tip, p["nose width"], 0.032), 1.2) * 0.9)

    # the mouth: bent by a smile, dark inside
    bend = q["smile"] * (0.4 - np.square(x / p["mouth width"])) * p["mouth width"]
    mouth_y = y - p["mouth height"] - 0.5 * bend
    opened = np.maximum(q["mouth opening"], 0)
    over(p["lip tone"] * skin, cover(ellipse(x, mouth_y, p["mouth width"], p["lips"] + opened)))
    inner = ellipse(x, mouth_y, 0.85 * p["mouth width"], 0.012 + opened)
    over(0.15, cover(inner) * 0.8)

    # hair in front: above the hairline, within the cap
    x, y = x + 0.5 * q["turn"], y + 0.5 * q["nod"]
    line = p["hairline"] + p["parting"] * x + p["hairline bend"] * (np.square(x) - 0.08)
    cap = ellipse(x, y, wide, tall)
    over(hair, cover(np.maximum(cap, y - line), 1.5))

    light = 1 + q["light from the right"] * u - q["light from above"] * v
    return canvas.grey * light * q["brightness"]


def faces(
    identities: int, per_identity: int, rng: np.random.Generator, *, size: int = 32
) -> tuple[NDArray, NDArray]:
    """Draw pictures of people, each person several times.

    identities    number of people; two calls have nobody in common
    per_identity  number of pictures of each
    rng           source of all randomness: the same state gives the same bits
    size          height and width of a picture in pixels

    Returns the pictures, (identities · per_identity, 1, size, size) float32, 0 black to 1 white,
    and the labels, (identities · per_identity,) int64, which identify the person. The pictures of a
    person are adjacent: ``pictures.reshape(identities, per_identity, 1, size, size)``.

    Raises ValueError unless identities is an int ≥ 0, per_identity one ≥ 1, size one ≥ 16
    and rng a numpy Generator.
    """
    identities = integer("faces", "identities", identities, 0, 32)
    per_identity = integer("faces", "per_identity", per_identity, 1, 32)
    size = integer("faces", "size", size, 16, 32)
    if not isinstance(rng, np.random.Generator):
        raise ValueError(
            f"faces: rng is {rng!r}, expected a numpy.random.Generator; "
            "pass e.g. rng=np.random.default_rng(0)"
        )
    labels = np.repeat(np.arange(identities, dtype=np.int64), per_identity)
    people = draw(PERSON, identities, rng)
    images = np.empty((len(labels), 1, size, size), np.float32)
    for start in range(0, len(labels), BLOCK):
        block = labels[start : start + BLOCK]
        person = dict(zip(PERSON, people[block].T[:, :, None, None]))
        picture = dict(zip(PICTURE, draw(PICTURE, len(block), rng).T[:, :, None, None]))
        grey = paint(person, picture, size)
        grey += NOISE * rng.standard_normal(grey.shape, np.float32)
        images[start : start + BLOCK, 0] = np.clip(grey, 0, 1)
    return images, labels
