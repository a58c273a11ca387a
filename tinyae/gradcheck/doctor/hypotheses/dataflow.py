"""Which statements a wrong gradient depends on and a right one does not: only there an edit can help.

Names are followed, not values: what a name is made from is all that is ever assigned to it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from tinyae.gradcheck.doctor.hypotheses.edits import Site

Skip = Callable[[Site], bool]


def spoils_what_is_right(tree: ast.FunctionDef, right: list[bool]) -> Skip | None:
    """Whether a site feeds a gradient that is right, or none at all. ``right`` is in the order in which
    the function returns its gradients. None if it returns them otherwise than as one tuple.
    """
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return)]
    if len(returns) != 1 or not isinstance(returns[0].value, ast.Tuple):
        return None
    elements = returns[0].value.elts
    if len(elements) != len(right):
        return None
    sources = _sources(tree)
    good = _closure([e for e, ok in zip(elements, right) if ok], sources)
    bad = _closure([e for e, ok in zip(elements, right) if not ok], sources)
    untouched = {id(n) for e, ok in zip(elements, right) if ok for n in ast.walk(e)}

    def skip(site: Site) -> bool:
        node, statement = site[3], site[4]
        if id(node) in untouched:
            return True
        made = _targets(statement)
        return bool(made) and (not made & bad or bool(made & good))

    return skip


def _targets(statement: ast.stmt) -> set[str]:
    """The names that a statement assigns, or whose entries it assigns."""
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        targets = [statement.target]
    else:
        return set()
    found = set()
    for target in targets:
        for part in target.elts if isinstance(target, ast.Tuple) else [target]:
            while isinstance(part, (ast.Subscript, ast.Starred)):
                part = part.value
            found.add(part.id if isinstance(part, ast.Name) else "")
    return found


def _sources(tree: ast.FunctionDef) -> dict[str, set[str]]:
    """For each name the names that it is made from."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            for name in _targets(node):
                found.setdefault(name, set()).update(_names(node))
        elif isinstance(node, ast.For):
            for name in _names(node.target):
                found.setdefault(name, set()).update(_names(node.iter))
    return found


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _closure(nodes: list[ast.expr], sources: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [name for node in nodes for name in _names(node)]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += sources.get(name, ())
    return found
