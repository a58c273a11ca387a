"""18: a convolution's gradient of the input."""

from tinyae.learn.examiner import Examiner
from tinyae.learn.exercises.conv2d_dw_db import ask, small
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    e.values("conv2d_dx", small(), ("dx",))
    ask(e, "conv2d_dx", "x")


EXERCISE = Exercise(
    title="Convolution: the gradient of the input",
    fill=("conv2d_dx",),
    hints=(
        "Look at one product of forward: x[n, c, s i + u, s j + v] times W[o,c,u,v] goes into "
        "y[n,o,i,j]. So dy[n,o,i,j], times what, has to be added where?",
        "For each tap (u, v): dy summed over o with the weights W[:, :, u, v] makes an array "
        "(N, C, H′, W′). It belongs to just those pixels that window(x, u, v, …) shows: add it there.",
        "dx = np.zeros_like(x); for each u and v: window(dx, u, v, height, width, stride)[...] += "
        "np.einsum('nohw,oc->nchw', dy, W[:, :, u, v]).",
    ),
    check=check,
)
