"""Lists that are made when they get their first item: most sockets and processes of a large log have none to keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def grown(items: Sequence[T], item: T) -> list[T]:
    """The same list with one more item at its end; a new one instead of what is no list yet."""
    if isinstance(items, list):
        items.append(item)
        return items
    return [*items, item]
