"""24: five mistakes in a variational autoencoder's backward passes."""

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise

WEIGHTS = ("W1", "b1", "Wm", "bm", "Ws", "bs", "V1", "c1", "V2", "c2")
LENGTHS = ((7, 5, 3, 2), (3, 2, 5, 7))  # N, D, H, K


def check(e: Examiner) -> None:
    right = e.solution
    for f, backward, names, upstream in right.PARTS:
        for lengths in LENGTHS:
            inputs = {name: right.example(*lengths)[name] for name in names.split()}
            wrt = [name for name in inputs if name not in right.WITHOUT]
            e.gradient(
                backward.__name__,
                f,
                inputs,
                wrt,
                upstream=upstream,
                tensors=right.named if f is right.decode else None,
                sizes=dict(zip("NDHK", lengths)),
            )
    if not e.good:
        return  # a mistake in a part spoils the whole, in more places than one
    for lengths in LENGTHS:
        known = right.example(*lengths)
        inputs = {name: known[name] for name in ("x", "eps", *WEIGHTS)}
        sizes = dict(zip("NDHK", lengths))
        e.gradient("gradients", right.loss, inputs, WEIGHTS, upstream=False, sizes=sizes)


EXERCISE = Exercise(
    title="The capstone: five mistakes to find",
    fill=(),
    names_lines=False,
    task="Find the five wrong lines, one in each backward, and mend them",
    hints=(
        "One part at a time. For each line of a backward, point to the line of forward that it "
        "answers: is every use of every variable answered, and with what forward had there?",
        "In the order of the file's last lines: a mean over too much; a term that has lost its 1/N; a "
        "slope that is taken of the wrong array; a σ² where σ belongs; a path that is missing.",
        "dl = (sigmoid(l) - x) / len(x); dmu = mu / len(mu); dp = dg * (1 - g**2); "
        "ds = dz * eps * np.exp(s / 2) / 2; dh = dmu @ Wm + ds @ Ws.",
    ),
    check=check,
)
