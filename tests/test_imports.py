"""Imports only point down, and importing tinyae needs only NumPy."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinyae

ROOT = Path(tinyae.__file__).parent

# Bottom up. A file may import from lower levels, and from its own level without cycles.
LEVELS = (
    {"arguments", "arrays", "memory", "param", "initializers", "twin", "kernels", "lazy"}
    | {"files", "archive", "terminal", "parser", "scaling", "conformal", "pca", "wording"}
    | {"progress"},
    {"layers", "losses", "likelihoods", "gradcheck"},
    {"models", "optimizer", "optim", "averaging", "schedules", "clipping", "data"},
    {"training", "train", "io", "metrics", "fusion"},
    {"sklearn", "plot", "export", "program", "catalog", "training_doctor", "explanation"}
    | {"interchange", "distributed"},
    {"cli", "learn", "report", "book"},
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def part(path):
    """layers/dense.py → layers"""
    return path.parts[0].removesuffix(".py")


def imported(path):
    """Every (line, part of tinyae) that a file imports, wherever in the file it does."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import from tinyae by its full name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first == "tinyae":
                yield node.lineno, rest[0] if rest else ""


def circle(edges):
    """The parts in an import cycle."""

    def reach(start):
        found, todo = set(), [start]
        while todo:
            for b in edges.get(todo.pop(), ()):
                if b not in found:
                    found.add(b)
                    todo.append(b)
        return found

    return {a for a in edges if a in reach(a)}


def test_every_part_has_a_level():
    parts = {part(path) for path in FILES} - {"__init__", "__main__"}
    assert parts <= set(LEVEL), f"give {parts - set(LEVEL)} a level in LEVELS"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_down(path):
    if part(path) in ("__init__", "__main__"):
        return  # the public names are above everything
    level = LEVEL[part(path)]
    for line, name in imported(path):
        if name.startswith("__"):
            continue  # tinyae.__version__
        if not name:  # `import tinyae as ta` imports everything: allowed at the top only
            assert level >= LEVEL["io"], f"{path}:{line} imports all of tinyae"
        elif name in LEVEL:
            assert LEVEL[name] <= level, f"{path}:{line} imports {name}, which lies above it"


def test_no_circle_within_a_level():
    edges = {}
    for path in FILES:
        for _, name in imported(path):
            if name in LEVEL and name != part(path):
                edges.setdefault(part(path), set()).add(name)
    assert not circle(edges)


def modules(tree):
    """Every imported module and name, also inside functions, but not under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from modules(node)


def test_no_circle_of_files():
    names = {".".join(("tinyae", *path.with_suffix("").parts)): path for path in FILES}
    edges = {}
    for name, path in names.items():
        if path.name != "__init__.py":  # a package re-exports names of its files
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            edges[name] = {m for m in modules(tree) if m in names} - {name}
    assert not circle(edges)


def test_models_never_import_optimizers():
    for path in FILES:
        if part(path) == "models":
            assert "optim" not in {name for _, name in imported(path)}, path


FORMER = {"train"}  # old names that are kept for one version


def test_nothing_imports_by_a_former_name():
    for path in FILES:
        assert not FORMER & {name for _, name in imported(path)}, path


@pytest.mark.parametrize(
    ("edges", "on_circle"),
    [
        ({"a": {"b"}, "b": {"c"}}, set()),
        ({"a": {"b"}, "b": {"a"}}, {"a", "b"}),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, {"b", "c"}),
    ],
)
def test_circles_are_seen(edges, on_circle):
    assert circle(edges) == on_circle


HEAVY = ("numba", "matplotlib", "tqdm", "PIL", "safetensors", "sklearn", "scipy", "onnx", "torch")


def printed_by(code):
    """The output of another Python process that imports this tinyae."""
    path = os.pathsep.join([str(ROOT.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_needs_numpy_alone():
    code = f"import sys, tinyae; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert printed_by(code) == "[]"


def test_import_leaves_alone_what_is_loaded_when_first_used():
    code = """
import sys, numpy
late = {"numpy.random", "pathlib", "urllib", "zipfile"} - set(sys.modules)
import tinyae
print(sorted(late & set(sys.modules)))
"""
    assert printed_by(code) == "[]"
