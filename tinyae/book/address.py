"""Where everything is in the book: the page of a file, of a class, and links between pages."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import NamedTuple


class Target(NamedTuple):
    """A page and an anchor on it, "" for its top."""

    page: str
    anchor: str = ""


@dataclass
class Addresses:
    """What has a place in the book. Nothing links to what is not in it."""

    pages: dict[str, Target] = field(default_factory=dict)  # by the path of a file
    names: dict[tuple[str, str], Target] = field(default_factory=dict)  # by file and name
    lessons: dict[str, Target] = field(default_factory=dict)  # pages of classes and exercises
    public: dict[str, Target] = field(default_factory=dict)  # by a name that is used only once

    def links(self, page: str) -> Links:
        return Links(self, page)


@dataclass
class Links:
    """Addresses as seen from one page."""

    addresses: Addresses
    page: str

    def to(self, target: Target | None) -> str:
        """A relative address; "" for None."""
        if target is None:
            return ""
        if target.page == self.page:
            return f"#{target.anchor}" if target.anchor else ""
        path = posixpath.relpath(target.page, posixpath.dirname(self.page) or ".")
        return f"{path}#{target.anchor}" if target.anchor else path

    def of_name(self, name: str) -> str:
        """Where a name in prose leads: ``MSE``, ``tinyae.losses.MSE``, ``norm.py``."""
        name = name.strip()
        a = self.addresses
        if name.endswith((".py", "/")):
            folder = posixpath.dirname(self.page.removeprefix("source/"))
            for path in (name, posixpath.join(folder, name)):
                if path in a.pages:
                    return self.to(a.pages[path])
            return ""
        if name.startswith("tinyae."):
            path = name.removeprefix("tinyae.").replace(".", "/")
            for candidate in (f"{path}.py", f"{path}/__init__.py"):
                if candidate in a.pages:
                    return self.to(a.pages[candidate])
        last = name.removesuffix("()").rpartition(".")[2]
        return self.to(a.lessons.get(last) or a.public.get(last))

    def of_lesson(self, name: str) -> str:
        return self.to(self.addresses.lessons.get(name))
