"""A mapping that keeps every call: printed name (bytes) -> name."""

from __future__ import annotations

from systrace.parser.numbers import name_of


class EveryName(dict[bytes, str]):
    """Decodes names as they turn up; numbers that an old strace printed become names."""

    def get(self, key: bytes, default: str | None = None) -> str | None:  # type: ignore[override]
        """The name; never None."""
        name = dict.get(self, key)
        if name is None:
            name = name_of(key.decode("ascii", "replace"))
            if len(self) < 5000:
                self[key] = name
        return name


EVERY_NAME = EveryName()
