"""`dataclasses.dataclass` whose classes are made in a third of the time: 250 of them are half of a short report.

Checkers see the standard library's. At run time only `__init__` is written for each class; comparing, hashing and showing
are closures over its fields. That nobody changes a frozen one is the checker's word alone.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    from dataclasses import dataclass as _standard
    from dataclasses import fields

    def dataclass(cls=None, /, *, frozen=False, slots=False, eq=True):
        """As `dataclasses.dataclass`, for what this project uses of it."""
        if cls is None:
            return lambda each: dataclass(each, frozen=frozen, slots=slots, eq=eq)
        own = vars(cls).keys() & {"__repr__", "__eq__", "__hash__"}
        made = _standard(cls, eq=False, repr=False, slots=slots)
        if "__repr__" not in own:
            made.__repr__ = _showing([field.name for field in fields(made) if field.repr])
        if eq and "__eq__" not in own:
            values = _values([field.name for field in fields(made) if field.compare])
            made.__eq__ = _comparing(values)
            if "__hash__" not in own:
                made.__hash__ = _hashing(values) if frozen else None
        return made


_Values = Callable[[Any], tuple[Any, ...]]


def _values(names: list[str]) -> _Values:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda one: tuple(getattr(one, name) for name in names)


def _comparing(values: _Values) -> Callable[[Any, Any], Any]:
    def equal(self: Any, other: Any) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return equal


def _hashing(values: _Values) -> Callable[[Any], int]:
    return lambda self: hash(values(self))


def _showing(names: list[str]) -> Callable[[Any], str]:
    @recursive_repr()
    def shown(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return shown


__all__ = ["dataclass"]
