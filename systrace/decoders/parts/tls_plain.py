"""What is inside of a TLS connection, once its keys are known: records are opened one by one, in order, and what they
carry goes to whichever decoder it fits, on the same socket.

Records wait, up to a limit, until the keys have been logged: programs log them while the handshake goes on, and a
recording may bring them late. A record that `-s` cut cannot be opened: it is a gap of its plaintext's length, and the
numbering goes on. Which keys sealed a record is found by trying, current ones first (handshake, application data, after
each KeyUpdate the next): it is authenticated, so that a hole which hid the change of keys does no harm.
"""

from __future__ import annotations

from typing import NamedTuple

from systrace.decoders.conversation import Conversation, Decoding
from systrace.decoders.parts.tls_cipher import Opener, opener
from systrace.decoders.parts.tls_hello import Hello
from systrace.decoders.parts.tls_keys import CLIENT_RANDOM, EARLY, HANDSHAKE, TRAFFIC, KeyLog
from systrace.decoders.parts.tls_secrets import key_block, next_secret, traffic_keys
from systrace.decoders.parts.tls_suites import SUITES, Suite
from systrace.errors import MissingExtraError
from systrace.messages.piece import Piece
from systrace.messages.tls import NO_KEYS
from systrace.model import Message, Socket, Transfer

ALERT, APPLICATION = 21, 23
_LOST = 64  # records that a hole may have hidden whole, headers and all
_HEADER = 5


class Sealed(NamedTuple):
    """One record as it went over the wire."""

    from_client: bool
    header: bytes  # five bytes
    payload: bytes | None  # None: not wholly known
    size: int  # of the payload
    event: Transfer | None  # the call that carried its end


class _Inside(Decoding):
    """The conversation within one TLS connection."""

    def __init__(self, socket: Socket, keylog: KeyLog) -> None:
        super().__init__(keylog)
        self._conversation = self._open[socket.uid] = Conversation(socket)
        self._conversation.datagrams = False
        self._reversed = self._conversation.reversed
        self._out: list[Message] = []

    def carry(self, from_client: bool, piece: Piece) -> None:
        """Plaintext, or a gap in it."""
        turned = self._conversation.reversed != self._reversed
        self._piece(self._conversation, from_client != turned, piece)

    def over(self, from_client: bool, how: str) -> None:
        """That direction ended."""
        self._ended(self._conversation.socket, from_client != self._reversed, how)

    def taken(self) -> list[Message]:
        """The messages since the last time."""
        out, self._out = self._out, []
        return out

    def _keep(self, conversation: Conversation, message: Message) -> None:
        self._out.append(message)


class _Side:
    """The keys of one direction: those in use, and those that may follow."""

    def __init__(self, suite: Suite, secrets: list[bytes]) -> None:
        self.suite = suite
        self.later = secrets  # TLS 1.3: traffic secrets of the stages that have not begun
        self.secret = b""
        self.opener: Opener | None = None
        self.sequence = 0
        self.blind = 0  # records since the last one that could be opened
        self.hidden = 0  # bytes of records that a hole hid, headers and all

    def open(self, sealed: Sealed, payload: bytes) -> bytes | None:
        """The plaintext of the next record, with the type of its content behind it in TLS 1.3."""
        tries = _LOST if self.hidden else 1
        if self.opener is not None:
            plain = self._try(self.opener, sealed, payload, self.sequence, tries)
            if plain is not None:
                return plain
        for index, secret in enumerate(self._following()):
            candidate = opener(self.suite, traffic_keys(secret, self.suite), True)
            plain = self._try(candidate, sealed, payload, 0, self.blind + tries)
            if plain is not None:
                self.opener, self.secret = candidate, secret
                del self.later[: index + 1]
                return plain
        return None

    def _try(self, candidate: Opener, sealed: Sealed, payload: bytes, first: int, tries: int) -> bytes | None:
        for sequence in range(first, first + min(tries, _LOST)):
            plain = candidate.open(sealed.header, payload, sequence)
            if plain is not None:
                if self.hidden:
                    lost = sequence - (self.sequence if candidate is self.opener else 0)
                    self.hidden -= lost * (_HEADER + sealed.size - candidate.plain_size(sealed.size))
                self.sequence, self.blind = sequence + 1, 0
                return plain
        return None

    def _following(self) -> list[bytes]:
        """Secrets that may take over now."""
        if self.later or not self.secret:
            return self.later[:]
        return [next_secret(self.secret, self.suite)]


class Decryption:
    """Opens one connection's records. `reason` says why it does not, while it does not."""

    def __init__(self, socket: Socket, keylog: KeyLog) -> None:
        self._socket = socket
        self._keylog = keylog
        self._client: Hello | None = None
        self._server: Hello | None = None
        self._held: list[Sealed | tuple[bool, int]] = []
        self._weight = 0
        self._sides: tuple[_Side, _Side] | None = None
        self._inside: _Inside | None = None
        self._over = False  # nothing will be opened any more
        self.opened = [0, 0]  # records of the server, of the client
        self.alerts: list[
            tuple[bool, bytes, Transfer | None]
        ] = []  # for the caller to take; b"" where one stays sealed
        self.reason = NO_KEYS

    @property
    def live(self) -> bool:
        """Whole records are wanted."""
        return self._server is not None and not self._over

    def hello(self, hello: Hello) -> None:
        """Both hellos are needed: their random numbers, the version, the cipher suite."""
        if hello.client:
            self._client = hello
        elif not hello.retry and self._client is not None and self._server is None:
            self._server = hello
            version = hello.versions[:1]
            if not self._client.random or not hello.random or hello.cipher is None:
                self._give_up("the hellos are not wholly known")
            elif hello.cipher not in SUITES or version not in (("1.3",), ("1.2",)):
                self._give_up(f"TLS {''.join(version)} with cipher suite {hello.cipher:#06x} is not supported")

    def record(self, sealed: Sealed) -> list[Message]:
        """The next record of either direction."""
        return self._next(sealed, sealed.size + _HEADER)

    def skipped(self, from_client: bool, size: int) -> list[Message]:
        """A hole hid whole records with their headers: `size` bytes on the wire."""
        return self._next((from_client, size), 0)

    def end(self, from_client: bool, how: str) -> list[Message]:
        """That direction ended: what waits for keys is opened with what there is of them, or given up."""
        if self.live and self._sides is None and not self._begin(final=True):
            self._give_up(self._keylog.missing or NO_KEYS)
        if self._inside is not None:
            self._inside.over(from_client, how)
        return self._taken()

    # ---------------------------------------------------------------------------------------------------------- keys

    def _next(self, item: Sealed | tuple[bool, int], weight: int) -> list[Message]:
        if not self.live:
            return []
        if self._sides is None and not self._begin(final=False):
            if not self._keylog.room(self._weight, weight):
                self._held.append(item)
                self._give_up(self._keylog.missing or NO_KEYS)
                return []
            self._held.append(item)
            self._weight += weight
            self._keylog.held += weight
            return []
        self._open(item)
        return self._taken()

    def _begin(self, final: bool) -> bool:
        """Are the keys there? Then what waited is opened."""
        assert self._client is not None
        secrets = self._keylog.secrets(self._client.random)
        if secrets is None or self._keylog.missing:
            return False
        try:
            self._sides = self._keyed(secrets, final)
        except MissingExtraError as error:
            self._keylog.missing = str(error)
        if self._sides is None:
            return False
        self.reason = ""
        self._inside = _Inside(self._socket, self._keylog)
        held, self._held = self._held, []
        self._release()
        for item in held:
            self._open(item)
        return True

    def _keyed(self, secrets: dict[str, bytes], final: bool) -> tuple[_Side, _Side] | None:
        client, server = self._client, self._server
        assert client is not None
        assert server is not None
        suite = SUITES[server.cipher or 0]
        if server.versions[:1] == ("1.3",):
            labels = [(HANDSHAKE[0], TRAFFIC[0]), (EARLY, HANDSHAKE[1], TRAFFIC[1])]
            if not final and any(label not in secrets for label in (*HANDSHAKE, *TRAFFIC)):
                return None
            ours, theirs = ([secrets[label] for label in each if label in secrets] for each in labels)
            opener(suite, traffic_keys(b"\0" * 32, suite), True)  # is the package there?
            return _Side(suite, ours), _Side(suite, theirs)
        if CLIENT_RANDOM not in secrets:
            return None
        sides = _Side(suite, []), _Side(suite, [])
        for side, keys in zip(
            sides, key_block(secrets[CLIENT_RANDOM], client.random, server.random, suite), strict=True
        ):
            side.opener = opener(suite, keys, False, server.encrypt_then_mac)
        return sides

    def _give_up(self, reason: str) -> None:
        self.reason = reason
        self._over = True
        self.alerts += [
            (each.from_client, b"", each.event)
            for each in self._held
            if isinstance(each, Sealed) and each.header[0] == ALERT
        ]
        self._held = []
        self._release()

    def _release(self) -> None:
        self._keylog.held -= self._weight
        self._weight = 0

    # ------------------------------------------------------------------------------------------------------- opening

    def _open(self, item: Sealed | tuple[bool, int]) -> None:
        assert self._sides is not None
        side = self._sides[item[0]]
        if not isinstance(item, Sealed):
            side.hidden += item[1]
            return
        plain = None if item.payload is None else side.open(item, item.payload)
        if plain is None:
            self._gap(side, item)
            return
        if side.hidden:
            self._carry(item, b"", max(0, side.hidden))
            side.hidden = 0
        self.opened[item.from_client] += 1
        kind = item.header[0]
        if self._server is not None and self._server.versions[:1] == ("1.3",):
            plain = plain.rstrip(b"\0")
            kind, plain = (plain[-1], plain[:-1]) if plain else (0, b"")
        if kind == APPLICATION and plain:
            self._carry(item, plain, 0)
        elif kind == ALERT:
            self.alerts.append((item.from_client, plain, item.event))

    def _gap(self, side: _Side, item: Sealed) -> None:
        """A record that cannot be opened still has its number, and its length."""
        side.sequence += 1
        side.blind += 1
        if item.header[0] == ALERT:
            self.alerts.append((item.from_client, b"", item.event))
        if item.header[0] == APPLICATION and side.opener is not None and not side.later:
            self._carry(item, b"", side.opener.plain_size(item.size))

    def _carry(self, item: Sealed, plain: bytes, missing: int) -> None:
        if self._inside is not None and item.event is not None and (plain or missing):
            self._inside.carry(item.from_client, Piece(plain, missing, item.event))

    def _taken(self) -> list[Message]:
        return self._inside.taken() if self._inside is not None else []
