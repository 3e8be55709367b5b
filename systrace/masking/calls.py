"""The secrets in the arguments of calls, one call after the other: for `events`, `--live` and `redact`."""

from __future__ import annotations

import re

from systrace.masking.fields import ANY_WORD, Spans
from systrace.masking.masks import Masks
from systrace.masking.traced import Place, apart, argv_places, escaped_places, string_places
from systrace.model import Record

_EXECUTES = ("execve", "execveat")
_MOST_TAILS = 1024
_TAIL = 600  # bytes
# A login whose next step, or a field whose value, is in the next call.
_OPEN = re.compile(
    rb"(?i)(?:^|\n)(?:\w{1,16} )?AUTH(?:ENTICATE)? [\w-]{3,20}[^\r\n]{0,200}\r?\n(?:[A-Za-z0-9+/=]{4,300}\r?\n)?\Z"
    rb"|(?:pass|pwd|secret|token|key|auth|cookie)[\w-]{0,20}[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:basic |bearer )?\Z"
    rb"|\A\x05[\x01-\x05][\x00-\x05]{1,5}\Z"
)
# A header, a JSON string or a request's first line that is not at its end: the next call goes on with it.
_CUT = re.compile(
    rb"(?:\A|\n)[\w-]{1,64}:[ \t][^\r\n]{0,%d}\Z|[\"'][\w-]{1,64}[\"']\s{0,4}:\s{0,4}\"[^\"\r\n]{0,%d}\Z"
    rb"|\A[A-Z]{3,7} [^\s]{0,%d}\Z" % (_TAIL, _TAIL, _TAIL)
)
_SPELLED = re.compile(rb"\\x[2-7][0-9a-f]")  # strace -x, -xx: letters, too
_MAYBE_OPEN = (b"AUTH", b"auth", b"\\5", b"x05", b':"', b'="', b': "', b'r "', b'c "')
# What a binary login looks like with strace's escapes; only then the strings are read.
_BINARY = re.compile(
    rb"\\2\\1\\[23]\\|\\x02\\x01\\x0[23]\\|MQTT|MQIsdp|(?:\\0){20}|(?:\\x00){20}|p\\0\\0|p\\x00\\x00"
    rb"|\\(?:0{1,3}|x00)[^\\\"]{1,100}\\(?:0{1,3}|x00)[^\\\"]{2,200}"
    rb"|\"(?:\\(?:00)?[15]|\\x0[15])\\|\"[^\"]{1,9}\\0\\(?:00)?[35][^\\\"]{3,200}\\0\"|\\2(?:p|secret|token)"
)

_LIKELY = (*ANY_WORD, b"://")  # of a URL with a password the next call may have the rest


class CallMasks:
    """Masks the calls of a log in order: what one call begins, the next one of its descriptor may go on with."""

    def __init__(self, masks: Masks) -> None:
        self.masks = masks
        self._tails: dict[tuple[int, bytes, str], bytes] = {}

    def args(self, record: Record) -> bytes:
        """The arguments as they may be shown."""
        places = self.places(record)
        return self.masks.put(record.args, places) if places else record.args

    def places(self, record: Record) -> list[Place]:
        """Where secrets are in the arguments."""
        args = record.args
        if self.masks.shown or b'"' not in args:
            return []
        if record.syscall in _EXECUTES:
            return self._noted(apart(list(argv_places(args))))
        key = (record.tid, args[: args.find(b",")], record.syscall)
        before = self._tails.pop(key, b"") if self._tails else b""
        low = args.lower()
        spelled = b"\\x" in args and _SPELLED.search(args) is not None
        likely = before or spelled or any(word in low for word in _LIKELY)
        if likely or (b"\\" in args and _BINARY.search(args) is not None):
            found = list(string_places(args, self.masks.spans) if not before else self._after(before, args))
            if before or spelled or found or any(sign in args for sign in _MAYBE_OPEN):
                self._keep(key, before, args, found)
            return self._noted(found)
        return list(string_places(args, self.masks.known)) if self.masks.any_known else []

    def _noted(self, places: list[Place]) -> list[Place]:
        for _start, _end, secret in places:
            self.masks.note(secret)
        return places

    def _after(self, before: bytes, args: bytes) -> list[Place]:
        """The first string is read as the rest of what its descriptor's last call began."""
        start = args.index(b'"') + 1
        size = len(before)

        def find(data: bytes) -> Spans:
            spans = self.masks.spans(before + data)
            return [(max(low - size, 0), high - size) for low, high in spans if high > size]

        first = next(iter(string_places(args, lambda data: [(0, len(data))])), None)
        end = first[1] if first is not None and first[0] == start else start
        places = list(escaped_places(args, start, end, find))
        return places + [p for p in string_places(args, self.masks.spans) if p[0] > end]

    def _keep(self, key: tuple[int, bytes, str], before: bytes, args: bytes, found: list[Place]) -> None:
        first = next(iter(string_places(args, lambda data: [(0, len(data))])), None)
        if first is None or args.startswith(b'"...', first[1]):  # what -s has cut off is in no call
            return
        tail = (before + first[2])[-_TAIL:]
        to_the_end = any(end == first[1] for _start, end, _secret in found)
        if _OPEN.search(tail) is not None or (to_the_end and _CUT.search(tail) is not None):
            if len(self._tails) >= _MOST_TAILS:
                self._tails.clear()
            self._tails[key] = tail
