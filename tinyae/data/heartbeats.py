"""Single heartbeats of an electrocardiogram (ECG), normal and abnormal, as sums of Gaussians.

A signal lasts from 0.28 s before to 0.52 s after the R peak of one beat. Each wave is a Gaussian:

    z(t) = Σ_w a_w exp(-(t - c_w)² / (2 b_w²)) + baseline + noise        w = P, Q, R, S, R', ST, T

Normal beats vary in heart rate, in the height, width and time of every wave, in electrode gain, in
baseline wander and in noise. For an abnormal beat, the table of waves is interpolated from NORMAL
towards that of one disorder, by a random severity; the mildest overlap with normal beats. The
values are typical of textbooks, not measured: no patient's data are included.

Source    McSharry, Clifford, Tarassenko & Smith (2003), A dynamical model for generating
          synthetic electrocardiogram signals, IEEE Transactions on Biomedical Engineering 50(3)
"""

import numpy as np
from numpy.typing import NDArray

from tinyae.arguments import integer

WINDOW = (-0.28, 0.52)  # s, from the R peak

# One row for each wave: centre c (s), width b (s), height a (mV)
NORMAL = np.array(
    [
        (-0.170, 0.024, 0.15),  # P: the atria contract
        (-0.028, 0.009, -0.12),  # Q
        (0.000, 0.011, 1.20),  # R: the ventricles contract
        (0.030, 0.010, -0.25),  # S
        (0.050, 0.012, 0.00),  # R': a second peak, absent in normal beats
        (0.120, 0.045, 0.02),  # ST: the level between S and T
        (0.250, 0.042, 0.32),  # T: the ventricles recover
    ]
)
P, Q, R, S, R2, ST, T = range(len(NORMAL))

# Kind of abnormal beat -> the waves that differ from NORMAL at full severity
ABNORMAL: dict[str, dict[int, tuple[float, float, float]]] = {
    "premature ventricular contraction": {  # wide QRS, no P wave, T against R
        P: (-0.170, 0.024, 0.00),
        Q: (-0.070, 0.020, -0.05),
        R: (0.000, 0.032, 1.40),
        S: (0.085, 0.030, -0.55),
        T: (0.280, 0.055, -0.35),
    },
    "ST elevation": {
        ST: (0.120, 0.055, 0.30),
        T: (0.240, 0.050, 0.42),
    },
    "ST depression": {
        ST: (0.120, 0.050, -0.22),
        T: (0.255, 0.040, 0.22),
    },
    "T inversion": {  # also deep, narrow and late
        ST: (0.120, 0.045, -0.04),
        T: (0.275, 0.036, -0.35),
    },
    "bundle branch block": {  # wide, notched QRS, T against R
        Q: (-0.045, 0.012, -0.02),
        R: (-0.012, 0.016, 0.90),
        S: (0.020, 0.010, -0.10),
        R2: (0.048, 0.018, 0.70),
        T: (0.260, 0.045, -0.15),
    },
    "atrial fibrillation": {  # no P wave, see fibrillatory_waves
        P: (-0.170, 0.024, 0.00),
    },
}
FIBRILLATION = list(ABNORMAL).index("atrial fibrillation")


def waves(kind: NDArray, severity: NDArray, rng: np.random.Generator) -> tuple[NDArray, ...]:
    """Centres (s), widths (s) and heights (mV) of the waves of each beat, (n, 7) each.

    kind      (n,) index into ABNORMAL, ignored where the severity is 0
    severity  (n,) from 0 normal to 1 fully developed
    """
    n = len(kind)
    full = np.repeat(NORMAL[None], len(ABNORMAL), axis=0)
    for k, changes in enumerate(ABNORMAL.values()):
        for wave, values in changes.items():
            full[k, wave] = values
    table = NORMAL + severity[:, None, None] * (full[kind] - NORMAL)
    centre, width, height = np.moveaxis(table, 2, 0)

    period = np.clip(rng.normal(0.85, 0.12, size=(n, 1)), 0.55, 1.2)  # s from beat to beat
    tempo = np.array([0.6, 0, 0, 0, 0, 0.5, 0.5])  # Bazett: QT ~ √period; PR shortens likewise
    centre = centre * (period / 0.85) ** tempo + rng.normal(0, 0.002, size=(n, 1))
    centre[:, [P, T]] += rng.normal(0, 0.010, size=(n, 2))
    width = width * np.exp(rng.normal(0, 0.08, size=width.shape))
    gain = np.exp(rng.normal(0, 0.12, size=(n, 1)))
    height = gain * height * np.exp(rng.normal(0, 0.10, size=height.shape))
    height[:, ST] += rng.normal(0, 0.01, size=n)
    return centre, width, height


def baseline(n: int, t: NDArray, rng: np.random.Generator) -> NDArray:
    """Offset and slow wander (n, len(t)) in mV, from breathing and a moving electrode."""
    amplitude = rng.normal(0, 0.04, size=(n, 1))
    rate = rng.uniform(0.15, 0.5, size=(n, 1))  # Hz
    phase = rng.uniform(0, 2 * np.pi, size=(n, 1))
    return rng.normal(0, 0.02, size=(n, 1)) + amplitude * np.sin(2 * np.pi * rate * t + phase)


def fibrillatory_waves(n: int, t: NDArray, rng: np.random.Generator) -> NDArray:
    """The waves of fibrillating atria (n, len(t)), in mV: small, of 4 to 9 Hz, throughout."""
    amplitude = rng.uniform(0.05, 0.12, size=(n, 1))
    rate = rng.uniform(4, 9, size=(n, 1))
    phase = rng.uniform(0, 2 * np.pi, size=(n, 1))
    return amplitude * np.sin(2 * np.pi * rate * t + phase)


def heartbeats(
    n: int, rng: np.random.Generator, *, length: int = 140, abnormal_fraction: float = 0.4
) -> tuple[NDArray, NDArray]:
    """Make n heartbeats, each a single beat around its R peak.

    n                  number of beats
    rng                source of all randomness: the same state gives the same bits
    length             samples per beat, evenly spaced over the 0.8 s of WINDOW; 140 is 174 per s
    abnormal_fraction  fraction of abnormal beats, from 0 to 1; each kind is equally likely

    Returns the signals, (n, length) float32 in mV, and the labels, (n,) int64, 1 normal and
    0 abnormal, as in the ECG5000 set. round(abnormal_fraction n) beats are abnormal, in random
    order.

    Raises ValueError unless n is an int ≥ 0, length an int ≥ 16, abnormal_fraction a
    number from 0 to 1 and rng a numpy Generator.
    """
    n = integer("heartbeats", "n", n, 0, 1000)
    length = integer("heartbeats", "length", length, 16, 140)
    if not isinstance(rng, np.random.Generator):
        raise ValueError(
            f"heartbeats: rng is {rng!r}, expected a numpy.random.Generator; "
            "pass e.g. rng=np.random.default_rng(0)"
        )
    if not isinstance(abnormal_fraction, (int, float, np.number)) or not (
        0 <= abnormal_fraction <= 1
    ):
        raise ValueError(
            f"heartbeats: abnormal_fraction is {abnormal_fraction!r}, "
            "expected a number from 0 to 1; pass e.g. abnormal_fraction=0.4"
        )
    labels = np.ones(n, dtype=np.int64)
    labels[: round(abnormal_fraction * n)] = 0
    labels = rng.permutation(labels)
    kind = rng.integers(len(ABNORMAL), size=n)
    severity = np.where(labels == 0, rng.uniform(0.25, 1, size=n), 0.0)
    t = np.linspace(*WINDOW, length)
    centre, width, height = waves(kind, severity, rng)
    signals = baseline(n, t, rng) + rng.normal(0, 0.025, size=(n, length))
    for wave in range(len(NORMAL)):
        c, b, a = (parameter[:, wave, None] for parameter in (centre, width, height))
        signals += a * np.exp(-((t - c) ** 2) / (2 * b**2))
    fibrillation = np.where(kind == FIBRILLATION, severity, 0.0)[:, None]
    signals += fibrillation * fibrillatory_waves(n, t, rng)
    return signals.astype(np.float32), labels
