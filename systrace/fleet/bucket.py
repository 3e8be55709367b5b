"""Results in a bucket: a folder of results here, and the same there. What was pushed survives this machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

from systrace.errors import TransientError
from systrace.fleet.objects import delete, listed, opened, put
from systrace.fleet.parts import STATE, SUFFIX, live_parts
from systrace.fleet.tables import TABLES


class Bucket:
    """Results in a bucket: the folder of a store, of which `state` is fetched, and the rest when it is needed."""

    def __init__(self, url: str, folder: Path) -> None:
        """Nothing is fetched yet.

        Args:
            url: s3://BUCKET/PREFIX.
            folder: an empty one, for the copy.
        """
        self.url, self.folder = url.rstrip("/"), folder
        self._there: set[str] = set()

    def fetch(self, everything: bool = False) -> bool:
        """Copy the state, or all; whether there are results.

        Raises:
            InputError: it cannot be read.
        """
        names = [name.removeprefix(f"{self.url}/") for name, _tag in listed(f"{self.url}/", recursive=True)]
        folders = (STATE, *TABLES)
        self._there = {name for name in names if name.split("/")[0] in folders and name.count("/") == 1}
        for name in self._there:
            if everything or name.startswith(f"{STATE}/"):
                self._copy(name)
        return any(name.startswith(f"{STATE}/") for name in self._there)

    def part(self, part: str) -> bool:
        """Copy the tables of a part that is to be written anew; not where another run has just replaced it."""
        with contextlib.suppress(TransientError):
            for table in TABLES:
                if (name := _name(table, part)) in self._there:
                    self._copy(name)
            return True
        return False

    def _copy(self, name: str) -> None:
        path = self.folder / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            with opened(f"{self.url}/{name}") as body, path.open("xb") as out:
                out.write(body.read())

    def push(self) -> None:
        """Bring the bucket to what the store is: tables first, `state` behind them, then what was replaced goes.

        Raises:
            InputError: it cannot be written.
        """
        live = live_parts(self.folder)
        for folder in (*TABLES, STATE):
            for name in (_name(folder, part) for part in live):
                if name not in self._there:
                    with (self.folder / name).open("rb") as data:
                        put(f"{self.url}/{name}", data)
                    self._there.add(name)
        for name in sorted(self._there - {_name(folder, part) for folder in (*TABLES, STATE) for part in live}):
            delete(f"{self.url}/{name}")
            self._there.discard(name)


def _name(folder: str, part: str) -> str:
    return f"{folder}/part-{part}{SUFFIX}"
