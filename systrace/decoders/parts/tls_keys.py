"""Session keys in the format of NSS's key log (SSLKEYLOGFILE; RFC 9850): `LABEL CLIENT_RANDOM SECRET`, in hexadecimal.

A `KeyLog` may grow while the trace streams by: from `# systrace: {"keylog": ...}` lines
of a recording, and from the lines that the traced program itself is seen writing. Keys are secrets: what was overheard
is blotted out of the call that showed it, so that no report can quote it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from systrace.errors import InputError
from systrace.model import Event, Fact, Transfer

CLIENT_RANDOM = "CLIENT_RANDOM"  # TLS 1.2 and before: the master secret
EARLY = "CLIENT_EARLY_TRAFFIC_SECRET"
HANDSHAKE = ("SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_HANDSHAKE_TRAFFIC_SECRET")  # index: from the client?
TRAFFIC = ("SERVER_TRAFFIC_SECRET_0", "CLIENT_TRAFFIC_SECRET_0")
LINES_LIMIT = 8192  # bytes of the longest write that may be one of key-log lines
FILE_LIMIT = 256 << 20  # bytes of a key-log file that are read
CONNECTIONS_LIMIT = 200_000  # whose secrets are kept
HELD_FEW, HELD_MANY = 64 << 10, 4 << 20  # bytes a connection holds back: while no key was seen, once keys are expected
HELD_LIMIT = 64 << 20  # and all of them together

_USED = frozenset({CLIENT_RANDOM, EARLY, *HANDSHAKE, *TRAFFIC})
_LINE = re.compile(rb"([A-Z][A-Z_0-9]{5,40}) ([0-9a-fA-F]{64}) ([0-9a-fA-F]{96}|[0-9a-fA-F]{64})(?![0-9a-fA-F])")
_LONG_HEX = re.compile(rb"[0-9a-fA-F]{33,}")


class KeyLog:
    """Secrets by client random. `expected` keys are worth waiting for; `missing` says which package is not installed."""

    def __init__(self, path: Path | None = None) -> None:
        """Begin with what a file holds.

        Raises:
            InputError: it cannot be read.
        """
        self._secrets: dict[bytes, dict[str, bytes]] = {}
        self.expected = False
        self.held = 0  # bytes that connections without keys hold back
        self.missing = ""
        if path is not None:
            try:
                self._read_file(path)
            except OSError as error:
                raise InputError(f"{path}: {error.strerror}") from None

    def __len__(self) -> int:
        return len(self._secrets)

    def add(self, text: bytes) -> int:
        """Take the key-log lines in a text; whatever else it holds is passed over. Returns how many lines counted."""
        found = 0
        for match in _LINE.finditer(text):
            label = match[1].decode()
            if label not in _USED or (label == CLIENT_RANDOM and len(match[3]) != 96):
                continue
            random = bytes.fromhex(match[2].decode())
            if random in self._secrets or len(self._secrets) < CONNECTIONS_LIMIT:
                self._secrets.setdefault(random, {})[label] = bytes.fromhex(match[3].decode())
                found += 1
        self.expected |= found > 0
        return found

    def secrets(self, random: bytes) -> dict[str, bytes] | None:
        """What is known for the connection whose ClientHello had this random: label -> secret."""
        return self._secrets.get(random)

    def lines(self) -> bytes:
        """All keys as lines of an SSLKEYLOGFILE."""
        return b"".join(
            f"{label} {random.hex()} {secret.hex()}\n".encode()
            for random, secrets in self._secrets.items()
            for label, secret in secrets.items()
        )

    def overhear(self, event: Event) -> Event:
        """Look at an event on its way to the sockets: key-log lines are taken from it, and blotted out.

        Returns:
            The event itself in all but those cases.
        """
        if isinstance(event, Fact):
            self.expected |= bool(event.values.get("tls_keys"))
            text = event.values.pop("keylog", None)
            if isinstance(text, str):
                self.add(text.encode())
                event.record.raw = _blotted(event.record.raw)
            return event
        record = event.record
        args = record.args
        if len(args) > LINES_LIMIT or (args.find(b"_TRAFFIC_SECRET") < 0 and args.find(b"CLIENT_RANDOM ") < 0):
            return event
        if not isinstance(event, Transfer) or not _LONG_HEX.search(args):
            return event
        self.add(b"\0".join(known for known, length in event.payload() if len(known) >= length))
        return replace(event, record=replace(record, args=_blotted(args), raw=_blotted(record.raw)))

    def room(self, held: int, more: int) -> bool:
        """May a connection that holds this many bytes back hold more? It adds what it holds to `held`."""
        limit = HELD_MANY if self.expected else HELD_FEW
        return held + more <= limit and self.held + more <= HELD_LIMIT

    def _read_file(self, path: Path) -> None:
        with path.open("rb") as file:
            rest = b""
            for _block in range(FILE_LIMIT >> 20):
                block = rest + file.read(1 << 20)
                if len(block) == len(rest):
                    break
                end = block.rfind(b"\n") + 1
                self.add(block[:end])
                rest = block[end:][-LINES_LIMIT:]
            self.add(rest)


def _blotted(text: bytes) -> bytes:
    """The same length, so that what is said of sizes stays true."""
    return _LONG_HEX.sub(lambda match: b"x" * len(match[0]), text)
