"""Apply each mutation to a copy of the tree, and check that the tests of the changed file fail.

The copy is in a temporary folder; the tree itself is not changed. A mutation that leaves all tests
green has survived: a test is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from .mutation import ROOT, Mutation

# The tests for each changed file, those most likely to fail first.
_LAYERS = ("test_laws.py", "test_layers.py", "test_kernels.py")
TESTS = {
    "layers/": _LAYERS,
    "kernels/": ("test_kernels.py", "test_functions.py", *_LAYERS, "test_fusion.py"),
    "fusion/": ("test_fusion.py", "test_kernels.py", "test_models.py"),
    "twin.py": ("test_fusion.py", "test_models.py"),
    "losses.py": ("test_laws.py", "test_models.py"),
    "likelihoods.py": ("test_likelihoods.py", "test_variational.py"),
    "models/base.py": ("test_models.py", "test_laws.py"),
    "models/checks.py": ("test_models.py", "test_variational.py"),
    "models/autoencoder.py": ("test_models.py", "test_denoising.py", "test_laws.py"),
    "models/denoising.py": ("test_denoising.py", "test_laws.py"),
    "models/sparse.py": ("test_sparse.py", "test_laws.py"),
    "models/contractive.py": ("test_contractive.py", "test_laws.py"),
    "models/variational.py": ("test_variational.py", "test_laws.py"),
    "models/likelihood_estimates.py": ("test_variational.py", "test_likelihoods.py"),
    "models/interpolation.py": ("test_variational.py",),
    "models/conditional.py": ("test_variational.py", "test_laws.py"),
    "models/classifier.py": ("test_classifier.py", "test_laws.py"),
    "models/importance_weighted.py": ("test_importance_weighted.py", "test_laws.py"),
    "models/mmd.py": ("test_wasserstein.py", "test_laws.py"),
    "models/wasserstein.py": ("test_wasserstein.py", "test_laws.py"),
    "models/adversarial.py": ("test_adversarial.py", "test_laws.py"),
    "models/dictionary.py": ("test_dictionary.py", "test_laws.py"),
    "models/diffusion.py": ("test_diffusion.py", "test_laws.py"),
    "models/masked.py": ("test_masked.py", "test_laws.py"),
    "models/gan_r1.py": ("test_progan.py", "test_laws.py"),
    "models/wasserstein_gan.py": ("test_wasserstein_gan.py", "test_stargan.py", "test_laws.py"),
    "models/cyclegan.py": ("test_cyclegan.py", "test_laws.py"),
    "models/stargan.py": ("test_stargan.py", "test_laws.py"),
    "models/code_prior.py": ("test_code_prior.py", "test_laws.py"),
    "models/vqgan.py": ("test_vqgan.py", "test_laws.py"),
    "models/diffusion": ("test_diffusion.py", "test_diffusion_autoencoder.py", "test_laws.py"),
    "models/gan": ("test_gan.py", "test_laws.py"),  # with its players and their losses
}
# A failure is enough; minimal examples are not needed.
_NO_SHRINKING = """

from hypothesis import Phase

settings.register_profile(
    "mutations", settings.get_profile("tinyae"), phases=[Phase.explicit, Phase.generate], database=None
)
settings.load_profile("mutations")
"""


def files_of(file: str) -> tuple[str, ...]:
    return next(tests for start, tests in TESTS.items() if file.startswith(start))


def run(mutations: Sequence[Mutation], jobs: int = 1) -> int:
    """Print one line for each mutation, then the survivors; returns their number."""
    survivors = []
    with tempfile.TemporaryDirectory(prefix="tinyae-mutations-") as folder:
        copies: Queue[Path] = Queue()
        for i in range(jobs):
            copies.put(_copy(Path(folder) / str(i)))

        def test(mutation: Mutation) -> tuple[Mutation, str, float]:
            copy, start = copies.get(), time.perf_counter()
            try:
                return mutation, _noticed(mutation, copy), time.perf_counter() - start
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            for mutation, by, seconds in pool.map(test, mutations):
                print(f"{seconds:6.1f} s  {mutation.name}: {by or 'SURVIVES'}", flush=True)
                if not by:
                    survivors.append(mutation)
    print(f"\n{len(mutations) - len(survivors)} of {len(mutations)} turn the tests red")
    for mutation in survivors:
        print(f"  survives: {mutation.name}   ({mutation.file}, {mutation.where})")
    return len(survivors)


def _copy(to: Path) -> Path:
    """Copy the code, the tests and the cache of compiled kernels."""
    top = ROOT.parent
    shutil.copytree(ROOT, to / "tinyae")
    shutil.copytree(top / "tests", to / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(top / "pyproject.toml", to)
    with open(to / "tests" / "conftest.py", "a", encoding="utf-8") as conftest:
        conftest.write(_NO_SHRINKING)
    return to


def _noticed(mutation: Mutation, copy: Path) -> str:
    """The first failing test, or "" if none fails."""
    path = copy / "tinyae" / mutation.file
    kept = path.read_bytes()
    path.write_text(mutation.patched(), encoding="utf-8")
    tests = [f"tests/{name}" for name in files_of(mutation.file)]
    owner = mutation.where.partition(".")[0]
    try:  # first run the tests with the class in their name: they usually fail
        return _failed(["-k", owner, *tests], copy) or _failed(tests, copy)
    finally:
        path.write_bytes(kept)


def _failed(arguments: list[str], copy: Path) -> str:
    """The first failing test of these, or ""."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=1800
    )
    if result.returncode in (0, 5):  # 5: no test was selected
        return ""
    lines = result.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    if not failed:
        tail = "\n".join(lines[-15:])
        raise RuntimeError(f"pytest {arguments} ended with {result.returncode}\n{tail}")
    return failed[0].split(" - ")[0].removeprefix("FAILED ")
