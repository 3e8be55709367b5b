"""Conversations of real programs, recorded once and kept beside the tests: `recorded/*.json`.

Each file is one connection. Bytes stand there as text, one character a byte (latin-1). `tests/decoders/servers.py`
writes such files while the tests with real servers run, if the environment variable `SYSTRACE_RECORD` names a directory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("recorded")


@dataclass(frozen=True, slots=True)
class Recording:
    """One connection between two real programs (`by` names them where one of them is not)."""

    name: str
    protocol: str
    by: str
    said: tuple[tuple[bool, bytes, int], ...]  # (by the client, bytes, 0: no bytes are missing)
    keylog: str = ""  # session keys of TLS, as in a key-log file
    datagrams: bool = False

    @property
    def client(self) -> bytes:
        """All that the client said."""
        return b"".join(data for by_client, data, _ in self.said if by_client)

    @property
    def server(self) -> bytes:
        """All that the server said."""
        return b"".join(data for by_client, data, _ in self.said if not by_client)


def recordings() -> list[Recording]:
    """All of them, by name."""
    return [_load(path) for path in sorted(FOLDER.glob("*.json"))]


def _load(path: Path) -> Recording:
    values = json.loads(path.read_text())
    said = tuple((who == "client", text.encode("latin-1"), 0) for who, text in values["said"])
    return Recording(
        path.stem, values["protocol"], values["by"], said, values.get("keylog", ""), values.get("datagrams", False)
    )


def save(recording: Recording, folder: Path = FOLDER) -> Path:
    """Write one file."""
    values: dict[str, object] = {"protocol": recording.protocol, "by": recording.by}
    if recording.keylog:
        values["keylog"] = recording.keylog
    if recording.datagrams:
        values["datagrams"] = True
    values["said"] = _said(recording.said)
    path = folder / f"{recording.name}.json"
    path.write_text(json.dumps(values, indent=1) + "\n")
    return path


def _said(said: Iterable[tuple[bool, bytes, int]]) -> list[list[str]]:
    return [["client" if by_client else "server", data.decode("latin-1")] for by_client, data, _ in said]
