"""What nobody should read over a shoulder: passwords, tokens, cookies in text that a log shows."""

from __future__ import annotations

import re

from systrace.errors import UsageError

HIDDEN = b"[hidden]"
_KEY = (
    rb"(?:passw(?:or)?d|passphrase|(?<![a-z])pass|(?<![a-z])pwd|secret|token|api[-_]?key|access[-_]?key|credential"
    rb"|(?<![a-z])sig(?:nature)?|session[-_]?id)[\w-]{0,20}"
)
_WORDS = (b"pass", b"pwd", b"secret", b"token", b"key", b"credential", b"sig", b"session")  # one is in each _KEY
# What is in the text in small letters if the pattern matches, and the pattern: the last group that matched is the
# secret. Every repetition is bounded or can end in one way only: linear time.
_PATTERNS = tuple(
    (words, re.compile(pattern))
    for words, pattern in (
        (  # header fields (RFC 9110 11.6, RFC 6265), folded lines included
            (b"authorization", b"cookie", *_WORDS),
            rb"(?im)^[ \t]{0,8}(?:(?:proxy-)?authorization|(?:set-)?cookie2?|[\w-]{0,30}"
            + _KEY
            + rb")[ \t]{0,8}:[ \t]{0,8}([^\r\n]+(?:\r?\n[ \t][^\r\n]*)*)",
        ),
        (_WORDS, rb"(?i)" + _KEY + rb"=([^&\s\"'<>;,]+)"),  # forms and queries
        (  # JSON
            _WORDS,
            rb"(?is)" + _KEY + rb"[\"']\s{0,8}:\s{0,8}(?:\"((?:[^\"\\]|\\.)*)|'([^']*)|([^\s,}\]\"'\\\[{]+))",
        ),
        (_WORDS, rb"(?i)" + _KEY + rb"\\[\"']\s{0,8}:\s{0,8}\\\"((?:[^\"\\]|\\[^\"])*)"),  # JSON within a JSON text
        (_WORDS, rb"(?i)" + _KEY + rb"(?:\s[^<>]{0,200})?>([^<]+)"),  # XML
        (  # multipart/form-data
            _WORDS,
            rb"(?i)" + _KEY + rb"\"[^\r\n]{0,100}\r?\n(?:[^\r\n]{1,200}\r?\n){0,4}\r?\n([^\r\n]+)",
        ),
        (  # FTP, POP, SMTP, IMAP, redis
            (b"pass", b"acct", b"auth", b"login"),
            rb"(?m)^(?:[A-Za-z][\w.]{0,15} )?(?:PASS|pass|ACCT|AUTH|auth|LOGIN|login)"
            rb"(?: (?:PLAIN|LOGIN|XOAUTH2|CRAM-MD5))? ([^\r\n]+)",
        ),
        ((b"auth ",), rb"(?im)^AUTH [^\r\n]{1,80}\r?\n((?:[A-Za-z0-9+/=]{4,}\r?\n){1,2})"),  # what follows (RFC 4954)
        ((b"\nauth\r",), rb"(?i)\$4\r\nAUTH\r\n((?:\$\d{1,9}\r\n[^\r\n]*(?:\r\n)?){1,2})"),  # redis
        (
            (b"basic ", b"bearer ", b"negotiate ", b"ntlm "),
            rb"(?i)(?<![a-z])(?:Basic|Bearer|Negotiate|NTLM) {1,4}([A-Za-z0-9+/=._~-]{16,})",
        ),
        ((b"://",), rb"://[^\s/@:\"'<>]{0,100}:([^\s/@\"'<>]{1,200})@"),  # userinfo of a URL
        ((b"eyj",), rb"(?<![\w-])(eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"),  # a JSON web token (RFC 7519)
        ((b"private key",), rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----([^-]+)"),
        (
            (b"p\0\0",),
            rb"(?s)(?:\A|(?<=\x00))p\x00\x00[\x00-\x0f].([^\x00]{1,200})\x00",
        ),  # PostgreSQL's PasswordMessage
    )
)
_own: tuple[re.Pattern[bytes], ...] = ()  # what the user calls a secret
_ANY_WORD = re.compile(b"|".join(re.escape(word) for words, _ in _PATTERNS for word in words)).search
Spans = list[tuple[int, int]]  # from, to; sorted, apart from each other


def also_hide(patterns: list[str]) -> None:
    """Hide what these patterns match as well, or their first group.

    Raises:
        UsageError: one is no regular expression.
    """
    global _own
    try:
        _own = tuple(re.compile(pattern.encode()) for pattern in patterns)
    except re.error as error:
        raise UsageError(f"mask {error.pattern!r}: {error}") from None


def secret_spans(data: bytes) -> Spans:
    """Where secrets are.

    >>> secret_spans(b"user=a&password=xyz&b=1")
    [(16, 19)]
    """
    found: Spans = []
    low = data.lower()
    likely = [p for words, p in _PATTERNS if any(w in low for w in words)] if _ANY_WORD(low) is not None else []
    for pattern in (*likely, *_own):
        for match in pattern.finditer(data):
            start, end = match.span(match.lastindex or 0)
            if end > start:
                found.append((start, end))
    if not found:
        return found
    found.sort()
    merged: Spans = []
    for start, end in found:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def within(spans: Spans, start: int, end: int) -> Spans:
    """The parts of spans between two offsets, counted from the first of them."""
    from bisect import bisect_right

    at = max(0, bisect_right(spans, (start, 1 << 62)) - 1)
    out: Spans = []
    while at < len(spans) and spans[at][0] < end:
        low, high = max(spans[at][0], start), min(spans[at][1], end)
        if low < high:
            out.append((low - start, high - start))
        at += 1
    return out


def hide(data: bytes, spans: Spans | None = None) -> bytes:
    """Data with `[hidden]` in the place of each secret."""
    out: list[bytes] = []
    at = 0
    for start, end in secret_spans(data) if spans is None else spans:
        out += (data[at:start], HIDDEN)
        at = end
    return b"".join([*out, data[at:]]) if out else data


def hidden_text(text: str) -> str:
    """The same for text."""
    return hide(text.encode("utf-8", "backslashreplace")).decode("utf-8", "backslashreplace")
