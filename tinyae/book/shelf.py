"""All files of the package, read once, with the addresses that the book gives them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from tinyae.book.address import Addresses
from tinyae.book.modules import Module


@dataclass
class Shelf:
    """``addresses`` holds only what the book contains."""

    addresses: Addresses = field(default_factory=Addresses)
    modules: dict[str, Module] = field(default_factory=dict)

    def module(self, path: str) -> Module:
        if path not in self.modules:
            self.modules[path] = Module(path)
        return self.modules[path]

    def seen_from(self, page: str, paths: Collection[str]) -> list[Module]:
        """These files with links that start from a page."""
        found = []
        for path in paths:
            module = self.module(path)
            module.links = self.addresses.links(page)
            module.__dict__.pop("lines", None)
            found.append(module)
        return found
