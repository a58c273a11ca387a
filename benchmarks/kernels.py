"""Time every kernel at the sizes in use, against NumPy, PyTorch and the machine's limits.

    python benchmarks/kernels.py [--only matmul conv2d] [--networks dense conv] [--peers torch]
    python benchmarks/kernels.py --rule         # which products should go to BLAS?
    python benchmarks/kernels.py --quick        # does it run?

A training step of every network (peers/networks.py) is run with and without fusion, and each kernel
that it calls is timed on the same arguments, strides included. Kernels that no network calls are
timed on the sizes in ``other_calls``. Times are medians in microseconds; all contestants run in
turns in one process.

    NumPy      the definition in kernels/reference.py, with BLAS for matrix products
    PyTorch    the equivalent operation, if there is one
    floor      a lower bound of the time on this machine (floor.py), each array moved once
    share      floor over ours; "of" says which of the two bounds is larger. Above 100 %, copying
               that many bytes is limited by something that does not limit the kernel

``--rule`` prints BLAS's time over ours for products of growing size. A value below 1 at a size that
kernels/jitted/matmul.py computes itself means that it should leave this size to BLAS.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import timing
from benchmarks.calls import STEPS, Call, copied, intercepted, public
from benchmarks.floor import COLUMNS, Machine, measure_machine, work_of_call
from benchmarks.peers import present

OURS, TWIN, PEER = "tinyae", "NumPy", "PyTorch"
RESET_AFTER = 256  # calls of an optimizer step after which its arrays are restored


# --- the calls to time ------------------------------------------------------------------------


def calls_of(step: Callable[[], Any]) -> dict[str, Call]:
    """The distinct kernel calls of a step, with copies of their arguments before the call.

    The step is run three times: as it is, without fusing forward and backward, and with the
    definitions only, which call every layer by itself.
    """
    from tinyae.fusion import steps
    from tinyae.fusion.plan_cache import forget_plans
    from tinyae.twin import definitions_only

    calls: dict[str, Call] = {}

    def recording(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def record(*arguments: Any) -> Any:
            call = Call(name, copied(arguments))
            calls.setdefault(str(call), call)
            return kernel(*arguments)

        return record

    fuse_all = steps.fuse_all
    try:
        with intercepted(recording):
            step()
            steps.fuse_all = lambda *_: None
            forget_plans()
            step()
            with definitions_only():
                step()
    finally:
        steps.fuse_all = fuse_all
        forget_plans()
    return calls


def calls_in_use(networks: Sequence[str], n: int | None) -> dict[str, Call]:
    """The calls in the second training step of each network; ``n`` overrides its batch sizes."""
    from benchmarks.peers.networks import NETWORKS
    from benchmarks.train_step import our_step

    calls: dict[str, Call] = {}
    for key in networks:
        network = NETWORKS[key]
        for size in network.batches if n is None else (n,):
            step = our_step(network, network.data(size))
            step()
            for name, call in calls_of(step).items():
                calls.setdefault(name, call)
    return calls


def other_calls(n: int) -> Iterator[Call]:
    """One call of a typical size for each kernel, in case no network calls it."""
    import numpy as np

    from tinyae.kernels import reference

    rng = np.random.default_rng(0)

    def array(*shape: int) -> Any:
        return rng.random(shape, np.float32)

    x, y, images = array(n, 500), array(n, 500), array(n, 8, 28, 28)
    a, b = array(n, 64), array(64, 784)
    layers = reference.MLPLayers(
        reference.MLPLayer(array(o, i) / i, array(o), array(o, i), array(o), f)
        for i, o, f in ((500, 64, "ReLU"), (64, 500, "Sigmoid"))
    )
    yield Call("mlp", (layers, x))
    yield Call("mlp_backward", (layers, x, reference.mlp(layers, x), y, True))
    yield Call("mlp_backprop", (layers, x, y, "mse", False, False))
    yield Call("row_sq_norms", (array(64, 784), array(64), array(64, 784)))
    yield Call("affine", (x, array(20, 500), array(20)))
    yield Call("matmul", (a, b))
    yield Call("matmul_nt", (x, array(250, 500)))
    yield Call("matmul_tn", (a, x))
    yield Call("conv2d", (images, array(16, 8, 3, 3), (1, 1), (1, 1, 1, 1)))
    yield Call("conv2d_input_grad", (images, array(8, 4, 3, 3), (1, 1), (1, 1, 1, 1), (28, 28)))
    yield Call("conv2d_relu", (images, array(16, 8, 3, 3), (1, 1), (1, 1, 1, 1), array(16), True))
    back = images, array(8, 4, 3, 3), (1, 1), (1, 1, 1, 1), (28, 28)
    yield Call("conv2d_input_grad_relu", (*back, None, False, array(n, 4, 28, 28)))
    yield Call("conv2d_weight_grad", (images, images, (1, 1), (1, 1, 1, 1), (3, 3)))
    yield Call("bias_grad", (images, array(8)))
    yield Call("batch_norm", (images, array(8), array(8), 1e-5, True))
    sums = array(8), array(8)
    yield Call("batch_norm_backward", (images, images, array(8) + 1, array(8), *sums, images))
    yield Call("group_norm", (images, 4, array(8), array(8), 1e-5))
    sums, sigma = (array(8), array(8)), array(n, 4, 1, 1) + 1
    yield Call("group_norm_backward", (images, images.reshape(n, 4, 2, -1), sigma, array(8), *sums))
    yield Call("max_pool2d", (images, (2, 2), (2, 2)))
    index = rng.integers(0, 4, (n, 8, 14, 14))
    pooled = (array(n, 8, 14, 14), index, (2, 2), (2, 2), (28, 28))
    yield Call("max_pool2d_backward", pooled)
    turned = np.array([[[0.99, -0.1, 1.2], [0.1, 0.99, -1.2]]], np.float32)
    yield Call("warp", (array(n, 1, 28, 28), np.repeat(turned, n, axis=0)))
    for name in ("relu", "sigmoid", "silu", "tanh", "erfc"):
        yield Call(name, (x - 0.5,))
    for name in (
        "relu_backward",
        "sigmoid_backward",
        "tanh_backward",
        "silu_backward",
        "mse",
        "l1",
    ):
        yield Call(name, (x, y))
    yield Call("elu", (x - 0.5, 1.0))
    yield Call("elu_backward", (x, y - 0.5, 1.0))
    yield Call("bce", (x, y, 1e-7))
    yield Call("bce_with_logits", (x, y))
    yield Call("affine_grad", (y, x, array(500, 500), array(500)))

    def rows(count: int) -> Any:
        return reference.ParamGroup([tuple(array(500, 784) for _ in range(count))])

    yield Call("sgd", (rows(2), 1e-3))
    yield Call("momentum", (rows(3), 1e-3, 0.9))
    yield Call("nesterov", (rows(3), 1e-3, 0.9))
    yield Call("rmsprop", (rows(3), 1e-3, 0.9, 1e-8))
    yield Call("adam", (rows(4), 1e-3, 0.9, 0.999, 1e-8, 10))
    yield Call("adamw", (rows(4), 1e-3, 0.9, 0.999, 1e-8, 0.01, 10))


def ready(kernel: Callable[..., Any], call: Call) -> Callable[[], Any]:
    """The call as a function, on its own copies of the arguments.

    An optimizer step clears the gradient, so with every further call the moments decay, finally to
    subnormal numbers, which are slow. So the arrays are restored after every RESET_AFTER calls.
    """
    own = Call(call.kernel, copied(call.arguments))
    if call.kernel not in STEPS:
        return lambda: kernel(*own.arguments)
    pairs = list(zip(own.arrays, call.arrays))
    calls = 0

    def run() -> None:
        nonlocal calls
        calls += 1
        if calls % RESET_AFTER == 0:
            for a, b in pairs:
                a[...] = b
        kernel(*own.arguments)

    return run


# --- the tables -------------------------------------------------------------------------------


def row(call: Call, machine: Machine, peers: Sequence[str], plan: dict[str, Any]) -> list[str]:
    from tinyae import kernels

    reference = importlib.import_module("tinyae.kernels.reference")
    run = {
        OURS: ready(getattr(kernels, call.kernel), call),
        TWIN: ready(getattr(reference, call.kernel), call),
    }
    if peers:
        with_torch = importlib.import_module("benchmarks.peers.with_torch")
        twin = with_torch.twin(call.kernel, *call.arguments)
        run |= {} if twin is None else {PEER: twin}
    result = run[OURS]()
    spreads = timing.interleaved(run, **plan)
    ours = spreads[OURS].median
    cells = [timing.digits(s.median * 1e6) for s in (spreads[OURS], spreads[TWIN])]
    cells.append(timing.digits(spreads[PEER].median * 1e6) if PEER in spreads else "–")
    fastest = min(s.median for name, s in spreads.items() if name != OURS)
    floor = work_of_call(call, result).columns(machine, ours, 1e6)
    return [str(call), *cells, *floor, f"{fastest / ours:.2f}"]


def rule(plan: dict[str, Any], quick: bool) -> tuple[list[str], list[list[str]]]:
    """BLAS's time over ours: one row for each product and size, one column for each batch size."""
    import numpy as np

    from tinyae import kernels
    from tinyae.kernels import reference

    batches = [1, 8] if quick else [1, 4, 8, 32, 128, 1024]
    pairs = [(8, 16), (32, 16), (64, 64), (64, 784), (250, 500), (500, 784), (1000, 784)]
    rng = np.random.default_rng(0)

    def ratio(ours: Callable[..., Any], blas: Callable[..., Any], a: Any, b: Any) -> str:
        s = timing.interleaved({OURS: lambda: ours(a, b), TWIN: lambda: blas(a, b)}, **plan)
        return f"{s[TWIN].median / s[OURS].median:.2f}"

    rows = []
    for wide, deep in pairs[: 1 if quick else None]:
        W = rng.random((wide, deep), np.float32)
        ratios: dict[str, list[str]] = {"x Wᵀ": [], "dy W": [], "dyᵀ x": []}
        for n in batches:
            x, dy = rng.random((n, deep), np.float32), rng.random((n, wide), np.float32)
            ratios["x Wᵀ"].append(ratio(kernels.matmul_nt, reference.matmul_nt, x, W))
            ratios["dy W"].append(ratio(kernels.matmul, reference.matmul, dy, W))
            ratios["dyᵀ x"].append(ratio(kernels.matmul_tn, reference.matmul_tn, dy, x))
        rows += [[f"{name}   W {wide}×{deep}", *cells] for name, cells in ratios.items()]
    return ["BLAS over ours", *(f"N {n}" for n in batches)], rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="KERNEL", help="affine, conv2d, …")
    parser.add_argument("--networks", nargs="+", metavar="NETWORK", help="dense, ecg, conv, …")
    parser.add_argument("--peers", default="torch", help="torch; '' for none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="blocks per contestant")
    parser.add_argument("--rule", action="store_true", help="products of growing size only")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    options = parser.parse_args(arguments)
    timing.limit_threads(options.threads)  # before anything imports NumPy
    common = importlib.import_module("benchmarks.recipes.common")
    networks = importlib.import_module("benchmarks.peers.networks").NETWORKS
    for name, given, known in (
        ("--only", options.only, public()),
        ("--networks", options.networks, list(networks)),
    ):
        if unknown := set(given or ()) - set(known):
            parser.error(f"{name} is {', '.join(unknown)}, expected some of {', '.join(known)}")
    peers = present(options.peers, ["torch"])
    plan: dict[str, Any] = {"repeats": options.repeats, "settle": 0.04, "block": 0.03}
    if options.quick:
        plan = {"repeats": 1, "settle": 0.0, "block": 0.0}
    with timing.Neighbours() as others:
        if options.rule:
            common.table("Products: BLAS's time over ours", *rule(plan, options.quick))
        else:
            measured(common, options, networks, peers, plan)
    print(others)
    print(common.machine())


def measured(common: Any, options: Any, networks: Any, peers: Sequence[str], plan: Any) -> None:
    size = 4 if options.quick else None
    calls = calls_in_use(options.networks or list(networks), size)
    used = {call.kernel for call in calls.values()}
    for call in other_calls(4 if options.quick else 128):
        if call.kernel not in used:
            calls[str(call)] = call
    order = public()
    chosen = [c for c in calls.values() if c.kernel in (options.only or order)]
    chosen.sort(key=lambda call: order.index(call.kernel))
    side = 64 if options.quick else 1024
    machine = measure_machine(peers, options.threads, side)
    common.table(
        f"µs a call, {options.threads} threads; {machine}",
        ["kernel", OURS, TWIN, PEER, *COLUMNS, "best other / ours"],
        [row(call, machine, peers, plan) for call in chosen],
    )


if __name__ == "__main__":
    main()
