"""Where secrets are in text: passwords, tokens, cookies, keys, by the names and forms of the fields that hold them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import cache

from systrace.errors import UsageError
from systrace.masking.logins import login_spans

Spans = list[tuple[int, int]]  # from, to; sorted, apart from each other

_KEY = (
    rb"(?:passw(?:or)?d|passphrase|(?<![a-z])pass|(?<![a-z])pwd|secret|token|api[-_]?key|access[-_]?key|account[-_]?key"
    rb"|private[-_]?key|credential|(?<![a-z])sig(?:nature)?|session[-_]?id|requirepass|masterauth)[\w-]{0,20}"
)
_WORDS = (
    b"pass",
    b"pwd",
    b"secret",
    b"token",
    b"key",
    b"credential",
    b"sig",
    b"session",
    b"auth",
)  # one is in each _KEY
_MECHANISMS = rb"(?:PLAIN|LOGIN|XOAUTH2|OAUTHBEARER|CRAM-MD5|DIGEST-MD5|NTLM|GSSAPI|EXTERNAL|SCRAM-[\w-]{1,20})"
_SCHEMES = rb"(?:Basic|Bearer|Negotiate|NTLM|Digest|Token|ApiKey|GenieKey|SharedKey|AWS4-HMAC-SHA256)"
_PLAIN_VALUES = rb"(?!(?:true|false|null|none)\b)"  # of JSON: no secret, and no text
# What is in the text in small letters if the pattern matches, and the pattern: its groups are the secrets. Every
# repetition is bounded or can end in one way only: linear time.
_PATTERNS: tuple[tuple[tuple[bytes, ...], bytes], ...] = (
    (  # header fields (RFC 9110 11.6, RFC 6265), folded lines included
        (b"cookie", *_WORDS),
        rb"(?im)^[ \t]{0,8}[\"']?(?:(?:proxy-)?authorization|(?:set-)?cookie2?|(?:[\w-]{0,50}-|x_?)?(?:key|auth)"
        rb"|[\w-]{0,30}"
        + _KEY
        + rb")[ \t]{0,8}:[ \t]{0,8}(?:"
        + _SCHEMES
        + rb"[ \t]{1,8})?([^\r\n]+(?:\r?\n[ \t][^\r\n]*)*)",
    ),
    (_WORDS, rb"(?i)" + _KEY + rb"=([^&\s\"'<>;,]+)"),  # forms and queries
    (_WORDS, rb"(?i)" + _KEY + rb"\s{0,8}=\s{0,8}(?:'([^'\r\n]+)'|\"([^\"\r\n]+)\")"),  # attributes, shells, SQL
    (
        (b"code=", b"key=", b"auth=", b"ticket=", b"assertion=", b"samlresponse=", b"otp=", b"hmac="),
        rb"(?i)[?&#](?:code|key|auth|ticket|(?:client_)?assertion|samlresponse|otp|hmac)=([^&\s\"'<>;,]{4,})",
    ),
    (  # JSON, and a repr
        _WORDS,
        rb"(?is)(?:[\"']auth(?:orization)?|[\"'](?:set-)?cookie|"
        + _KEY
        + rb")[\"']\s{0,8}[:,]\s{0,8}(?:b?\"((?:[^\"\\]|\\.)*)|b?'([^']*)|"
        + _PLAIN_VALUES
        + rb"([^\s,}\]\"'\\\[{]+))",
    ),
    (_WORDS, rb"(?i)" + _KEY + rb"\\[\"']\s{0,8}:\s{0,8}\\\"((?:[^\"\\]|\\[^\"])*)"),  # JSON within a JSON text
    (
        _WORDS,
        rb"(?im)^[ \t]{0,20}(?:- )?[\w.-]{0,30}" + _KEY + rb"[ \t]{0,8}: {1,8}[\"']?([^\s\"'&|>{\[][^\r\n\"']*)",
    ),  # YAML
    (_WORDS, rb"(?i)" + _KEY + rb"(?:\s[^<>]{0,200})?>([^<]+)"),  # XML
    (  # multipart/form-data
        _WORDS,
        rb"(?i)" + _KEY + rb"\"[^\r\n]{0,100}\r?\n(?:[^\r\n]{1,200}\r?\n){0,4}\r?\n([^\r\n]+)",
    ),
    (  # SQL: CREATE USER, GRANT, SET PASSWORD, ALTER ROLE
        (b"identified", b"password"),
        rb"(?i)\b(?:IDENTIFIED\s{1,4}(?:WITH\s{1,4}\S{1,60}\s{1,4})?(?:BY|AS)\s{1,4}(?:PASSWORD\s{1,4})?|"
        rb"PASSWORD\s{1,4}(?:FOR\s{1,4}\S{1,100}\s{0,4})?=\s{0,4}(?:PASSWORD\()?|PASSWORD\s{1,4}|PASSWORD\()'([^'\r\n]+)'",
    ),
    ((b"pass", b"acct"), rb"(?m)^(?:PASS|pass|Pass|ACCT) ([^\r\n]+)"),  # FTP, POP
    ((b"login",), rb"(?im)^[A-Za-z][\w.]{0,15} LOGIN (?:\"[^\"\r\n]{0,200}\"|[^\s\"]{1,200}) ([^\r\n]+)"),  # IMAP
    ((b"apop ",), rb"(?im)^APOP \S{1,200} ([0-9a-f]{32})"),
    (  # SMTP, POP, IMAP (RFC 4954): with the command, or on the lines that follow
        (b"auth",),
        rb"(?im)^(?:[A-Za-z]\w{0,15} )?AUTH(?:ENTICATE)? " + _MECHANISMS + rb" ([^\s=][^\r\n]*|=[^\r\n]+)",
    ),
    (
        (b"auth",),
        rb"(?im)^(?:[A-Za-z]\w{0,15} )?AUTH(?:ENTICATE)? "
        + _MECHANISMS
        + rb"(?: [^\r\n]{0,500})?\r?\n([A-Za-z0-9+/=]{4,})\r?\n(?:([A-Za-z0-9+/]{3,}={1,2}|[A-Za-z0-9+/]{8,})\r?\n)?",
    ),
    (
        (b"auth ",),
        rb"(?im)^AUTH (?!(?:TLS|SSL|TLS-[CP]|" + _MECHANISMS + rb")\b)(?:\S{1,100} )?(\S[^\s]*)[ \t]*\r?$",
    ),  # redis
    ((b"\nauth\r",), rb"(?i)\$4\r\nAUTH\r\n\$\d{1,9}\r\n([^\r\n]*)(?:\r\n\$\d{1,9}\r\n([^\r\n]*))?"),
    ((b"requirepass", b"masterauth"), rb"(?i)(?:requirepass|masterauth)(?:\r\n\$\d{1,9}\r\n| )([^\r\n]+)"),
    (
        (b"setuser",),
        rb"(?i)SETUSER(?:\r\n\$\d{1,9}\r\n|\s)[^\r\n]{1,200}?(?:\r\n\$\d{1,9}\r\n|\s)(?:on(?:\r\n\$\d{1,9}\r\n|\s))?>([^\s]+)",
    ),
    (
        (b"basic ", b"bearer ", b"negotiate ", b"ntlm "),
        rb"(?i)(?<![a-z])(?:Basic|Bearer|Negotiate|NTLM) {1,4}([A-Za-z0-9+/=._~-]{16,})",
    ),
    ((b"@",), rb"://[^\s/@:\"'<>]{0,100}:([^\s/@\"'<>]{1,200})@"),  # userinfo of a URL
    (
        (b"/services/t", b"/webhook", b"/bot"),
        (  # the path is the key: Slack, Discord, Teams, Telegram
            rb"(?i)(?:/services/T\w{4,20}/B\w{4,20}/|/webhooks/\d{4,30}/|/bot\d{4,20}:|/webhook[a-z0-9]{0,3}/)([\w@-]{6,}(?:/IncomingWebhook/[\w/-]{6,})?)"
        ),
    ),
    ((b"eyj",), rb"(?<![\w-])(eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"),  # a JSON web token (RFC 7519)
    ((b"private key",), rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----([^-]+)"),
    ((b"akia", b"asia"), rb"(?<![A-Za-z0-9])((?:AKIA|ASIA)[A-Z0-9]{16})(?![A-Za-z0-9])"),
    (  # tokens that say whose they are
        (
            b"gh",
            b"glpat-",
            b"xox",
            b"_live_",
            b"_test_",
            b"sk-",
            b"aiza",
            b"ya29.",
            b"sg.",
            b"npm_",
            b"hvs.",
            b"dop_v1",
            b"pypi-",
        ),
        rb"(?<![\w-])((?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|[sr]k_(?:live|test)_|whsec_|sk-(?:ant-|proj-)?|AIza|ya29\.|SG\."
        rb"|npm_|hvs\.|dop_v1_|pypi-)[\w.-]{16,})",
    ),
    ((b",p=",), rb",p=([A-Za-z0-9+/=]{20,})"),  # SCRAM's proof (RFC 5802)
    (
        (b"p\0\0",),
        rb"(?s)(?:\A|(?<=\x00))p\x00\x00[\x00-\x0f].(?!SCRAM-)([^\x00]{1,200})\x00",
    ),  # PostgreSQL's PasswordMessage
    (
        (b"\x02p", b"\x02secret", b"\x02token"),
        rb"(?s)\x02(?:pwd|password|pass|secret|token)\x00.\x00\x00\x00([^\x00]{1,255})\x00",
    ),  # BSON
)


def any_of(values: Iterable[bytes], depth: int) -> bytes:
    """A pattern in which first bytes that values share are written once, so that few of many are tried; long values win."""
    values = sorted(values, key=lambda value: -len(value))
    if not depth or len(values) < 3:
        return b"|".join(map(re.escape, values))
    groups: dict[bytes, list[bytes]] = {}
    for value in values:
        groups.setdefault(value[:1], []).append(value[1:])
    return b"|".join(b"%s(?:%s)" % (re.escape(first), any_of(rest, depth - 1)) for first, rest in groups.items())


_own: tuple[re.Pattern[bytes], ...] = ()  # what the user calls a secret
ANY_WORD = tuple(dict.fromkeys(word for words, _ in _PATTERNS for word in words))
_SHORTEST = [word for word in ANY_WORD if not any(other in word for other in ANY_WORD if other != word)]
_MAYBE = re.compile(any_of(_SHORTEST, depth=1))  # faster than to look for each, in a short text
_BINARY = re.compile(rb"[\x00-\x08]")  # no login of `logins` goes without
_SHORT = 300  # bytes


@cache
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    """When it is needed first: all of them take longer than a short report."""
    return re.compile(pattern)


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
    low = data.lower()  # looked through by find(): `in` makes and drops an exception for each needle that is bytes
    likely = len(low) > _SHORT or _MAYBE.search(low) is not None
    there = {word for word in ANY_WORD if low.find(word) >= 0} if likely else set()
    found: Spans = login_spans(data)
    if there:
        for words, pattern in _PATTERNS:
            if not there.isdisjoint(words):
                for match in _compiled(pattern).finditer(data):
                    found += [match.span(group) for group in range(1, len(match.groups()) + 1)]
    for own in _own:
        found += [match.span(match.lastindex or 0) for match in own.finditer(data)]
    return united(found) if found else found


def is_innocent(text: bytes) -> bool:
    """Whether neither the text nor any part of it can hold a secret that `secret_spans` would find."""
    return not _own and _MAYBE.search(text.lower()) is None and _BINARY.search(text) is None


def united(found: Spans) -> Spans:
    """Sorted, those that overlap as one, empty ones (and groups that took no part) left out."""
    merged: Spans = []
    for start, end in sorted(found):
        if end <= start:
            continue
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def whole_span(spans: Spans, at: int) -> tuple[int, int]:
    """The span in which an offset lies."""
    return spans[bisect_right(spans, (at, 1 << 62)) - 1]


def within(spans: Spans, start: int, end: int) -> Spans:
    """The parts of spans between two offsets, counted from the first of them."""
    at = max(0, bisect_right(spans, (start, 1 << 62)) - 1)
    out: Spans = []
    while at < len(spans) and spans[at][0] < end:
        low, high = max(spans[at][0], start), min(spans[at][1], end)
        if low < high:
            out.append((low - start, high - start))
        at += 1
    return out
