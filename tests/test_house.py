"""The structure of the library: what ``layers/`` and ``models/`` may use, and lengths of files.

``layers/`` and ``models/`` hold only the mathematics, the single definition of each gradient. Code
that exists for speed is in ``fusion/`` and in the kernels.
"""

import ast
import inspect
import re
from pathlib import Path

import pytest

import tinyae
from tinyae.kernels import reference

ROOT = Path(tinyae.__file__).parent
MATHEMATICS = sorted([*ROOT.glob("layers/*.py"), *ROOT.glob("models/*.py")])
READ = sorted(
    [
        *MATHEMATICS,
        *ROOT.glob("training/*.py"),
        *(
            ROOT / name
            for name in (
                "losses.py",
                "optim.py",
                "optimizer.py",
                "param.py",
                "initializers.py",
                "twin.py",
            )
        ),
    ]
)
SPEED = ("fusion", "memory")  # parts that exist for speed
# Arguments and kernels that fuse separate operations.
FUSED_ARGUMENTS = {"relu", "relu_mask", "out", "input_grad", "per_sample"}
FUSED_KERNELS = {
    name
    for name, kernel in inspect.getmembers(reference, inspect.isfunction)
    if name.startswith("mlp") or FUSED_ARGUMENTS & set(inspect.signature(kernel).parameters)
} | {"affine_grad", "row_sq_norms"}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def findings(tree: ast.AST) -> list[str]:
    """Code for speed in a file of mathematics, with line numbers."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a.name for a in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{name}" for name in names]
            for name in names:
                if any(name == f"tinyae.{s}" or name.startswith(f"tinyae.{s}.") for s in SPEED):
                    found.append(f"{node.lineno}: imports {name}")
        elif isinstance(node, ast.Call):
            f = node.func
            owner = (
                f.value.id if isinstance(f, ast.Attribute) and isinstance(f.value, ast.Name) else ""
            )
            if owner == "kernels":
                assert isinstance(f, ast.Attribute)
                if f.attr in FUSED_KERNELS:
                    found.append(f"{node.lineno}: calls the fused kernel {f.attr}")
                for keyword in node.keywords:
                    if keyword.arg in FUSED_ARGUMENTS:
                        found.append(f"{node.lineno}: passes {keyword.arg} to a kernel")
        elif isinstance(node, ast.Compare):
            found += [f"{node.lineno}: a threshold of batch size" for _ in _thresholds(node)]
    return found


_SIZE = re.compile(r"(len\((x|y|z|dy|dz|batch|source|target)\)|\b(x|y|z|dy|dz|batch)\.shape\[0\])")


def _thresholds(node: ast.Compare) -> list[ast.expr]:
    """Sides of a comparison of a batch size with a number above 2 or a CONSTANT."""
    sides = [node.left, *node.comparators]
    sizes = [side for side in sides if _SIZE.fullmatch(ast.unparse(side))]
    bounds = [
        side
        for side in sides
        if (isinstance(side, ast.Constant) and isinstance(side.value, int) and side.value > 2)
        or (isinstance(side, ast.Name) and side.id.lstrip("_").isupper() and len(side.id) > 2)
    ]
    return sizes if bounds else []


@pytest.mark.parametrize("path", MATHEMATICS, ids=named)
def test_the_mathematics_knows_nothing_of_speed(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = findings(tree)
    if named(path) == "models/base.py":  # processes a whole data set in chunks
        found = [f for f in found if "threshold" not in f]
    assert not found, f"{named(path)}: {'; '.join(found)}"


@pytest.mark.parametrize(
    "line",
    [
        "import tinyae.fusion",
        "from tinyae.fusion.steps import step",
        "y = kernels.mlp(layers, x)",
        "y = kernels.conv2d_fused(x, W, s, p, b, relu=True)",
        "if len(x) < 16: pass",
        "if 16 <= x.shape[0]: pass",
        "if len(x) >= MIN_BATCH: pass",
    ],
)
def test_speed_is_seen(line: str) -> None:
    assert findings(ast.parse(line))


@pytest.mark.parametrize("path", READ, ids=named)
def test_a_file_for_readers_can_be_read_in_one_sitting(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines < 300, f"{named(path)} has {lines} lines: split it along its ideas"
