"""What stands in the place of secrets: a mask of equal length, the same for the same secret of a report.

A secret that was seen once is masked wherever it appears: in what the other side repeats of it, in a second field, decoded
from base64 (RFC 7617, RFC 4616) or escaped for a URL.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import unquote_to_bytes

from systrace.masking.argv import argument_spans, command_line_spans, is_no_command
from systrace.masking.fields import Spans, any_of, is_innocent, secret_spans, united, whole_span, within
from systrace.masking.traced import Place, apart, argv_places, escaped_places, string_places

_LEAST = 5  # bytes: of shorter secrets only the field is masked
_MOST_BYTES = 32 << 10  # of the secrets whose value is looked for elsewhere
_PATIENCE = 32  # new ones
_BRANCHINGS = 3
_LONGEST = 1024
_CACHED = 4096
_WORDS = frozenset(  # in use as passwords, and too common as words to be looked for elsewhere
    b"admin basic bearer default false guest localhost login mysql null password postgres public redis secret token true"
    b" user".split()
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{6,1000}={0,2}")
_SCHEME = re.compile(rb"(?i)(?:basic|bearer|token|negotiate|digest) +(\S+)")
_PIECE = re.compile(rb"(?:^|[;,&\s])\s*([\w.-]{1,64})=\"?([^;,&\s\"]{8,})")
_ATTRIBUTES = frozenset(
    (b"domain", b"path", b"expires", b"max-age", b"samesite", b"realm", b"uri", b"algorithm", b"version")
)
Mask = Callable[[bytes], bytes]
_ABRIDGED = b" ... "  # as the parser leaves out the middle of a long line


class Masks:
    """The secrets of one report. `shown`: nothing is masked."""

    def __init__(self, shown: bool = False) -> None:
        self.shown = shown
        self._numbers: dict[bytes, int] = {}
        self._elsewhere: dict[bytes, None] = {}
        self._pattern: re.Pattern[bytes] | None = None
        self._new: list[bytes] = []  # not in the pattern yet
        self._room = _MOST_BYTES
        self._texts: dict[str, str] = {}

    # ------------------------------------------------------------------------------------------------------------ masks

    def mask(self, secret: bytes) -> bytes:
        """As long as the secret; a number stays one, so that JSON stays JSON.

        >>> masks = Masks()
        >>> [masks.mask(s) for s in (b"hunter2hunter2", b"abc", b"12345", b"hunter2hunter2")]
        [b'*secret-1*****', b'*2*', b'99993', b'*secret-1*****']
        """
        number = self._numbers.get(secret)
        if number is None:
            number = self._numbers[secret] = len(self._numbers) + 1
        size, digits = len(secret), b"%d" % number
        if secret.isdigit():
            return (digits if len(digits) < size else b"").rjust(size, b"9")
        for name in (b"*secret-" + digits, b"*" + digits):
            if len(name) < size:
                return name.ljust(size, b"*")
        return b"*" * size

    def data(self, data: bytes, spans: Spans | None = None) -> bytes:
        """Bytes with a mask in the place of each secret."""
        if self.shown:
            return data
        found = self.spans(data) if spans is None else spans
        return _spliced(data, [(start, end, data[start:end]) for start, end in found], self.mask) if found else data

    def part(self, data: bytes, spans: Spans, start: int, end: int) -> bytes:
        """A part of bytes whose secrets are known; of one that goes on beyond it, a part of its mask."""
        out: list[bytes] = []
        at = start
        for low, high in within(spans, start, end):
            low, high = low + start, high + start
            first, last = whole_span(spans, low)
            out += (data[at:low], self.mask(data[first:last])[low - first : high - first])
            at = high
        return b"".join((*out, data[at:end])) if out else data[start:end]

    def line(self, text: bytes, argv: bool = False) -> bytes:
        """A line of strace, its arguments, or any other text, with its own escapes."""
        if self.shown:
            return text
        places = self.places(text, argv)
        return _spliced(text, places, self.mask) if places else text

    def put(self, text: bytes, places: Sequence[Place]) -> bytes:
        """Text with masks in these places."""
        return _spliced(text, places, self.mask)

    def text(self, text: str) -> str:
        """A sentence, a command, a line of evidence."""
        if self.shown or len(text) < 3:
            return text
        known = self._texts.get(text)
        if known is None:
            if len(self._texts) >= _CACHED:
                self._texts.clear()
            raw = text.encode("utf-8", "surrogatepass")
            masked = self.line(raw)
            known = self._texts[text] = text if masked is raw else masked.decode("utf-8", "backslashreplace")
        return known

    def words(self, argv: Sequence[str]) -> list[str]:
        """The arguments of a program."""
        if self.shown:
            return list(argv)
        raw = [word.encode("utf-8", "surrogatepass") for word in argv]
        out: list[str] = []
        for word, text, spans in zip(raw, argv, argument_spans(raw), strict=True):
            found = united([*spans, *self.known(word)])
            out.append(self.data(word, found).decode("utf-8", "backslashreplace") if found else text)
        return out

    # ----------------------------------------------------------------------------------------------------------- places

    def spans(self, data: bytes) -> Spans:
        """Where secrets are in bytes: by their field, and those that are known."""
        if self.shown:
            return []
        known = self.known(data)
        found = secret_spans(data)
        return united([*found, *known]) if known else found

    def places(self, text: bytes, argv: bool = False) -> list[Place]:
        """Where secrets are in a line of strace, or in other text."""
        if not (self._new or self._elsewhere) and is_innocent(text) and is_no_command(text) and b'"' not in text:
            return []
        places = [(start, end, text[start:end]) for start, end in self.spans(text)]
        if b" -" in text or b"=" in text:
            places += [(start, end, text[start:end]) for start, end in command_line_spans(text)]
        if b'"' in text:
            places += string_places(text, self.spans)
            if argv or b'["' in text:
                places += argv_places(text)
            if (cut := text.find(_ABRIDGED)) > 0:  # what follows begins within a string
                quote = text.find(b'"', cut)
                places += escaped_places(text, cut + len(_ABRIDGED), quote if quote > 0 else len(text), self.spans)
        return apart(places) if places else places

    # ---------------------------------------------------------------------------------------------------------- learning

    def learn(self, data: bytes) -> None:
        """Note the secrets in bytes that went over a connection."""
        if not self.shown:
            for start, end in secret_spans(data):
                self.note(data[start:end])

    def learn_argv(self, argv: Iterable[str]) -> None:
        """Note those in arguments."""
        raw = [word.encode("utf-8", "surrogatepass") for word in argv]
        if not self.shown:
            for word, spans in zip(raw, argument_spans(raw), strict=True):
                for start, end in spans:
                    self.note(word[start:end])

    def note(self, secret: bytes) -> None:
        """A secret, by its value: it is masked wherever it stands from now on."""
        for value in (secret, *_within(secret)):
            fits = _LEAST <= len(value) <= _LONGEST and value.lower() not in _WORDS
            if fits and value not in self._elsewhere and len(value) <= self._room:
                self._room -= len(value)
                self._elsewhere[value] = None
                self._new.append(value)
                self._texts.clear()

    @property
    def count(self) -> int:
        """How many secrets have a mask."""
        return len(self._numbers)

    @property
    def any_known(self) -> bool:
        """Whether a secret was seen."""
        return bool(self._elsewhere)

    def settle(self) -> None:
        """All secrets are known, as far as can be told: they are looked for at once from now on."""
        if self._new:
            self._pattern = _pattern_of(self._elsewhere)
            self._new.clear()

    def known(self, data: bytes) -> Spans:
        """Where secrets are that were seen before. New ones are looked for one by one until a pattern is worth its making."""
        if len(self._new) > _PATIENCE + len(self._elsewhere) // 3:
            self.settle()
        found = [match.span() for match in self._pattern.finditer(data)] if self._pattern is not None else []
        for value in self._new:
            if value in data:
                found += [match.span() for match in _pattern_of((value,)).finditer(data)]
        return found


def _within(secret: bytes) -> list[bytes]:
    """What a secret consists of, and its other spellings."""
    values = [match[2] for match in _PIECE.finditer(secret[:_LONGEST]) if match[1].lower() not in _ATTRIBUTES]
    values.append(secret.strip(b" \t\r\n\"'"))
    if (scheme := _SCHEME.fullmatch(secret)) is not None:
        values.append(scheme[1])
    if b"%" in secret:
        values.append(unquote_to_bytes(secret))
    for value in (secret, *values[:8]):
        if _BASE64.fullmatch(value) is not None:
            try:
                plain = binascii.a2b_base64(value + b"==")
            except binascii.Error:
                continue
            if plain.isascii() and plain.replace(b"\0", b":").decode().isprintable():
                password = re.split(rb"[:\0]", plain)[-1]
                values += [password, plain.partition(b":")[2]]
    return values


def _pattern_of(values: Iterable[bytes]) -> re.Pattern[bytes]:
    return re.compile(rb"(?<![A-Za-z0-9])(?:%s)(?![A-Za-z0-9])" % any_of(values, _BRANCHINGS))


def _spliced(text: bytes, places: Sequence[Place], mask: Mask) -> bytes:
    out: list[bytes] = []
    at = 0
    for start, end, secret in places:
        out += (text[at:start], mask(secret))
        at = end
    return b"".join((*out, text[at:]))
