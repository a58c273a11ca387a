"""26: the gradient of an embedding's table."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    k, E = np.array([[1, 3], [1, 1]]), np.arange(8.0).reshape(4, 2)
    dy = np.array([[[1.0, 2.0], [5.0, 5.0]], [[10.0, 20.0], [100.0, 200.0]]])
    last = np.zeros((4, 2))
    last[k] += dy
    first = np.zeros((4, 2))
    first[[1, 3]] = dy[0]
    right = e.solution.embedding_backward(dy, k, E)
    count = np.bincount(k.ravel(), minlength=4)[:, None]
    known = {
        "dE": {
            "Of a word that comes three times only one dy is counted: dE[k] += dy reads, adds and "
            "writes each row once, however often k names it": last,
            "Only the first dy of a word is counted": first,
            "This is the mean over a word's places; they add": right / np.maximum(count, 1),
        }
    }
    e.values("embedding_backward", {"dy": dy, "k": k, "E": E}, ("dE",), known=known)

    for N, T, K, D in ((3, 5, 7, 2), (2, 3, 11, 5)):
        rng = np.random.default_rng(K)
        k = rng.integers(0, K - 1, (N, T))
        k[0] = [K - 2, 0, K - 2, 0, K - 2][:T]

        e.gradient(
            "embedding_backward",
            e.solution.embedding,
            {"k": k, "E": rng.normal(size=(K, D))},
            ("E",),
            sizes={"N": N, "T": T, "K": K, "D": D},
            rows={
                "the words that k names more than once": np.flatnonzero(
                    np.bincount(k.ravel()) > 1
                ).tolist()
            },
        )


EXERCISE = Exercise(
    title="Embedding: rows of a table",
    fill=("embedding_backward",),
    hints=(
        "Take one row of the table, of word w. Which of the y are copies of it? What does L feel when "
        "that row moves?",
        "dE[w] is the sum of dy[n,t] over all places where k[n,t] = w; 0 if there is none. In NumPy "
        "dE[k] += dy does not do that where an index repeats: it writes each row once. A loop does, or "
        "np.add.at.",
        "dE = np.zeros_like(E); np.add.at(dE, k, dy); return dE.",
    ),
    check=check,
)
