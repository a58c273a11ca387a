"""20: max-pooling and upsampling."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    x = np.array([[[[1.0, 2.0, 5.0, 5.0], [4.0, 3.0, 5.0, 0.0]]]])
    dy = np.array([[[[10.0, -3.0]]]])
    known = {
        "dx": {
            "Every entry that is as large as the largest gets it; only the first of them should": [
                [[[0, 0, -3, -3], [10, 0, -3, 0]]]
            ],
            "Of equally large entries the first in reading order gets it, here [0, 0, 0, 2]": [
                [[[0, 0, 0, 0], [10, 0, -3, 0]]]
            ],
            "Equally large entries share it here; the first in reading order gets it all": [
                [[[0, 0, -1, -1], [10, 0, -1, 0]]]
            ],
            "All four of a window get it; only the one that was the largest should": [
                [[[10, 10, -3, -3], [10, 10, -3, -3]]]
            ],
        }
    }
    e.values("max_pool_backward", {"dy": dy, "x": x}, ("dx",), known=known)
    e.values("upsample_backward", {"dy": x, "x": dy}, ("dx",))
    for N, C, H, W in ((2, 3, 4, 6), (3, 1, 6, 2)):
        rng = np.random.default_rng(N)
        x = rng.permutation(N * C * H * W).reshape(N, C, H, W) / 7.0 + 0.01  # no two are near
        e.gradient("max_pool_backward", e.solution.max_pool, {"x": x}, ("x",))
    for N, C, H, W in ((2, 3, 5, 7), (3, 1, 2, 5)):
        x = np.random.default_rng(N).normal(size=(N, C, H, W))
        e.gradient("upsample_backward", e.solution.upsample, {"x": x}, ("x",))


EXERCISE = Exercise(
    title="Max-pooling and upsampling",
    fill=("max_pool_backward", "upsample_backward"),
    hints=(
        "Follow one number. In max-pooling, which of the four entries of a window did y come from, "
        "and what would have happened to y if one of the others had moved a little? In upsampling, "
        "how many entries of y did one x become?",
        "max-pool: dy goes to the window's argmax, 0 to the other three; np.argmax gives the first of "
        "equal ones. upsample: the four dy of a window add. windows() puts the four side by side.",
        "won = np.arange(4) == windows(x).argmax(axis=-1)[..., None]; "
        "dx = from_windows(won * dy[..., None]). And dx = windows(dy).sum(axis=-1).",
    ),
    check=check,
)
