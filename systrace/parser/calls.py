"""Splitting one call's text: where the arguments end, and what the result says (strace-format grammar 2.1, 2.2)."""

from __future__ import annotations

import re
from errno import errorcode

from systrace.annotations import NOTE
from systrace.calls import AT_ONCE, CHILDREN, EPOLLS, INCOMING
from systrace.calls.errnos import UNKNOWN
from systrace.model import ENDED, RESTARTED, RETURNED, UNFINISHED

# value, annotation, errno name, rest, -T seconds, fraction. Applied to text without trailing white space.
_RESULT = re.compile(
    rb"(0x[0-9a-f]{1,20}|-?\d{1,20}|\?)(?:<(.*?)>(?= |\Z))?"
    rb"(?: +([A-Z][A-Z0-9_]{2,40}|\(errno \d{1,6}\))(?= |\Z))?(.*?)(?: <(\d{1,9})(?:\.(\d{1,9}))?>)?\Z",
    re.DOTALL,
)
_LOOSE_END = re.compile(rb"\)\s{0,400}= +(?=-?\d|0x|\?)")
_SPECIAL = re.compile(rb'["(){}\[\]<>]|/\*')
_STRING_END = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_CUT_ERRNO = re.compile(rb"(?:E[A-Z0-9]*)?\Z")
_CUT_AT_ERRNO = re.compile(rb"\)\s*=\s+-1(?:\s+(E[A-Z0-9]*))?\Z")
_LONGEST_ERROR = 500  # bytes of `) = -1 ENAME`, with the spaces that line up its results
_NAMES = frozenset(errorcode.values())
_CACHED, _CACHED_LENGTH = 4096, 160
Result = tuple[int | None, str | None, str, bytes, bool]  # value, errno, outcome, text behind it, nothing but a number
_DESCRIPTOR = re.compile(rb"(\d{1,9})(</[^<> ]*>)\Z")  # of a file: each is another one
known_results: dict[bytes, Result] = {}
_TIMED = re.compile(rb" <(\d{1,9})(?:\.(\d{1,9}))?>\Z")
_LONGEST_TIME = 24  # bytes
NANO = (10**9, 10**8, 10**7, 10**6, 10**5, 10**4, 1000, 100, 10, 1)  # by number of fraction digits


def nanoseconds(seconds: bytes, fraction: bytes | None) -> int:
    """`12`, `000123` -> 12000123000; the fraction has 0 to 9 digits."""
    whole = int(seconds) * 10**9
    return whole + int(fraction) * NANO[len(fraction)] if fraction else whole


def parse_result(text: bytes) -> tuple[int | None, str | None, str, int | None, bytes] | None:
    """(return value, errno, outcome, duration_ns, annotation and trailing text) of what follows `= `, or None.

    The annotation of a returned descriptor comes first in the text, in its angle brackets.
    """
    match = _RESULT.match(text)
    if match is None:
        return None
    value, note, errno, rest, seconds, fraction = match.groups()
    if rest and not rest.startswith((b" ", b"\t")):
        return None
    if value == b"-1" and seconds is None and _CUT_ERRNO.match(errno or rest.strip()) and not (errno and rest):
        return None  # strace says in words what the error means: somebody cut or broke the line
    duration = nanoseconds(seconds, fraction) if seconds is not None else None
    retval = None if value == b"?" else int(value, 16) if value[:2] == b"0x" else int(value)
    name = None
    outcome = RETURNED
    if errno is not None:
        name = errno.decode() if errno[:1] != b"(" else "errno " + errno[7:-1].decode()
        if name.startswith("ERESTART"):
            outcome = RESTARTED
        elif retval != -1:
            name = None  # flags and other words after a value: "0x2 O_RDWR"
            rest = b" " + errno + rest
    elif value == b"?":
        outcome = ENDED if rest == b" (not seen)" else UNFINISHED  # the embedded tracer's: it goes on
    elif value == b"-1" and not rest:
        name = UNKNOWN
    if note is not None:
        rest = b"<" + note + b">" + rest
    return retval, name, outcome, duration, rest


def timed_result(text: bytes) -> tuple[bytes, int | None]:
    """What follows `= `, parted into the result and the duration in ns that -T has put behind it."""
    text = text.rstrip()
    match = _TIMED.search(text, max(0, len(text) - _LONGEST_TIME))
    if match is None:
        return text, None
    return text[: match.start()], nanoseconds(match[1], match[2])


def known_result(head: bytes) -> Result | None:
    """A result without its duration, read once: the same few come again and again. None when it is none.

    `head` has no trailing white space. What ends in ` ...>` is no result but a call cut short.
    """
    plain = _DESCRIPTOR.match(head)
    if plain is not None:
        return int(plain[1]), None, RETURNED, plain[2], False
    parsed = parse_result(head)
    if parsed is None or parsed[3] is not None or head.endswith(b" ...>"):
        return None
    retval, errno, outcome, _, text = parsed
    result = (retval, errno, outcome, text, retval is not None and errno is None and not text)
    if len(head) <= _CACHED_LENGTH:
        if len(known_results) >= _CACHED:
            known_results.clear()
        known_results[head] = result
    return result


def scan_arguments(text: bytes) -> int:
    """Index of the `)` that closes the call whose arguments begin `text`, or -1. Linear, aware of strings."""
    depth = 0
    at = 0
    search = _SPECIAL.search
    while True:
        match = search(text, at)
        if match is None:
            return -1
        token = match[0]
        at = match.end()
        if token == b'"':
            end = _STRING_END.match(text, at)
            if end is None:
                return -1
            at = end.end()
        elif token == b"/*":
            at = text.find(b"*/", at) + 2
            if at < 2:
                return -1
        elif token in b"([{":
            depth += 1
        elif token == b"<":
            before = text[match.start() - 1 : match.start()] if match.start() else b""
            note = NOTE.match(text, match.start()) if before.isdigit() or before == b"D" else None
            if note is not None:  # "3<TCP:[...]>", "AT_FDCWD</path>"
                at = note.end()
        elif token in b")]}":
            if depth == 0:
                return match.start() if token == b")" else -1
            depth -= 1


def split_call(text: bytes) -> tuple[bytes, bytes] | None:
    """(arguments, text after `= `) of a call that does not end in the plain way; None when it has no result."""
    close = scan_arguments(text)
    if close >= 0:
        after = text[close + 1 :].lstrip()
        if after.startswith(b"= "):
            return text[:close], after[2:].strip()
    last = max(_LOOSE_END.finditer(text), key=lambda match: match.start(), default=None)
    if last is None:
        return None
    return text[: last.start()], text[last.end() :].strip()


def failed_somehow(text: bytes) -> tuple[bytes, str] | None:
    """Arguments and error of a call that failed, whose error was cut off or broken in two; None of others.

    A name that is whole stands, though strace would say in words what it means; else it is `UNKNOWN`.
    """
    found = _CUT_AT_ERRNO.search(text, max(0, len(text) - _LONGEST_ERROR))
    if found is None:
        return None
    name = (found[1] or b"").decode()
    return text[: found.start()], name if name in _NAMES else UNKNOWN


def trim_spliced(args: bytes, retval: int | None) -> bytes:
    """Cut text that the traced program wrote into its own `write(1, "…", 61..16` line: the count is the result."""
    if retval is None or retval < 0:
        return args
    quote = args.find(b'"')
    end = _STRING_END.match(args, quote + 1) if quote >= 0 else None
    if end is None:
        return args
    count = re.compile(rb"(?:\.\.\.)?, (\d+)").match(args, end.end())
    if count is None:
        return args
    digits = b"%d" % retval
    if count[1] != digits and count[1].startswith(digits):
        return args[: count.start(1)] + digits
    return args[: count.end()] if args[count.end() : count.end() + 1] not in (b"", b",", b" ") else args


# strace prints what the kernel must be asked for first, the rest when the call has returned: of these calls, all behind the
# descriptor (or pid). Of others it prints all arguments first: so many.
_FILLED_IN = INCOMING | EPOLLS | CHILDREN
_ASKED_WITH = {
    "write": 3, "writev": 3, "send": 4, "sendto": 6, "sendmsg": 3, "sendmmsg": 4, "connect": 3, "poll": 3, "ppoll": 5,
    "select": 5, "pselect6": 6, "flock": 2, "futex": 3,
}  # fmt: skip
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_FIRST = re.compile(rb"\w*=?-?\d+(?:<[^\n]*?>)?,\s*")
_NESTED = re.compile(rb"[\[{(]|[\]})]|,")


def torn(call: str, text: bytes) -> bool:
    """Whether a call whose line has no end was cut while strace wrote, not while it waited for the kernel: within a string, a
    structure or an argument, behind what only the kernel's answer tells, or in the result. `text` is what follows `name(`.
    """
    if call in AT_ONCE:
        return True
    if call in _FILLED_IN and (first := _FIRST.match(text)) is not None and first.end() < len(text):
        return True
    rest = _STRING.sub(b"", text)
    note = rest.rfind(b"<")
    if b'"' in rest or b") = " in rest or (note >= 0 and b">" not in rest[note:]):
        return True
    depth, arguments = 0, 1
    for mark in _NESTED.findall(rest):
        if mark == b",":
            arguments += depth == 0
        else:
            depth += 1 if mark in b"[{(" else -1
    return depth > 0 or arguments - rest.endswith(b",") < _ASKED_WITH.get(call, 0)
