"""Shared by all tests: the hypothesis profile, the two kernel sets, and skipped tests."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tinyae import kernels

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks/

# Derandomised: every run uses the same examples, so failures are reproducible.
settings.register_profile(
    "tinyae",
    deadline=None,
    derandomize=True,
    max_examples=25,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("tinyae")


def pytest_configure(config):
    """With ``-n`` several processes share the cores: one thread each is enough for a product."""
    if getattr(config.option, "numprocesses", None):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(params=["numpy", "numba"])
def kernel_set(request):
    """The test runs twice, once with each set of kernels."""
    if request.param == "numba":
        pytest.importorskip("numba", reason="the kernel set 'numba' needs numba: pip install numba")
    with kernels.use(request.param):
        yield request.param


def pytest_collection_modifyitems(config, items):
    """Skip slow tests unless selected (``-m slow``), and real-data tests without the data."""
    if not config.option.markexpr and not any("::" in arg for arg in config.args):
        slow = [item for item in items if "slow" in item.keywords]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if "slow" not in item.keywords]
    if not os.environ.get("TINYAE_DATA"):
        skip = pytest.mark.skip(
            reason="needs published data: run `tinyae data fetch` for mnist, fashion-mnist and "
            "ecg5000, and set TINYAE_DATA to the folder around those that it prints"
        )
        for item in items:
            if "real_data" in item.keywords:
                item.add_marker(skip)
