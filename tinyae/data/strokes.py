"""Synthetic digits that look handwritten.

A digit is drawn in three stages:

skeleton  The strokes of a digit are smooth curves through a few control points. Each digit can be
          written in several ways (a 7 with or without a bar, a 4 open or closed). Each way has
          several masters with the same strokes, as in a multiple-master typeface, and a random
          blend of them gives one writer's form.
hand      Control points move a little, stroke ends fall short or overshoot, and the whole digit is
          smoothly warped, stretched, tapered, slanted and rotated.
pen       A round nib, whose radius varies between writers and along the stroke.

As in MNIST, a digit fills a box of about 20 of the 28 pixels, and is shifted by whole pixels to put
its centre of mass in the middle of the image.

Source    de Boor (1978), A Practical Guide to Splines, ch. IV; LeCun, Bottou, Bengio & Haffner
          (1998) for size and position. The skeletons are this library's own.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinyae.arguments import integer

# A line "digit share" starts one way of writing a digit, used for that fraction of its images. Each
# line below it is a master: strokes, separated by "/", through control points "x,y" on a grid from
# 0 to 100 with y downwards; "*" marks a corner. All masters of a way have the same strokes and
# corners.
SKELETONS = """
    0 0.75  # one closed stroke, anticlockwise from the top, ends overlapping
      54,3 28,10 10,48 22,86 50,98 78,86 90,50 76,14 46,3                 # round
      56,3 38,12 26,50 34,88 50,98 66,88 74,50 66,14 48,3                 # narrow
      70,6 40,8 10,50 12,84 38,98 70,86 90,48 88,16 60,4                  # leaning, from the right
      52,2 34,16 16,56 22,88 50,99 78,88 84,56 66,16 48,3                 # egg
      44,6 20,22 8,52 20,84 50,94 80,78 92,48 78,18 40,8                  # wide

    0 0.25  # the closing end turns inwards, or leaves a gap
      40,12 18,28 10,56 24,88 52,98 80,84 90,48 74,12 46,4 34,16          # turned in
      58,2 30,12 14,50 24,86 50,98 76,86 88,48 78,16 60,8 40,14           # closed from above
      46,6 22,18 12,52 24,86 50,98 78,84 88,50 80,22 70,10 62,4           # a gap at the top
      34,6 18,24 14,56 26,88 52,98 78,82 84,48 70,16 52,8 42,24           # deep inside

    1 0.88  # a bar
      54,0 50,50 46,100
      66,0 50,50 34,100
      50,0 54,50 48,100
      58,0 49,50 50,100

    1 0.07  # a flag
      34,18 52,2* 50,50 48,100
      24,30 54,2* 52,50 51,100

    1 0.05  # a flag and a base
      30,20 50,2* 50,50 50,97 / 22,98 50,97 78,97
      22,22 54,4* 52,50 50,96 / 14,97 50,96 86,94

    2 0.55  # a corner at the bottom left, then a base
      16,24 34,6 62,6 74,26 58,56 34,80 14,96* 50,95 88,95                # plain
      14,10 40,4 72,6 76,16 52,50 30,74 12,95* 48,93 86,94                # nearly a Z
      22,26 36,6 58,4 68,24 56,56 36,80 22,94* 52,97 78,99                # narrow
      10,20 32,4 60,8 66,32 50,58 30,76 12,88* 50,86 98,84                # a long base
      24,34 28,10 54,2 76,16 72,50 46,76 12,88* 46,90 84,99               # a round head
      24,16 40,4 58,8 62,26 52,58 42,78 28,94* 44,92 66,96                # upright
      26,24 38,8 54,10 56,28 44,54 28,74 12,92* 50,90 96,84               # a small head
      20,14 42,2 64,8 64,28 46,56 30,78 16,92* 40,96 74,90                # a base that rises

    2 0.45  # a loop at the bottom left, then a tail
      18,24 36,6 62,8 70,32 52,66 26,92 10,88 18,74 42,80 66,92 94,88
      22,18 42,4 66,10 70,34 58,68 36,96 14,96 14,80 38,78 66,88 92,96
      14,30 32,10 58,6 72,26 60,60 34,88 14,90 20,74 44,78 68,84 98,76
      26,22 46,3 68,12 70,42 58,72 34,94 10,90 10,70 36,66 60,80 84,96    # a large loop
      20,12 44,2 72,10 78,36 66,68 40,92 18,90 22,74 46,74 66,86 80,98
      30,26 44,6 64,10 66,36 52,68 30,92 24,86 34,78 50,84 62,92 78,94    # narrow
      12,24 26,6 56,2 80,20 74,60 48,92 20,98 10,82 28,70 56,78 86,90     # a large head
      26,20 46,2 66,8 66,36 52,66 26,84 6,80 10,68 38,68 58,84 76,98      # falling

    3 0.58  # two bowls meeting in a corner
      18,14 42,3 70,8 72,28 56,42 36,47* 66,50 82,68 72,90 44,98 14,90
      24,10 44,3 66,10 66,28 52,42 40,46* 64,52 74,70 64,90 44,97 22,90   # narrow
      12,18 38,4 74,6 76,24 54,40 30,50* 60,52 70,68 60,86 36,96 2,92     # leaning
      30,12 48,3 64,10 62,26 50,38 42,42* 64,44 80,62 74,88 46,98 18,86   # a small head
      18,20 36,4 70,4 78,26 62,46 34,54* 62,56 74,72 64,90 42,98 20,92    # a large head
      22,22 40,4 66,10 66,30 52,42 36,46* 66,50 82,70 68,94 36,96 14,82   # a curled end
      36,8 54,4 60,16 52,32 42,40 34,46* 58,48 70,64 60,82 40,94 16,98    # a flat end
      22,12 46,2 66,8 64,26 46,40 26,48* 60,44 82,58 80,84 54,98 28,96    # a deep waist

    3 0.18  # a small loop at the waist
      18,16 46,4 72,16 62,38 40,50 36,44 52,46 76,62 72,90 42,98 14,86
      26,14 48,4 66,14 58,36 42,48 40,42 54,46 70,64 64,88 42,98 22,90
      12,22 40,4 72,10 66,34 36,50 30,44 48,46 72,60 66,84 36,98 4,90

    3 0.24  # a flat top
      16,6 46,5 78,5* 60,24 42,42* 70,50 82,70 68,92 42,98 14,88
      20,10 44,6 70,4* 60,24 48,40* 66,48 76,68 64,90 42,97 18,92
      10,12 40,8 76,10* 56,28 34,44* 60,48 70,66 58,86 34,98 8,96
      10,8 34,4 60,6* 50,24 38,42* 62,46 82,62 80,86 58,98 34,94          # leaning back

    4 0.64  # open: an L, then the stem
      26,6 22,30 18,54* 44,54 78,52 / 72,2 70,34 66,68 62,100
      22,10 16,32 12,52* 46,56 88,48 / 74,4 68,36 62,68 56,100
      34,4 30,26 28,46* 46,48 70,46 / 70,2 70,34 68,68 68,100             # narrow
      30,18 20,40 6,60* 44,60 90,56 / 66,0 60,32 54,68 48,100             # wide
      18,14 14,36 10,62* 44,62 78,58 / 78,6 78,36 78,68 78,100            # square
      36,10 24,30 12,50* 40,50 66,42 / 84,4 72,36 60,68 48,100            # slanting
      24,20 16,38 10,56* 46,56 96,50 / 62,10 58,34 54,66 52,98            # a long bar

    4 0.16  # open, a rounded bowl
      24,4 18,26 22,46 44,52 70,42 / 76,4 72,34 66,68 60,100
      32,2 24,24 28,44 46,48 68,38 / 74,0 70,34 68,68 66,100
      20,10 10,34 16,54 42,56 74,44 / 82,2 76,34 70,68 66,100

    4 0.20  # closed: a diagonal, a bar, a stem
      62,3 38,32 12,64* 46,64 92,62 / 64,2 64,34 63,68 62,100
      66,4 44,26 22,54* 46,56 80,54 / 67,3 65,34 62,68 58,100
      60,2 36,28 10,58* 44,60 84,54 / 70,24 70,50 68,76 66,100            # a short stem

    5 0.52  # two strokes: stem and bowl, then the flag
      32,6 28,24 24,42* 50,38 76,52 76,80 48,97 14,92 / 32,6 58,5 86,4
      36,6 32,24 30,40* 52,40 70,54 68,82 46,97 24,92 / 35,6 52,6 72,5    # narrow
      46,12 38,26 30,42* 52,42 66,56 58,80 34,94 4,90 / 46,12 70,8 98,4   # a long flag
      22,6 20,26 18,46* 50,34 84,54 80,86 44,99 8,84 / 22,6 50,6 80,5     # a large bowl
      34,14 32,30 32,48* 52,44 68,60 70,84 54,98 28,90 / 36,10 58,8 84,2  # a small bowl
      26,8 30,26 34,42* 56,42 76,58 80,80 60,96 30,94 / 28,8 52,8 76,10   # upright
      30,14 26,30 24,46* 50,36 76,50 78,80 46,98 12,80 / 32,12 56,8 82,2  # a curled end
      40,8 30,24 22,38* 46,40 62,58 58,82 36,96 12,98 / 42,8 66,8 90,12   # a flat end

    5 0.28  # one stroke from the end of the flag
      84,4 58,6 34,8* 30,26 28,42* 54,42 76,58 70,84 44,98 14,90
      78,3 56,4 38,8* 34,22 36,36* 54,48 66,64 60,88 40,98 20,92
      92,6 66,8 42,12* 36,24 32,40* 54,46 66,62 56,84 30,96 4,90
      80,8 52,6 24,6* 20,26 18,46* 50,40 84,58 82,84 50,98 16,94

    5 0.20  # one stroke, nearly an S
      80,4 50,4 32,14 28,34 52,46 74,60 70,86 44,98 14,90
      72,4 50,6 38,16 36,34 52,48 66,62 62,86 44,98 26,92
      88,8 56,4 34,18 32,36 56,46 72,64 62,90 34,98 6,88

    6 1.00  # a descending curve into a bowl
      64,2 40,22 24,52 24,82 46,98 70,88 74,66 54,54 34,64 24,80
      52,1 38,24 30,54 32,84 48,98 64,90 66,72 54,60 40,68 32,82          # narrow
      44,1 22,24 10,56 20,86 48,97 78,90 84,70 62,58 36,68 22,84          # a wide, low bowl
      76,4 46,16 24,48 22,80 44,98 68,88 76,62 58,48 36,58 24,76          # an arched top
      56,2 44,24 30,52 24,80 36,97 56,90 68,72 58,62 42,74 28,90          # a tight bowl
      32,2 22,24 18,52 24,84 50,98 80,90 84,72 66,60 42,66 22,76          # an upright stem
      60,2 34,18 18,46 20,80 44,98 72,88 78,60 60,42 36,48 20,66          # a large bowl
      50,2 34,24 22,54 26,86 52,98 78,88 76,68 54,60 40,72 44,84          # not quite closed
      48,2 36,24 26,54 30,86 54,98 76,86 74,66 50,58 28,66 12,78          # crossing the stem
      26,4 10,34 10,72 36,97 72,92 90,70 76,52 54,56 44,74 54,92          # a loop on the right
      36,2 22,28 16,60 30,92 56,94 70,78 66,62 50,58 42,72 44,92          # a loop in the middle

    7 0.58  # top and stem
      14,8 44,7 78,5* 66,32 56,64 50,100
      12,12 46,6 84,5* 64,30 46,64 32,100                                 # slanting
      24,10 46,8 70,6* 66,34 64,68 64,100                                 # upright
      8,14 50,6 92,10* 80,36 68,68 58,100                                 # wide
      10,8 44,8 80,6* 60,28 50,62 50,100                                  # a curved stem
      26,18 48,12 72,4* 64,34 56,66 50,100                                # a rising top

    7 0.14  # a serif at the start of the top
      14,26 16,9* 46,8 80,6* 66,34 56,66 50,100
      26,22 28,8* 48,8 72,6* 68,36 66,68 66,100
      8,22 12,10* 44,12 82,6* 68,34 52,66 40,100

    7 0.12  # a rounded shoulder, often with a hook at the start
      16,24 24,8 48,8 72,10 72,34 60,66 48,100
      20,16 34,4 58,4 74,18 72,42 64,70 54,100
      10,12 34,6 62,4 80,14 76,38 60,68 42,98

    7 0.16  # a bar across the stem
      16,8 46,6 80,4* 64,34 54,66 48,100 / 32,54 54,52 80,50
      26,10 46,8 72,8* 64,36 60,68 56,100 / 40,50 58,50 82,46
      14,16 46,10 82,8* 62,36 50,66 42,100 / 24,60 50,54 82,44

    8 0.70  # one crossing stroke: an S, then back up
      72,14 48,3 26,18 42,42 66,62 72,84 48,98 26,86 36,62 60,40 72,18
      64,12 48,2 34,18 44,42 58,62 62,84 48,98 34,86 40,62 54,40 64,16    # narrow
      82,10 52,3 26,18 36,40 58,60 60,84 36,98 16,84 32,62 60,38 88,8     # open, leaning
      72,20 50,3 22,16 34,40 66,60 76,82 50,98 22,84 30,62 62,44 76,24    # wide
      70,10 46,6 30,22 42,38 58,56 60,82 42,96 30,82 40,58 62,34 74,14    # a small head
      78,16 52,2 20,18 34,46 58,64 62,86 46,98 34,84 44,62 66,42 80,18    # a large head
      70,8 44,6 26,22 42,40 64,58 66,84 44,98 22,86 36,62 60,38 76,22     # not quite closed
      86,6 58,4 28,18 38,38 62,54 62,82 40,98 24,86 36,62 56,44 72,30     # an arm on top
      74,22 60,4 34,4 28,28 52,50 58,78 46,98 36,84 44,62 62,44 82,26     # a small foot

    8 0.15  # one stroke from the waist
      52,48 30,32 32,10 54,2 72,14 66,36 40,56 28,80 46,98 70,88 70,64 48,44
      48,46 34,28 38,8 54,2 66,16 60,36 44,54 34,80 48,98 64,88 64,66 50,46

    8 0.15  # two circles
      52,3 30,12 32,36 52,46 70,34 70,12 48,3 / 50,46 26,60 28,90 52,98 76,88 74,58 48,46
      52,2 36,14 38,38 52,48 64,36 64,14 48,2 / 50,48 34,62 34,88 50,98 68,88 68,60 48,48

    9 0.72  # a bowl, then a straight stem
      74,14 52,3 30,16 26,38 44,50 64,40 76,12* 72,40 68,70 64,100
      66,12 50,3 36,16 34,36 46,48 60,38 68,12* 66,40 64,70 62,100        # narrow
      80,16 54,4 26,18 12,42 34,52 62,38 80,14* 70,42 60,70 50,100        # leaning
      70,18 46,4 24,14 20,36 44,46 66,38 72,16* 74,42 76,70 78,100        # upright
      78,22 54,2 22,14 10,40 36,58 66,44 80,18* 78,44 70,72 62,100        # a large bowl
      64,10 44,8 24,24 26,46 48,48 70,28 78,6* 72,38 66,70 60,100         # open at the top
      68,14 52,4 40,14 38,28 48,36 60,30 68,14* 64,42 58,70 52,100        # a small bowl
      66,16 48,3 26,8 22,30 42,44 62,34 68,14* 66,42 64,70 64,100         # a round bowl

    9 0.28  # a bowl running into a curved tail
      72,20 54,3 30,12 26,36 46,48 68,34 74,16* 74,46 68,78 48,97 24,90
      70,14 52,3 36,16 34,36 48,46 64,34 72,12* 68,44 60,76 44,98 30,94
      76,18 48,4 22,18 20,40 44,52 68,40 76,18* 78,48 74,82 52,98 26,86
"""

SAMPLES = 128  # points along all strokes of a digit
BLOCK = 64  # images drawn together: 0.2 MB per array at 28 pixels, which fits into the cache
BOX = 19.6  # longer side of a digit; this and the next two in pixels of a 28-pixel image
NIB = 1.25  # median radius of the pen
EDGE = 1.1  # width of the grey rim of a stroke


class Way(NamedTuple):
    """One way of writing a digit."""

    digit: int
    share: float  # fraction of the digit's images
    masters: NDArray  # (masters, controls, 2)
    basis: NDArray  # (SAMPLES, controls): points along the strokes = basis @ controls
    ends: NDArray  # (ends, 2): indices of the control at a stroke's end and its neighbour


def spline(t: NDArray, at: NDArray) -> NDArray:
    """Weights (len(at), len(t)) of controls p_i: the natural cubic spline through p_i at t_i.

    The tangents m make the second derivative continuous, and zero at both ends:

        m_{i-1} / h_{i-1} + 2 m_i (1 / h_{i-1} + 1 / h_i) + m_{i+1} / h_i
            = 3 (p_i - p_{i-1}) / h_{i-1}² + 3 (p_{i+1} - p_i) / h_i²,    h_i = t_{i+1} - t_i

    Between p_i and p_{i+1}, with u = (t - t_i) / h_i, the curve is
    (2u³-3u²+1) p_i + (u³-2u²+u) h_i m_i + (3u²-2u³) p_{i+1} + (u³-u²) h_i m_{i+1}.
    """
    k = len(t)
    p, left, right = np.eye(k), np.zeros((k, k)), np.zeros((k, k))
    for i, h in enumerate(np.diff(t)):  # each interval adds terms to the equations of both its ends
        left[i : i + 2, i : i + 2] += np.array([[2, 1], [1, 2]]) / h
        right[i : i + 2] += 3 * (p[i + 1] - p[i]) / h**2
    m = np.linalg.solve(left, right)
    j = np.clip(np.searchsorted(t, at, side="right") - 1, 0, k - 2)
    h = np.diff(t)[j, None]
    u = (at - t[j])[:, None] / h
    return (
        (2 * u**3 - 3 * u**2 + 1) * p[j]
        + (u**3 - 2 * u**2 + u) * h * m[j]
        + (3 * u**2 - 2 * u**3) * p[j + 1]
        + (u**3 - u**2) * h * m[j + 1]
    )


def parse(paragraph: str) -> Way:
    """Parse a paragraph of SKELETONS. Points are distributed along the strokes by length."""
    header, *lines = [line.split("#")[0] for line in paragraph.strip().splitlines()]
    digit, share = header.split()
    pairs = [[p.strip("*").split(",") for p in line.replace("/", "").split()] for line in lines]
    masters = np.array(pairs, dtype=float)
    pieces: list[tuple[int, int]] = []  # first and last control between ends or corners
    ends: list[tuple[int, int]] = []
    first = 0
    for stroke in lines[0].split("/"):
        marks = stroke.split()
        last = first + len(marks) - 1
        cuts = [first, *(first + i for i, mark in enumerate(marks) if "*" in mark), last]
        pieces += pairwise(cuts)
        ends += [(first, first + 1), (last, last - 1)]
        first = last + 1
    chord = np.linalg.norm(np.diff(masters.mean(axis=0), axis=0), axis=1)
    length = np.cumsum([0.0] + [float(chord[a:b].sum()) for a, b in pieces])
    rows = np.rint(SAMPLES * length / length[-1]).astype(int)
    basis = np.zeros((SAMPLES, masters.shape[1]))
    for (a, b), low, high in zip(pieces, rows, rows[1:]):
        t = np.concatenate([[0], np.cumsum(chord[a:b])])
        basis[low:high, a : b + 1] = spline(t, np.linspace(0, t[-1], high - low))
    return Way(int(digit), float(share), masters, basis, np.array(ends))


WAYS = [parse(paragraph) for paragraph in SKELETONS.split("\n\n")]


def write(labels: NDArray, rng: np.random.Generator) -> NDArray:
    """Points (n, SAMPLES, 2) along the strokes of each label's digit, on a grid from 0 to 100."""
    points = np.empty((len(labels), SAMPLES, 2))
    for digit in range(10):
        ways = [way for way in WAYS if way.digit == digit]
        images = np.flatnonzero(labels == digit)
        choice = rng.choice(len(ways), size=len(images), p=[way.share for way in ways])
        for w, (_, _, masters, basis, ends) in enumerate(ways):
            chosen = images[choice == w]
            blend = rng.dirichlet(np.full(len(masters), 0.4), size=len(chosen))
            controls = np.tensordot(blend, masters, axes=1)
            controls += rng.normal(0, 1.3, size=controls.shape)
            end, neighbour = ends.T
            reach = rng.normal(0, 0.12, size=(len(chosen), len(ends), 1))
            controls[:, end] += reach * (controls[:, end] - controls[:, neighbour])
            points[chosen] = basis @ controls
    return points


def bend(points: NDArray, rng: np.random.Generator) -> NDArray:
    """Warp, stretch, taper, slant and rotate each digit: (n, m, 2), grid → about ±1/2."""
    n = len(points)
    p = points / 100 - 0.5
    for _ in range(3):  # plane waves of about the digit's size
        wave = rng.normal(0, 0.5, size=(n, 2, 1))
        phase = rng.uniform(0, 2 * np.pi, size=(n, 1, 1))
        push = rng.uniform(-0.07, 0.07, size=(n, 1, 2))
        p = p + push * np.sin(2 * np.pi * (p @ wave) + phase)
    stretch = np.exp(rng.uniform(-0.25, 0.35, size=(n, 1)))
    taper = rng.uniform(-0.4, 0.4, size=(n, 1))  # wider at the bottom, or at the top
    waist = rng.uniform(-0.35, 0.35, size=(n, 1))  # lower or higher, between fixed ends
    slant = rng.uniform(-0.25, 0.5, size=(n, 1))
    turn = rng.normal(0, 0.1, size=(n, 1))
    x, y = p[:, :, 0], p[:, :, 1]
    x = x * stretch * (1 + taper * y) - slant * y
    y = y + waist * (0.25 - y**2)
    return np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], 2)


def sway(n: int, rates: tuple[float, float], rng: np.random.Generator) -> NDArray:
    """Sines (n, SAMPLES) along the strokes: with random phase and rate (periods per digit)."""
    rate = rng.uniform(*rates, size=(n, 1))
    phase = rng.uniform(0, 2 * np.pi, size=(n, 1))
    return np.sin(2 * np.pi * rate * np.linspace(0, 1, SAMPLES) + phase)


def fit(points: NDArray, radius: NDArray, middle: NDArray) -> NDArray:
    """Scale digits so that the longer side, ink included, is BOX, and centre them at ``middle``."""
    low, high = points.min(axis=1, keepdims=True), points.max(axis=1, keepdims=True)
    extent = (high - low).max(axis=2, keepdims=True)
    return (points - (low + high) / 2) * ((BOX - 2 * radius) / extent) + middle


def ink(points: NDArray, radius: NDArray, size: int) -> NDArray:
    """Grey images (n, size, size) of a round nib of radius (n, m) at points (n, m, 2).

    r = min_k |pixel - p_k| / radius_k,    grey = clip(1/2 + (1 - r) mean(radius) / EDGE, 0, 1)
    """
    n, m, _ = points.shape
    pixel = np.arange(size, dtype=np.float32)[:, None, None]
    centre = (points / radius[:, :, None]).transpose(2, 1, 0).astype(np.float32)  # (2, m, n)
    scale = (1 / radius).T.astype(np.float32)  # (m, n)
    x2, y2 = (np.square(pixel * scale - c) for c in centre)  # (size, m, n): images innermost
    r2 = np.full((size, size, n), np.inf, dtype=np.float32)
    from_k = np.empty_like(r2)
    for k in range(m):
        np.add(y2[:, None, k], x2[None, :, k], out=from_k)
        np.minimum(r2, from_k, out=r2)
    grey = 0.5 + (1 - np.sqrt(r2)) * (radius.mean(axis=1) / EDGE).astype(np.float32)
    return np.clip(grey, 0, 1).transpose(2, 0, 1)


def centred(images: NDArray) -> NDArray:
    """Shift images (n, size, size) by whole pixels to put their centre of mass in the middle."""
    size = images.shape[1]
    pixel = np.arange(size)
    mass = images.sum(axis=(1, 2))
    y, x = images.sum(axis=2) @ pixel / mass, images.sum(axis=1) @ pixel / mass
    margin = 3 * size // 28  # the empty margin, so that no ink leaves the image
    shift = np.rint(size / 2 - np.stack([y, x], axis=1)).astype(int).clip(-margin, margin)
    return np.stack([np.roll(image, s, axis=(0, 1)) for image, s in zip(images, shift)])


def strokes(n: int, rng: np.random.Generator, *, size: int = 28) -> tuple[NDArray, NDArray]:
    """Draw n handwritten-looking digits.

    n       number of images
    rng     source of all randomness: the same state gives the same bits
    size    height and width of an image in pixels; shapes and pens scale with it

    Returns the images, (n, 1, size, size) float32 from 0 (paper) to 1 (ink), and the labels, (n,)
    int64 from 0 to 9 in random order. The counts of any two digits differ by at most one.

    Raises ValueError unless n is an int ≥ 0, size an int ≥ 8 and rng a numpy Generator.
    """
    n = integer("strokes", "n", n, 0, 1000)
    size = integer("strokes", "size", size, 8, 28)
    if not isinstance(rng, np.random.Generator):
        raise ValueError(
            f"strokes: rng is {rng!r}, expected a numpy.random.Generator; "
            "pass e.g. rng=np.random.default_rng(0)"
        )
    labels = rng.permutation(np.arange(n, dtype=np.int64) % 10)
    images = np.empty((n, 1, size, size), dtype=np.float32)
    unit = size / 28  # scale relative to a 28-pixel image
    for start in range(0, n, BLOCK):
        block = labels[start : start + BLOCK]
        count = len(block)
        radius = np.exp(rng.normal(np.log(NIB), 0.28, size=(count, 1))).clip(0.7, 2.3)
        pressure = 0.10 * sway(count, (0.5, 2), rng) + 0.07 * sway(count, (1, 5), rng)
        tremor = 0.15 * np.stack([sway(count, (1, 5), rng), sway(count, (1, 5), rng)], axis=2)
        middle = 13.5 + rng.uniform(-0.5, 0.5, size=(count, 1, 2))
        points = fit(bend(write(block, rng), rng), radius[:, :, None], middle) + tremor
        grey = ink(unit * (points + 0.5) - 0.5, unit * radius * np.exp(pressure), size)
        images[start : start + BLOCK, 0] = centred(grey)
    return images, labels
