"""A file of the package, read: its docstring, its definitions, and its lines in HTML."""

from __future__ import annotations

import ast
import posixpath
from dataclasses import dataclass, field
from functools import cached_property

from tinyae.book.address import Addresses, Links, Target
from tinyae.book.chapters import ROOT
from tinyae.book.highlight import highlighted

Definition = ast.FunctionDef | ast.ClassDef


@dataclass
class Module:
    """``path`` is relative to tinyae/."""

    path: str
    links: Links = field(default_factory=lambda: Links(Addresses(), ""))

    @cached_property
    def source(self) -> str:
        return (ROOT / self.path).read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def doc(self) -> str:
        return ast.get_docstring(self.tree) or ""

    @cached_property
    def text(self) -> list[str]:
        return self.source.splitlines()

    @cached_property
    def lines(self) -> list[str]:
        """Each line in HTML, with links to what the names mean."""
        return highlighted(self.source, self._link)

    @cached_property
    def definitions(self) -> list[Definition]:
        kinds = (ast.FunctionDef, ast.ClassDef)
        return [node for node in self.tree.body if isinstance(node, kinds)]

    @cached_property
    def imported(self) -> dict[str, tuple[str, str]]:
        """What a name of tinyae's stands for: (file, its name there); "" for a whole module."""
        found: dict[str, tuple[str, str]] = {}
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            if node.module.split(".")[0] != "tinyae":
                continue
            for alias in node.names:
                inner = file_of(f"{node.module}.{alias.name}")
                where = (inner, "") if inner else (file_of(node.module), alias.name)
                if where[0]:
                    found[alias.asname or alias.name] = where
        return found

    def _link(self, name: str, owner: str) -> str:
        a, here = self.links.addresses, self.path
        if owner == "self" or owner == "cls":
            return ""
        if owner:
            path, inner = self.imported.get(owner, ("", ""))
            return self.links.to(_found(a, path, name)) if path and not inner else ""
        if name in self.imported:
            path, inner = self.imported[name]
            return self.links.to(_found(a, path, inner) if inner else a.pages.get(path))
        target = a.names.get((here, name))
        return self.links.to(target) if target else ""


def _found(addresses: Addresses, path: str, name: str) -> Target | None:
    """The target of a name; if the file only passes it on, that of the file where it is defined.

    ``kernels.affine`` leads to the definition in plain NumPy.
    """
    if target := addresses.names.get((path, name)):
        return target
    if path == "kernels/__init__.py":
        return addresses.names.get(("kernels/reference.py", name))
    if posixpath.basename(path) == "__init__.py":
        return addresses.public.get(name)
    return None


def file_of(module: str) -> str:
    """tinyae.layers.dense → layers/dense.py; "" if there is no such file."""
    inner = module.removeprefix("tinyae").lstrip(".").replace(".", "/")
    for path in (f"{inner}.py", posixpath.join(inner, "__init__.py")):
        if inner != "" and (ROOT / path).exists():
            return path
    return "__init__.py" if module == "tinyae" else ""
