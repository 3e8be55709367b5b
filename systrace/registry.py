"""Finds the plug-in modules of a package, so that adding one means adding one file."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import threading
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Name -> plug-in, filled by importing every module of one package when first read; of a name that is a module's, that
    module alone.

    Raises:
        ValueError: two modules claim the same name.
    """

    def __init__(self, package: str) -> None:
        self._package = package
        self._entries: dict[str, T] = {}
        self._begun = self._loaded = False
        self._lock = threading.RLock()  # a thread that comes second waits until all are there

    def add(self, name: str, entry: T) -> T:
        """Enter a plug-in; called by the decorators of the package, while its modules are imported."""
        if name in self._entries:
            raise ValueError(f"{self._package}: {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def remove(self, name: str) -> None:
        """Take a plug-in out again, as tests do with one of their own."""
        del self._load()[name]

    def _load(self) -> dict[str, T]:
        if not self._loaded:
            with self._lock:
                if not self._begun:  # a module that is being imported may look
                    self._begun = True
                    for module in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
                        importlib.import_module(f"{self._package}.{module.name}")
                    self._entries = dict(sorted(self._entries.items()))
                    self._loaded = True
        return self._entries

    def __getitem__(self, name: str) -> T:
        if not self._begun and name.isidentifier() and not name.startswith("_"):
            with self._lock, contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(f"{self._package}.{name}")
            if name in self._entries:
                return self._entries[name]
        return self._load()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())
