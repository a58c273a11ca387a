"""Augmentation: images a little changed, in training and nowhere else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta


class TestRandomAffine:
    images = np.random.default_rng(3).random((5, 2, 9, 12), np.float32)

    def drawn(self, seed=0, x=None, **widths):
        still = dict.fromkeys(("rotation", "stretch", "slant", "shift"), 0.0)
        x = self.images if x is None else x
        return ta.RandomAffine(**{**still, **widths})(x, np.random.default_rng(seed))

    def test_of_no_width_it_changes_nothing(self):
        np.testing.assert_allclose(self.drawn(), self.images, atol=1e-6)

    def test_what_it_moves_by_whole_pixels_is_moved(self):
        maps = np.tile(np.array([[1.0, 0, 2], [0, 1, -3]], np.float32), (5, 1, 1))
        moved = ta.kernels.warp(self.images, maps)
        np.testing.assert_allclose(moved[:, :, :-2, 3:], self.images[:, :, 2:, :-3], atol=1e-6)

    def test_cubic_convolution_is_exact_for_a_parabola(self):
        """Keys (1981): the error falls with the third power of the distance of the pixels."""
        i, j = np.mgrid[:9, :9] / 9
        x = (1 + i * i - 2 * i * j + 0.5 * j * j)[None, None]
        maps = np.array([[[1, 0, 0.37], [0, 1, 0.61]]])
        u, v = (np.mgrid[:9, :9] + np.array([0.37, 0.61])[:, None, None]) / 9
        truth = 1 + u * u - 2 * u * v + 0.5 * v * v
        inside = (slice(1, 6), slice(1, 6))
        found = ta.kernels.warp(x, maps)[0, 0]
        np.testing.assert_allclose(found[inside], truth[inside], atol=1e-12)

    @given(seed=st.integers(0, 2**32 - 1))
    @settings(deadline=None, max_examples=20)
    def test_it_is_a_map_about_the_middle_of_the_widths_that_were_asked_for(self, seed):
        rng = np.random.default_rng(seed)
        maps = ta.RandomAffine(0.05, 0.03, 0.04, 0.3).maps(4000, (9, 12), rng)
        A, middle = maps[:, :, :2], np.array([4.0, 5.5])
        t = A @ middle + maps[:, :, 2] - middle
        angle = np.arctan2(A[:, 1, 0], A[:, 0, 0])
        stretches = np.log(np.hypot(A[:, 0, 0], A[:, 1, 0])), np.log(np.linalg.det(A))
        for value, width in (
            (angle, 0.05),
            (stretches[0], 0.03),
            (stretches[1], 0.03 * np.sqrt(2)),
            (t[:, 0], 0.3),
            (t[:, 1], 0.3),
        ):
            assert abs(value.mean()) < 5 * width / np.sqrt(4000)
            assert value.std() == pytest.approx(width, rel=0.08)

    def test_it_stays_in_the_range_and_leaves_x_alone(self):
        before = self.images.copy()
        made = self.drawn(rotation=0.5, stretch=0.2, slant=0.3, shift=3.0)
        np.testing.assert_array_equal(self.images, before)
        assert made.dtype == np.float32
        for a, b in zip(made, self.images):
            assert b.min() <= a.min()
            assert a.max() <= b.max()
        assert not np.array_equal(made, self.drawn(1, rotation=0.5))

    def test_nan_stays_to_be_seen(self):
        x = self.images.copy()
        x[0, 0, 4, 4] = np.nan
        assert np.isnan(self.drawn(x=x, rotation=0.1)[0]).any()

    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (lambda: ta.RandomAffine(rotation=-0.1), "rotation is -0.1, expected ≥ 0"),
            (lambda: ta.RandomAffine(shift=np.inf), "shift is inf"),
            (lambda: ta.RandomAffine()(np.zeros((3, 4)), np.random.default_rng(0)), r"\(3, 4\)"),
            (lambda: ta.RandomAffine()((1, 2), np.random.default_rng(0)), "a tuple"),
        ],
    )
    def test_what_it_cannot_do_it_says(self, make, says):
        with pytest.raises((ValueError, TypeError), match=says):
            make()


class TestAugment:
    x = np.random.default_rng(4).random((24, 1, 4, 4), np.float32)

    def model(self):
        pair = ta.dense_pair((1, 4, 4), [3], rng=np.random.default_rng(0))
        return ta.Autoencoder(*pair, ta.MSE())

    def fitted(self, **more):
        model = self.model()
        history = ta.fit(model, self.x, batch_size=6, progress=False, validation=self.x, **more)
        return model, history

    def test_each_batch_of_training_is_augmented_and_no_other_data(self):
        seen = []

        def halve(batch, rng):
            seen.append(len(batch))
            return batch / 2

        mine, history = self.fitted(epochs=2, augment=halve)
        assert seen[-8:] == [6] * 8
        twin = self.model()
        wanted = ta.fit(twin, self.x / 2, epochs=2, batch_size=6, progress=False, validation=self.x)
        np.testing.assert_array_equal(history["total"], wanted["total"])
        np.testing.assert_array_equal(history["validation.total"], wanted["validation.total"])
        for name, p in mine.params.items():
            np.testing.assert_array_equal(p.value, twin.params[name].value)

    def test_resumed_it_draws_on(self, tmp_path):
        whole, _ = self.fitted(epochs=4, augment=ta.RandomAffine())
        half = self.model()
        file = tmp_path / "two.npz"
        settings = {"batch_size": 6, "progress": False, "augment": ta.RandomAffine()}
        ta.fit(half, self.x, epochs=2, checkpoint=file, **settings)
        half = self.model()
        ta.fit(half, self.x, epochs=4, resume=file, **settings)
        for name, p in whole.params.items():
            np.testing.assert_array_equal(p.value, half.params[name].value)

    @pytest.mark.parametrize(
        ("augment", "says"),
        [
            (3, "augment is 3, expected a function"),
            (lambda batch, rng: batch[:, :, :2], "x has shape"),
            (lambda batch, rng: batch * np.nan, "x has nan"),
        ],
    )
    def test_what_does_not_fit_shows_before_anything_changes(self, augment, says):
        model = self.model()
        before = {name: p.value.copy() for name, p in model.params.items()}
        with pytest.raises((ValueError, TypeError), match=says):
            ta.fit(model, self.x, progress=False, augment=augment)
        for name, p in model.params.items():
            np.testing.assert_array_equal(p.value, before[name])
