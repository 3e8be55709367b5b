"""Where secrets are in the arguments of a program, and in the command line that a shell is given."""

from __future__ import annotations

import re
from collections.abc import Sequence

from systrace.masking.fields import Spans, is_innocent, secret_spans, united

_NAMED = re.compile(
    rb"(?i)--?[\w-]{0,40}(?:password|passwd|passphrase|passwort|secret|token|api-?key|access-?key|auth|credentials?|pass|pwd)"
)
_ASSIGNED = re.compile(_NAMED.pattern + rb"=(.+)", re.DOTALL)
_USERS = frozenset((b"-u", b"-U", b"--user", b"--proxy-user", b"--login", b"--username"))
_USER = re.compile(rb"(?s)(?:-u|-U|--user=|--proxy-user=)?[^\s:/%,]{1,100}[:%,](.+)")
# Programs by what their option for a password is called: as the next argument, or glued to the option.
_NEXT = {
    b"-p": rb"sshpass|mongo\w*|docker|podman|mysql\w*|mariadb[\w-]*|rabbitmq\w*|az|helm|cqlsh|influx",
    b"-w": rb"ldap\w+",
    b"-a": rb"redis-cli|valkey-cli",
    b"-P": rb"mosquitto_\w+|zip|unzip|sqlcmd|bcp|isql",
    b"-b": rb"htpasswd",
}
_GLUED = {
    b"-p": rb"mysql\w*|mariadb[\w-]*|sshpass|7z\w?|cqlsh",
    b"-w": rb"ldap\w+",
    b"-P": rb"sqlcmd|mosquitto_\w+|zip|unzip",
    b"-a": rb"redis-cli",
}
_WORD = re.compile(rb"(?:[^\s\"']|\"[^\"]*\"?|'[^']*'?)+")
_OPTION = re.compile(rb"(?:\A|[\s\"'])-")
_HAS_SPACE = re.compile(rb"\s").search


def argument_spans(words: Sequence[bytes], deep: bool = True) -> list[Spans]:
    """Where secrets are in each argument.

    >>> argument_spans([b"curl", b"-u", b"joe:xyz"])
    [[], [], [(4, 7)]]
    """
    program = words[0].rsplit(b"/", 1)[-1] if words else b""
    found: list[Spans] = []
    before = b""
    for word in words:
        spans = [*_option(program, before, word), *secret_spans(word)]
        if deep and found and _HAS_SPACE(word) is not None:
            spans += command_line_spans(word)
        found.append(united(spans))
        before = word
    return found


def _option(program: bytes, before: bytes, word: bytes) -> Spans:
    if (match := _ASSIGNED.match(word)) is not None:
        return [match.span(1)]
    taken = not word.startswith(b"-") and (
        _NAMED.fullmatch(before) is not None or (before in _NEXT and re.fullmatch(_NEXT[before], program) is not None)
    )
    if taken and word:
        return [(0, len(word))]
    glued = _GLUED.get(word[:2])
    if glued is not None and len(word) > 2 and re.fullmatch(glued, program) is not None:
        return [(2, len(word))]
    if (before in _USERS or word.startswith((b"-u", b"-U", b"--user=", b"--proxy-user="))) and (
        match := _USER.match(word)
    ) is not None:
        return [match.span(1)]
    return []


def is_no_command(text: bytes) -> bool:
    """No word of it is an option."""
    return b"-" not in text or _OPTION.search(text) is None


def command_line_spans(text: bytes) -> Spans:
    """Where secrets are in a command line: `sh -c "…"`, a step of a report, what a cron mail quotes."""
    if is_innocent(text) and is_no_command(text):  # most are: a word at a time takes long
        return []
    words, places = [], []
    spans: Spans = []
    for match in _WORD.finditer(text):
        word, at = match[0], match.start()
        if len(word) > 1 and word[:1] in (b'"', b"'") and word[:1] == word[-1:]:
            word, at = word[1:-1], at + 1
        words.append(word)
        places.append(at)
    starts = [0, *(at + 1 for at, word in enumerate(words) if word[-1:] in (b";", b"|", b"&") or b"=" in word[1:])]
    for first, last in zip(starts, [*starts[1:], len(words)], strict=True):
        command = words[first:last]
        for at, each in zip(places[first:last], argument_spans(command, deep=False), strict=True):
            spans += [(at + start, at + end) for start, end in each]
    return united(spans)
