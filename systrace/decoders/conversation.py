"""The stage's entry: bytes of all sockets, as the trace streams by, to messages.

Each socket is one conversation. It is undecided until what its sides said fits a decoder; then every call goes to
that decoder. When the other side's first bytes do not fit, that is a `Mismatch`, and each side gets a decoder of its
own. A decoder that hands over (STARTTLS, CONNECT, 101) makes the conversation undecided again.

Memory is bounded: see the constants here and in `keeping`; what is not kept is counted in `Socket.dropped_messages`.
"""

from __future__ import annotations

from collections import Counter

from systrace.decoders import Decoder, Keyed, direction, times
from systrace.decoders.buffer import span
from systrace.decoders.choosing import DEAF, HEAD_BYTES, SURE, Deaf, alone, choose, fits
from systrace.decoders.keeping import Shelf, Store
from systrace.decoders.parts.tls_keys import KeyLog
from systrace.messages.mismatch import Mismatch
from systrace.messages.piece import Piece
from systrace.messages.sniffing import sniff
from systrace.model import Message, Sent, Socket, Transfer

PATIENCE_CALLS = 64  # calls after which an undecided conversation is given up
PATIENCE_BYTES = 64 << 10
PROBES = 1000  # turns of a given-up conversation whose first bytes are still looked at (attached in mid-stream)
ENOUGH = 5  # bytes of an answer that settle whether it fits: OpenSSL reads no more before it gives up

Item = tuple[bool, Piece | None, str]  # from the client?, the bytes, or None and how that side ended


class Conversation:
    """One socket's state in this stage."""

    __slots__ = (
        "datagrams",
        "decoders",
        "ended",
        "first",
        "given_up",
        "heads",
        "holes",
        "last_side",
        "pending",
        "pending_bytes",
        "protocol",
        "reversed",
        "shelf",
        "socket",
        "unchecked",
    )

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.reversed = socket.role == "server"  # what we send is the server's
        self.datagrams = socket.type == "dgram"
        self.ended: frozenset[bool] = frozenset()
        self.shelf = Shelf(socket)
        self.restart()

    def restart(self) -> None:
        """Nothing is known about what is spoken from here on."""
        self.decoders: list[Decoder | Deaf | None] = [None, None]  # of the server's bytes, of the client's
        self.protocol: type[Decoder] | None = None
        self.pending: list[Item] = []
        self.pending_bytes = 0
        self.heads = [b"", b""]  # first known bytes of the server, of the client
        self.holes = [False, False]  # nothing can be added to that head any more
        self.first: bool | None = None  # the client spoke first
        self.unchecked = False  # the other side's first bytes have not been compared yet
        self.given_up = 0  # probes made since
        self.last_side: bool | None = None

    def hold(self, from_client: bool, piece: Piece) -> None:
        """Keep a call until it is decided whose it is."""
        self.pending.append((from_client, piece, ""))
        self.pending_bytes += piece.size
        if self.first is None:
            self.first = from_client
        if not self.holes[from_client]:
            self.heads[from_client] = (self.heads[from_client] + piece.data)[:HEAD_BYTES]
            self.holes[from_client] = piece.missing > 0 or len(self.heads[from_client]) >= HEAD_BYTES

    @property
    def may_wait(self) -> bool:
        """Little enough is held: more bytes may tell who speaks what."""
        return len(self.pending) < PATIENCE_CALLS and self.pending_bytes < PATIENCE_BYTES

    def reverse(self) -> None:
        """The trace did not show who connected; the content did: what we send is the server's."""
        self.reversed = not self.reversed
        self.heads.reverse()
        self.holes.reverse()
        self.pending = [(not side, piece, how) for side, piece, how in self.pending]
        self.ended = frozenset(not side for side in self.ended)
        self.first = not self.first

    def alone(self, client: bool) -> type[Decoder] | None:
        """The protocol that the first bytes of one side are sure to be, whatever the other one says."""
        server_head, client_head = self.heads
        return alone(client_head, b"", self.socket) if client else alone(b"", server_head, self.socket)


class Decoding:
    """Feeds every socket's bytes to the decoder that they fit; gathers the messages."""

    def __init__(self, keylog: KeyLog | None = None) -> None:
        self._keylog = keylog
        self._open: dict[str, Conversation] = {}
        self._store = Store()
        self.failures: Counter[str] = Counter()  # decoder -> conversations given up because it raised

    def moved(self, socket: Socket, event: Transfer) -> None:
        """A call moved bytes: after each successful Sent or Received with size > 0. Peeked data does not count."""
        if event.flags and b"MSG_PEEK" in event.flags:
            return
        conversation = self._open.get(socket.uid)
        if conversation is None:
            if socket.kind == "pipe":
                return
            conversation = self._open[socket.uid] = Conversation(socket)
        from_client = (type(event) is Sent) != conversation.reversed
        if conversation.datagrams:
            for known, length in event.payload():
                self._piece(conversation, from_client, Piece(known[:length], max(0, length - len(known)), event))
            return
        decoder = conversation.decoders[from_client]
        if decoder is None or conversation.unchecked:
            self._piece(conversation, from_client, Piece.of(event))
            return
        try:  # what `_run` does, without its cost
            for message in decoder.feed(from_client, Piece.of(event)):
                self._keep(conversation, message)
            if decoder.handed_over:
                self._hand_over(conversation, decoder)
        except Exception:  # noqa: BLE001 - a faulty plug-in must not end the analysis
            self._failed(conversation, decoder)

    def ended(self, socket: Socket, sent: bool, how: str) -> None:
        """One direction of a socket ended: "eof", "reset", "closed" (by the traced side), "unfinished".

        When the traced side has closed the socket itself, nothing can be received any more either.
        """
        self._ended(socket, sent, how)
        if sent and how == "closed" and socket.closed_by:
            self._ended(socket, False, how)

    def _ended(self, socket: Socket, sent: bool, how: str) -> None:
        conversation = self._open.get(socket.uid)
        if conversation is None or (from_client := sent != conversation.reversed) in conversation.ended:
            return
        conversation.ended |= {from_client}
        if conversation.decoders[from_client] is None or conversation.unchecked:
            conversation.pending.append((from_client, None, how))
            if len(conversation.ended) == 2 or conversation.unchecked:
                self._decide(conversation, final=True)
        else:
            self._run(conversation, from_client, None, how)
        if len(conversation.ended) == 2:
            if conversation.protocol is None and conversation.pending:  # handed over by the last bytes
                self._decide(conversation, final=True)
            del self._open[socket.uid]

    def forgotten(self, socket: Socket) -> None:
        """Nobody will ask for this socket any more: it ended well, and there are too many."""
        self._store.forget(socket)

    def finish(self) -> list[Message]:
        """The log ends: messages under way come out incomplete. Returns all kept messages in order of their start."""
        for conversation in list(self._open.values()):
            for sent in (True, False):
                self.ended(conversation.socket, sent, "unfinished")
        return self._store.in_order()

    # ------------------------------------------------------------------------------------------------------ deciding

    def _piece(self, conversation: Conversation, from_client: bool, piece: Piece) -> None:
        if not conversation.unchecked and conversation.decoders[from_client] is not None:
            self._run(conversation, from_client, piece, "")
        elif conversation.given_up:
            self._probe(conversation, from_client, piece)
        else:
            conversation.hold(from_client, piece)
            self._decide(conversation, final=False)

    def _decide(self, conversation: Conversation, final: bool) -> None:
        """Find the decoder for what is held, if it can be told already, and feed it."""
        if conversation.protocol is not None:
            self._check(conversation, final)
            return
        calls = len(conversation.pending)
        if final or calls <= 4 or not calls & (calls - 1):  # after so many calls more seldom: at powers of two
            self._choose(conversation, patient=not final and conversation.may_wait)

    def _choose(self, conversation: Conversation, patient: bool) -> None:
        """By what both sides said; else by the one that spoke first, when nothing fits them both."""
        server, client = conversation.heads
        chosen = choose(client, server, conversation.socket, SURE if patient else None)
        if chosen is None and conversation.socket.role not in ("client", "server"):
            chosen = choose(server, client, conversation.socket, SURE if patient else None)
            if chosen is not None:
                conversation.reverse()
        if chosen is not None:
            self._settle(conversation, chosen)
        elif client and server and (spoken := conversation.alone(bool(conversation.first))) is not None:
            if not patient or conversation.alone(not conversation.first) is not None:
                self._settle(conversation, spoken)
                self._check(conversation, final=True)
        elif not self._catch_up(conversation) and not patient:
            conversation.pending.clear()
            conversation.given_up = 1

    def _catch_up(self, conversation: Conversation) -> bool:
        """Does the newest call begin a message, so that the trace began in mid-stream?"""
        if len(conversation.pending) < 2 or conversation.datagrams:
            return False
        from_client, piece, _ = conversation.pending[-1]
        if piece is None:
            return False
        head = piece.data[:HEAD_BYTES]
        chosen = choose(head, b"", None, SURE) if from_client else choose(b"", head, None, SURE)
        if chosen is None:
            return False
        conversation.restart()
        conversation.hold(from_client, piece)
        self._settle(conversation, chosen)
        return True

    def _probe(self, conversation: Conversation, from_client: bool, piece: Piece) -> None:
        """A given-up conversation: look at the first bytes of its turns only."""
        turned, conversation.last_side = conversation.last_side is not from_client, from_client
        if turned and conversation.given_up < PROBES:
            conversation.given_up += 1
            conversation.pending = [(from_client, None, ""), (from_client, piece, "")]
            if not self._catch_up(conversation):
                conversation.pending = []

    def _settle(self, conversation: Conversation, chosen: type[Decoder]) -> None:
        """The conversation is this protocol's, as far as the sides that have spoken tell."""
        conversation.protocol = chosen
        conversation.socket.app_protocol = chosen.name
        decoder = chosen(conversation.socket)
        if self._keylog is not None and isinstance(decoder, Keyed):
            decoder.use(self._keylog)
        conversation.decoders = [decoder, decoder]
        server, client = conversation.heads
        conversation.unchecked = not conversation.datagrams and not (client and server and fits(chosen, client, server))
        if conversation.unchecked:
            held = [item for item in conversation.pending if item[0] != conversation.first]
            conversation.pending, now = held, [i for i in conversation.pending if i[0] == conversation.first]
            self._replay(conversation, now)
            if conversation.pending:
                self._check(conversation, final=False)
        else:
            now, conversation.pending = conversation.pending, []
            self._replay(conversation, now)

    def _check(self, conversation: Conversation, final: bool) -> None:
        """The side that answers has spoken: does it fit the side that spoke first?"""
        first, chosen = bool(conversation.first), conversation.protocol
        items, conversation.pending = conversation.pending, []
        answer = conversation.heads[not first]
        ours = items[-1][0] == first if items else False  # the first speaker goes on, or ends
        short = len(answer) < ENOUGH and not conversation.holes[not first]
        if chosen is None or not conversation.unchecked:
            self._replay(conversation, items)
            return
        if short and not final and not (ours and answer):
            if ours:
                self._replay(conversation, items)
            else:
                conversation.pending = items
            return
        if answer or (conversation.holes[not first] and not final):
            conversation.unchecked = False
            server, client = conversation.heads
            if answer and not fits(chosen, client, server):
                self._mismatch(conversation, chosen, items)
        self._replay(conversation, items)

    def _mismatch(self, conversation: Conversation, chosen: type[Decoder], items: list[Item]) -> None:
        """The answer is not what was asked for: say so, and decode that side by itself."""
        first = bool(conversation.first)
        answer = conversation.heads[not first]
        other = conversation.alone(not first)
        answered = other.name if other is not None else sniff(answer)
        carried = [piece.event for side, piece, _ in items if piece is not None and side != first]
        begin, end = (carried[0], carried[-1]) if carried else (None, None)
        start_ns, end_ns = times(begin, end)
        socket = conversation.socket
        who, whom = ("client", "server") if first else ("server", "client")
        self._keep(
            conversation,
            Mismatch(
                protocol=chosen.name,
                socket=socket.uid,
                direction=direction(socket, not first),
                start_ns=start_ns,
                end_ns=end_ns,
                summary=f"{who} speaks {chosen.name}, {whom} {answered}",
                complete=True,
                events=span(begin, end),
                spoken=chosen.name,
                spoken_by_client=first,
                answered=answered,
                sample=answer[:64],
            ),
        )
        conversation.decoders[not first] = other(socket) if other is not None else DEAF

    # ------------------------------------------------------------------------------------------------------- feeding

    def _replay(self, conversation: Conversation, items: list[Item]) -> None:
        for index, (from_client, piece, how) in enumerate(items):
            if conversation.protocol is None:  # handed over on the way
                self._restarted(conversation, items[index:])
                return
            self._run(conversation, from_client, piece, how)

    def _restarted(self, conversation: Conversation, items: list[Item]) -> None:
        """What was held when the decoder handed over belongs to the protocol that follows."""
        for from_client, piece, how in items:
            if piece is None:
                conversation.pending.append((from_client, None, how))
            else:
                self._piece(conversation, from_client, piece)

    def _run(self, conversation: Conversation, from_client: bool, piece: Piece | None, how: str) -> None:
        decoder = conversation.decoders[from_client]
        if decoder is None:
            return
        try:
            for message in decoder.end(from_client, how) if piece is None else decoder.feed(from_client, piece):
                self._keep(conversation, message)
            if decoder.handed_over:
                self._hand_over(conversation, decoder)
        except Exception:  # noqa: BLE001 - a faulty plug-in must not end the analysis
            self._failed(conversation, decoder)

    def _failed(self, conversation: Conversation, decoder: Decoder | Deaf) -> None:
        """A decoder raised: count it and listen to this conversation no more."""
        self.failures[decoder.name] += 1
        conversation.decoders = [DEAF, DEAF]
        conversation.unchecked = False

    def _hand_over(self, conversation: Conversation, decoder: Decoder | Deaf) -> None:
        """What follows is another protocol: begin again with what the decoder left over."""
        held = conversation.pending
        conversation.restart()
        left: list[Item] = [(from_client, piece, "") for from_client, piece in decoder.leftover()]
        self._restarted(conversation, left + held)

    def _keep(self, conversation: Conversation, message: Message) -> None:
        self._store.add(conversation.shelf, message)
