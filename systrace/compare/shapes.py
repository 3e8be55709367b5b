"""What stays the same of a URL, a statement or a name from one run to the next: numbers, ids and dates become placeholders."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_MOST = 2000  # characters looked at
_MASK = re.compile(r"\*(?:secret-)?\d+\*+|\*{3,}")  # its number depends on what was met before
_UUID = re.compile(r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b")
_DATE = re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d(?::?\d\d){0,2}(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?\b")
_HEX = re.compile(r"(?i)(?<![0-9a-z])(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}(?![0-9a-z])")
_ID = re.compile(r"(?<![\w])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{20,}(?![\w])")
_TANGLED = re.compile(  # k3j9x: letters and digits in turn; not v2, utf8, i18n
    r"(?<![^\W_])(?:[A-Za-z]+\d+[A-Za-z]+\d|\d+[A-Za-z]+\d+[A-Za-z])[A-Za-z0-9]*(?![^\W_])"
)
_RANDOM = re.compile(r"(?<=tmp[._-])\w{6,}|(?<=tmp)(?=\w*\d)\w{6,}")  # mkstemp(3)
_NUMBER = re.compile(r"(?<![A-Za-z0-9])\d+(?![A-Za-z0-9])|\d{3,}")
_REPEATED = re.compile(r"\{n\}(?:[-_.:,]\{n\})+")
_PLACEHOLDERS = (
    (_UUID, "{id}"),
    (_DATE, "{date}"),
    (_RANDOM, "{id}"),
    (_HEX, "{id}"),
    (_ID, "{id}"),
    (_TANGLED, "{id}"),
)

_TOKENS = re.compile(r"[A-Za-z0-9]+")
_DIGITS = re.compile(r"\d")

_LITERAL = re.compile(r"'(?:[^'\\]|''|\\.)*(?:'|$)|(?<=[\s(=,<>])[-+]?\d[\d.eE+-]*\b")
_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)*\s*\)(?:\s*,\s*\(\s*\?(?:\s*,\s*\?)*\s*\))*")
_IP = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|\[?[0-9a-fA-F:]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\]?")
_NAMED_BY_ADDRESS = re.compile(r"(?i)^ip-\d+-\d+-\d+-\d+(?=[.-]|$)")


def words_shape(text: str) -> str:
    """Any text with placeholders in place of what differs by run.

    >>> words_shape("part-00017-9f2ab41c-2026-11-29.csv"), words_shape("v1"), words_shape("tmp.Xa8bQ2kL/job.sh")
    ('part-{n}-{id}-{date}.csv', 'v1', 'tmp.{id}/job.sh')
    >>> words_shape("jobs/k3j9x"), words_shape("i18n/utf8")
    ('jobs/{id}', 'i18n/utf8')
    """
    text = _MASK.sub("{secret}", text[:_MOST])
    for pattern, name in _PLACEHOLDERS:
        text = pattern.sub(name, text)
    return _REPEATED.sub("{n}", _NUMBER.sub("{n}", text))


def only_ids_differ(one: str, other: str) -> bool:
    """Two shapes differ in nothing but words that look drawn: as long, letters and digits in both, others of both.

    >>> only_ids_differ("/jobs/x2kq/state", "/jobs/m7pa/state"), only_ids_differ("/v1/jobs", "/v2/jobs")
    (True, False)
    """
    if _TOKENS.sub("", one) != _TOKENS.sub("", other):
        return False
    differing = [pair for pair in zip(_TOKENS.findall(one), _TOKENS.findall(other), strict=True) if len(set(pair)) == 2]
    return all(
        len(a) == len(b) and _mixed(a) and _mixed(b) and _DIGITS.sub("", a) != _DIGITS.sub("", b) for a, b in differing
    )


def _mixed(word: str) -> bool:
    return word.isalnum() and not word.isalpha() and not word.isdigit()


def url_shape(target: str) -> str:
    """Path and query of a URL or target: segments as in `words_shape`, the query's keys in order, no values.

    >>> url_shape("/v2/orders/4711/items?page=3&since=2026-11-29")
    '/v2/orders/{n}/items?page&since'
    >>> url_shape("http://h:8080/a/1f0c2b3a-0000-4000-8000-0123456789ab")
    '/a/{id}'
    """
    try:
        parts = urlsplit(target[:_MOST])
    except ValueError:
        return words_shape(target)
    path = "/".join(words_shape(unquote(segment)) for segment in (parts.path or "/").split("/"))
    keys = sorted({words_shape(each.partition("=")[0]) for each in re.split("[&;]", parts.query) if each})
    return f"{path}?{'&'.join(keys)}" if keys else path


def statement_shape(text: str) -> str:
    """A statement or command without its literals. Of one that was cut, the last words are left out: they may be halves.

    >>> statement_shape("SELECT * FROM t WHERE id IN (1, 2,3) AND name = 'O''Neil'")
    'select * from t where id in (?) and name = ?'
    >>> statement_shape("GET user:4711")
    'get user:{n}'
    """
    cut = text.endswith("…")
    shape = _LIST.sub("(?)", _LITERAL.sub("?", text[:_MOST].removesuffix("…")))
    words = words_shape(" ".join(shape.split())).casefold().split(" ")
    return " ".join(words[:-2] if cut else words)


def host_shape(host: str) -> str:
    """A host's name without its port; "" for an address, which may be another tomorrow.

    >>> host_shape("API.example:443"), host_shape("10.0.0.5:80"), host_shape("[::1]"), host_shape("ip-10-0-3-17.ec2.internal")
    ('api.example', '', '', 'ip-{n}.ec2.internal')
    """
    name = host.rpartition("@")[2]
    bare = name if name.count(":") > 1 and not name.startswith("[") else re.sub(r":\d*$", "", name)
    if _IP.fullmatch(bare):
        return ""
    return _NAMED_BY_ADDRESS.sub("ip-{n}", bare.rstrip(".").lower())
