"""Synthetic faces: pictures differ more by circumstances than by person."""

import hashlib

import numpy as np
import pytest

import tinyae as ta
from tinyae.data.faces import NOISE, PERSON, PICTURE, draw, ellipse, faces, paint


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def people() -> np.ndarray:
    """(people, pictures, pixels)"""
    return faces(120, 8, rng(0))[0].reshape(120, 8, -1).astype(np.float64)


@pytest.mark.parametrize(("identities", "per_identity"), [(0, 3), (1, 1), (5, 7), (90, 2)])
@pytest.mark.parametrize("size", [16, 32, 41])
def test_shapes_types_and_range(identities: int, per_identity: int, size: int) -> None:
    images, labels = faces(identities, per_identity, rng(), size=size)
    n = identities * per_identity
    assert images.shape == (n, 1, size, size)
    assert images.dtype == np.float32
    assert images.flags.c_contiguous
    assert np.all((images >= 0) & (images <= 1))
    assert labels.dtype == np.int64
    assert np.array_equal(labels, np.arange(n) // per_identity)


def test_same_seed_same_bits() -> None:
    (a, la), (b, lb), (c, _) = faces(20, 5, rng(3)), faces(20, 5, rng(3)), faces(20, 5, rng(4))
    assert a.tobytes() == b.tobytes()
    assert la.tobytes() == lb.tobytes()
    assert not np.array_equal(a, c)


def test_two_calls_have_nobody_in_common() -> None:
    generator = rng(3)
    first, second = faces(20, 1, generator)[0], faces(20, 1, generator)[0]
    digests = {hashlib.sha256(image.tobytes()).digest() for image in (*first, *second)}
    assert len(digests) == 40


def test_no_picture_is_twice(people: np.ndarray) -> None:
    flat = people.reshape(-1, people.shape[-1])
    assert len(np.unique(flat, axis=0)) == len(flat)


@pytest.mark.parametrize("table", [PERSON, PICTURE], ids=["person", "picture"])
def test_factors_have_the_moments_of_their_table(table: dict) -> None:
    drawn = draw(table, 20_000, rng()).astype(np.float64)
    mean, std = np.array(list(table.values())).T
    assert drawn.shape == (20_000, len(table))
    assert np.abs((drawn.mean(axis=0) - mean) / std).max() < 5 / np.sqrt(20_000)
    np.testing.assert_allclose(drawn.std(axis=0) / std, 0.959, atol=0.03)  # clipped at 2 σ
    assert np.abs((drawn - mean) / std).max() < 2.0001
    correlation = np.corrcoef(drawn, rowvar=False) - np.eye(len(table))
    assert np.abs(correlation).max() < 0.04  # independent


def test_the_ellipse_distance() -> None:
    angle = np.linspace(0, 2 * np.pi, 50)
    circle = 3 * np.cos(angle), 3 * np.sin(angle)
    np.testing.assert_allclose(ellipse(*circle, 2.0, 2.0), 1, rtol=1e-5)  # exact for a circle
    a, b = 2.0, 0.5
    edge = a * np.cos(angle), b * np.sin(angle)
    np.testing.assert_allclose(ellipse(*edge, a, b), 0, atol=1e-6)
    normal = np.stack([np.cos(angle) / a, np.sin(angle) / b])
    outside = np.stack(edge) + 1e-3 * normal / np.linalg.norm(normal, axis=0)
    np.testing.assert_allclose(ellipse(*outside, a, b), 1e-3, rtol=0.02)  # first order


def typical(**changes: float) -> np.ndarray:
    """The mean person's mean picture, (32, 32), with ``changes`` ("head_width" …)."""
    person, picture = (
        {name: np.full((1, 1, 1), mean, np.float32) for name, (mean, _) in table.items()}
        for table in (PERSON, PICTURE)
    )
    picture["light from above"][:] = 0
    for key, value in changes.items():
        name = key.replace("_", " ")
        (person if name in person else picture)[name][:] = value
    return paint(person, picture, 32)[0]


def test_the_typical_face_is_symmetric() -> None:
    face = typical()
    np.testing.assert_allclose(face, face[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("name", [*PERSON, *PICTURE])
def test_every_factor_shows(name: str) -> None:
    """One standard deviation more or less changes the picture."""
    mean, std = (PERSON | PICTURE)[name]
    key = name.replace(" ", "_")
    if name == "beard":
        mean = 0.2  # most have none
    if name == "mouth opening":
        mean = std
    change = np.abs(typical(**{key: mean + std}) - typical(**{key: mean - std}))
    assert change.max() > 0.02
    changed = (change > 0.01).mean()
    assert changed > 0.004


def test_a_face_has_its_parts_where_they_belong() -> None:
    face = typical(background=1.0, light_from_the_right=0.0)
    inside = face[:, 16]
    assert inside[16] > 0.6  # the nose's ridge, skin
    assert face[5:8, 12:20].mean() < 0.4  # hair on top
    assert face[:3, :3].min() > 0.9  # background in the corner
    assert face[15:18, 10:13].min() < 0.35  # a dark iris on the left
    assert face[22:25, 14:18].min() < 0.5  # the mouth's line


def test_pictures_have_contrast_and_are_seldom_clipped(people: np.ndarray) -> None:
    assert 0.4 < people.mean() < 0.6
    assert people.std(axis=2).min() > 0.05
    assert np.mean((people == 0) | (people == 1)) < 0.03


def test_every_pixel_has_the_cameras_noise(people: np.ndarray) -> None:
    corner = people.reshape(-1, 32, 32)[:, :2, :2]  # background, nearly even
    corner = corner[(corner.min(axis=(1, 2)) > 0.1) & (corner.max(axis=(1, 2)) < 0.9)]
    twist = corner[:, 0, 0] - corner[:, 0, 1] - corner[:, 1, 0] + corner[:, 1, 1]
    assert twist.std() / 2 == pytest.approx(NOISE, rel=0.1)


def test_a_person_differs_from_herself_nearly_as_much_as_from_others(people: np.ndarray) -> None:
    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(np.square(a - b).sum(axis=-1))

    same = distance(people[:, :4], people[:, 4:]).ravel()
    other = distance(people[:, :4], np.roll(people[:, 4:], 1, axis=0)).ravel()
    assert 1.05 < other.mean() / same.mean() < 1.35
    wins = np.mean(same[:, None] < other)
    assert 0.55 < wins < 0.75  # 0.5 is chance


def test_the_person_can_be_told_by_a_linear_map(people: np.ndarray) -> None:
    """Ridge regression identifies 40 people: fitted on 6 pictures each, tested on 2 others."""
    x = people[:40] - people[:40, :6].mean(axis=(0, 1))
    train, test = x[:, :6].reshape(240, -1), x[:, 6:].reshape(80, -1)
    names = np.repeat(np.eye(40), 6, axis=0)
    gram = train @ train.T
    weights = np.linalg.solve(gram + 0.01 * np.trace(gram) / 240 * np.eye(240), names)
    found = (test @ train.T @ weights).argmax(axis=1)
    assert np.mean(found == np.repeat(np.arange(40), 2)) > 0.5  # chance is 0.025


def test_between_people_lies_variance_of_many_dimensions(people: np.ndarray) -> None:
    means = people.mean(axis=1)
    variance = np.linalg.eigvalsh(np.cov(means, rowvar=True))[::-1]
    assert 8 < np.searchsorted(np.cumsum(variance) / variance.sum(), 0.9) + 1 < 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"identities": -1}, r"identities is -1, expected an int ≥ 0; pass e\.g\. identiti"),
        ({"identities": 2.0}, r"faces: identities is 2\.0, expected an int ≥ 0"),
        ({"per_identity": 0}, r"faces: per_identity is 0, expected an int ≥ 1"),
        ({"size": 15}, r"faces: size is 15, expected an int ≥ 16; pass e\.g\. size=32"),
        ({"rng": 0}, r"faces: rng is 0, expected a numpy\.random\.Generator; pass e\.g\. rng=np"),
    ],
)
def test_bad_arguments_are_rejected(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        faces(**{"identities": 2, "per_identity": 2, "rng": rng(), **arguments})


def test_load_gives_other_people_to_test_with():
    faces = ta.data.load("faces")
    assert faces.x_train.shape == (6000, 1, 32, 32)
    assert faces.x_test.shape == (1000, 1, 32, 32)
    assert not set(faces.y_train) & set(faces.y_test)
    assert 0 <= faces.x_train.min() <= faces.x_train.max() <= 1
