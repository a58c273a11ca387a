"""The two generators that need no files: handwritten-looking digits and heartbeats."""

import numpy as np
import pytest

from tinyae.data.heartbeats import heartbeats
from tinyae.data.strokes import WAYS, strokes


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive's score is above a negative's."""
    rank = np.empty(len(score))
    rank[np.argsort(score)] = np.arange(1, len(score) + 1)
    p, n = positive.sum(), (~positive).sum()
    return float((rank[positive].sum() - p * (p + 1) / 2) / (p * n))


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return strokes(3000, rng(0))


@pytest.fixture(scope="module")
def beats() -> tuple[np.ndarray, np.ndarray]:
    return heartbeats(4000, rng(0))


# strokes


@pytest.mark.parametrize("n", [0, 1, 7, 130])
@pytest.mark.parametrize("size", [8, 28, 41])
def test_strokes_shapes_types_and_range(n: int, size: int) -> None:
    images, labels = strokes(n, rng(), size=size)
    assert images.shape == (n, 1, size, size)
    assert images.dtype == np.float32
    assert images.flags.c_contiguous
    assert labels.shape == (n,)
    assert labels.dtype == np.int64
    assert np.all((images >= 0) & (images <= 1))


def test_strokes_same_seed_same_bits() -> None:
    (a, la), (b, lb), (c, _) = strokes(300, rng(3)), strokes(300, rng(3)), strokes(300, rng(4))
    assert a.tobytes() == b.tobytes()
    assert la.tobytes() == lb.tobytes()
    assert not np.array_equal(a, c)


def test_strokes_advance_the_generator() -> None:
    generator = rng(3)
    assert not np.array_equal(strokes(20, generator)[0], strokes(20, generator)[0])


@pytest.mark.parametrize("n", [9, 10, 25, 1003])
def test_strokes_labels_are_balanced_and_shuffled(n: int) -> None:
    labels = strokes(n, rng(), size=8)[1]
    counts = np.bincount(labels, minlength=10)
    assert len(counts) == 10
    assert np.ptp(counts) <= 1
    assert not np.array_equal(labels, np.arange(n) % 10)


def test_strokes_ink_is_like_mnist(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    assert 0.12 < images.mean() < 0.145  # MNIST: 0.131
    assert 0.79 < np.mean(images == 0) < 0.83  # MNIST: 0.81
    assert 0.06 < np.mean(images > 0.98) < 0.09  # MNIST: 0.074
    assert images.max(axis=(1, 2, 3)).min() > 0.95  # every image has full ink
    per_digit = np.array([images[labels == d].mean() for d in range(10)])
    assert per_digit.argmin() == 1
    assert per_digit.argmax() in (0, 8)


@pytest.mark.parametrize("size", [16, 28, 48])
def test_strokes_are_sized_and_centred_as_mnist(size: int) -> None:
    images = strokes(500, rng(1), size=size)[0][:, 0]
    pixel = np.arange(size) + 0.5
    mass = images.sum(axis=(1, 2))
    for axis in (1, 2):
        centre = images.sum(axis=axis) @ pixel / mass
        assert np.abs(centre - (size + 1) / 2).mean() < 0.5
    inked = images > 0.2
    sides = [max(np.ptp(np.nonzero(i)[0]), np.ptp(np.nonzero(i)[1])) + 1 for i in inked]
    assert abs(np.mean(sides) * 28 / size - 20) < 1
    if size >= 28:
        assert images[:, 0].max() == 0  # nothing wrapped around from the bottom to the top


def test_strokes_vary_within_a_digit(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)
    for digit in range(10):
        x = images[labels == digit].reshape(-1, 784)[:100]
        distance = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))[np.triu_indices(len(x), 1)]
        assert distance.mean() > (4.5 if digit == 1 else 7)
        assert distance.min() > 1


def test_strokes_are_many_dimensional(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x = digits[0].reshape(len(digits[0]), -1)
    variance = np.linalg.eigvalsh(np.cov(x, rowvar=False))[::-1]
    needed = np.searchsorted(np.cumsum(variance) / variance.sum(), 0.9) + 1
    assert 50 < needed < 100  # MNIST: 87


def test_strokes_digits_are_told_apart(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    means = np.stack([images[labels == d].mean(axis=0).ravel() for d in range(10)])
    others, truth = strokes(2000, rng(1))
    x = others.reshape(len(others), -1)
    found = ((x[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert 0.75 < np.mean(found == truth) < 0.95  # MNIST: 0.82
    for digit in range(10):
        assert np.mean(found[truth == digit] == digit) > 0.6


def test_strokes_skeletons_are_whole() -> None:
    for digit in range(10):
        ways = [way for way in WAYS if way.digit == digit]
        assert sum(way.share for way in ways) == pytest.approx(1)
        for way in ways:
            assert way.masters.min() >= 0
            assert way.masters.max() <= 100
            # an affine combination of controls
            np.testing.assert_allclose(way.basis.sum(axis=1), 1)
            reached = way.basis @ way.masters[0]
            for end in way.ends[:, 0]:  # the curves begin and end at the strokes' ends
                assert np.abs(reached - way.masters[0, end]).max(axis=1).min() < 1e-9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -1}, r"strokes: n is -1, expected an int ≥ 0; pass e\.g\. n=1000"),
        ({"n": 2.5}, r"strokes: n is 2\.5, expected an int ≥ 0"),
        ({"size": 7}, r"strokes: size is 7, expected an int ≥ 8; pass e\.g\. size=28"),
        ({"size": 28.0}, r"strokes: size is 28\.0, expected an int ≥ 8"),
        ({"rng": 0}, r"strokes: rng is 0, expected a numpy\.random\.Generator; pass e\.g\. rng=np"),
    ],
)
def test_strokes_reject_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        strokes(**{"n": 5, "rng": rng(), **arguments})


# heartbeats


@pytest.mark.parametrize("n", [0, 1, 50])
@pytest.mark.parametrize("length", [16, 140, 501])
def test_heartbeats_shapes_and_types(n: int, length: int) -> None:
    signals, labels = heartbeats(n, rng(), length=length)
    assert signals.shape == (n, length)
    assert signals.dtype == np.float32
    assert np.isfinite(signals).all()
    assert labels.shape == (n,)
    assert labels.dtype == np.int64


def test_heartbeats_same_seed_same_bits() -> None:
    (a, la), (b, lb), (c, _) = (heartbeats(200, rng(s)) for s in (3, 3, 4))
    assert a.tobytes() == b.tobytes()
    assert la.tobytes() == lb.tobytes()
    assert not np.array_equal(a, c)
    assert len(np.unique(a, axis=0)) == len(a)


@pytest.mark.parametrize("fraction", [0, 0.1, 0.4, 1 / 3, 1])
def test_heartbeats_honour_the_abnormal_fraction(fraction: float) -> None:
    labels = heartbeats(301, rng(), abnormal_fraction=fraction)[1]
    assert set(labels) <= {0, 1}
    assert np.sum(labels == 0) == round(301 * fraction)


def test_heartbeats_are_shuffled() -> None:
    labels = heartbeats(1000, rng())[1]
    assert 150 < np.sum(labels[:500] == 0) < 250


def test_heartbeats_are_in_millivolts(beats: tuple[np.ndarray, np.ndarray]) -> None:
    signals, _ = beats
    assert -2 < signals.min() < -0.2
    assert 1.2 < signals.max() < 4
    assert abs(np.median(signals)) < 0.1


def test_heartbeats_label_1_is_normal(beats: tuple[np.ndarray, np.ndarray]) -> None:
    signals, labels = beats
    t = np.linspace(-0.28, 0.52, signals.shape[1])
    mean = signals[labels == 1].mean(axis=0)
    assert abs(t[mean.argmax()]) < 0.01  # R
    assert 0.8 < mean.max() < 1.5
    assert mean[np.abs(t + 0.17) < 0.02].mean() > 0.08  # P
    assert mean[np.abs(t - 0.03) < 0.01].mean() < -0.1  # S
    assert mean[np.abs(t - 0.25) < 0.02].mean() > 0.2  # T
    width = [np.sum(signals[labels == label] > 0.5, axis=1) for label in (0, 1)]
    assert np.percentile(width[0], 95) > 1.5 * np.percentile(width[1], 95)  # wide QRS


def test_heartbeats_normals_are_alike_and_abnormals_overlap(
    beats: tuple[np.ndarray, np.ndarray],
) -> None:
    signals, labels = beats
    normals = signals[labels == 1].astype(float)
    mean = normals.mean(axis=0)
    others, truth = heartbeats(4000, rng(1))
    residual = others - mean
    assert 0.85 < auc((residual**2).sum(axis=1), truth == 0) < 0.97

    axes = np.linalg.svd(normals - mean, full_matrices=False)[2][:8]
    residual = residual - residual @ axes.T @ axes
    assert 0.95 < auc((residual**2).sum(axis=1), truth == 0) < 0.995


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -1}, r"heartbeats: n is -1, expected an int ≥ 0; pass e\.g\. n=1000"),
        ({"n": "3"}, r"heartbeats: n is '3', expected an int ≥ 0"),
        ({"rng": None}, r"heartbeats: rng is None, expected a numpy\.random\.Generator"),
        ({"length": 15}, r"heartbeats: length is 15, expected an int ≥ 16"),
        (
            {"abnormal_fraction": 1.5},
            r"abnormal_fraction is 1\.5, expected a number from 0 to 1; pass e\.g\. abnormal_",
        ),
        ({"abnormal_fraction": float("nan")}, r"abnormal_fraction is nan"),
        ({"abnormal_fraction": None}, r"abnormal_fraction is None"),
    ],
)
def test_heartbeats_reject_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        heartbeats(**{"n": 5, "rng": rng(), **arguments})
