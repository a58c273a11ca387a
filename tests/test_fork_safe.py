"""A fork finds no thread inside a product of ours, so that OpenBLAS works in the child."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tinyae.kernels import fork_safe, reference

ROOT = Path(__file__).resolve().parent.parent
BLAS = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]  # type: ignore[index]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def forked(*lines: str, timeout: float = 300) -> str:
    """The result of the attack in a process where OpenBLAS has two threads."""
    code = "\n".join(
        (
            "import random",
            "from benchmarks.attacks import concurrency",
            "from tinyae.kernels import fork_safe",
            *lines,
            "print(concurrency.forks(random.Random(3), None))",
        )
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "TINYAE_KERNELS": "numpy"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment,
        timeout=timeout,
    ).stdout.strip()


def test_children_of_a_process_that_trains_can_compute() -> None:
    assert forked("concurrency.FORKS = 5") == "None"


@pytest.mark.skipif("openblas" not in BLAS, reason=f"NumPy multiplies with {BLAS}")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="OpenBLAS uses no more threads than cores")
def test_without_the_locks_child_or_parent_waits_for_ever() -> None:
    """If this ceases to hold, OpenBLAS has been mended, and the locks can go."""
    try:
        found = forked("fork_safe._MAX_WAIT = 0", "concurrency.CHILD_SECONDS = 2", timeout=6)
    except subprocess.TimeoutExpired:
        return  # the parent itself waits
    assert "a child waits for ever" in found


def test_a_fork_waits_for_a_product_and_lets_the_next_one_go() -> None:
    inside, leave, order = threading.Event(), threading.Event(), []

    @fork_safe.fork_safe
    def product(a: int, b: int = 0) -> int:
        inside.set()
        assert leave.wait(10)
        order.append("product")
        return a + b

    thread = threading.Thread(target=product, args=(1,))
    thread.start()
    assert inside.wait(10)
    threading.Timer(0.05, leave.set).start()
    fork_safe._wait_for_products()
    order.append("fork")
    late = threading.Thread(target=lambda: order.append(product(2, b=3)))
    late.start()
    late.join(0.05)
    assert order == ["product", "fork"]
    assert product(1) == 1  # as a signal handler of this thread might, between the two
    fork_safe._go_on()
    late.join(10)
    thread.join(10)
    assert order == ["product", "fork", "product", "product", 5]


def test_a_thread_that_never_leaves_its_product_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fork_safe, "_MAX_WAIT", 0.02)
    inside, leave = threading.Event(), threading.Event()

    @fork_safe.fork_safe
    def product() -> None:
        inside.set()
        assert leave.wait(10)

    thread = threading.Thread(target=product)
    thread.start()
    assert inside.wait(10)
    child = os.fork()
    if not child:
        product_of_ours = reference.matmul(np.ones((2, 2)), np.ones((2, 2)))
        locks = len(fork_safe._registry)
        os._exit(0 if (product_of_ours == 2).all() and locks == 1 else 1)
    leave.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert not fork_safe._own.taken


def test_the_lock_of_a_thread_ends_with_it() -> None:
    before = len(fork_safe._registry)
    thread = threading.Thread(target=reference.matmul, args=(np.eye(2), np.eye(2)))
    thread.start()
    thread.join()
    assert len(fork_safe._registry) <= before


def test_every_product_of_the_reference_kernels_is_locked() -> None:
    """Whatever calls BLAS here is found by its source."""
    import ast
    import inspect

    tree = ast.parse(inspect.getsource(reference))
    for function in filter(lambda node: isinstance(node, ast.FunctionDef), tree.body):
        products = [
            node
            for node in ast.walk(function)
            if (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult))
            or (isinstance(node, ast.Attribute) and node.attr in ("tensordot", "dot", "matmul"))
        ]
        decorators = [ast.unparse(d) for d in function.decorator_list]
        assert not products or "fork_safe" in decorators, function.name
