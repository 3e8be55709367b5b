"""What is wrong with an answer: from bytes alone, and with the words of the program that failed on it.

Each function judges one kind of defect. The order in `defects` is the order of explanation: a cut answer explains broken
JSON, compressed bytes explain a wrong character, an error page explains a parser's complaint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from systrace.decoders.bodies.charset import charset_problem
from systrace.decoders.bodies.error_payload import error_payload
from systrace.decoders.bodies.expectations import due, unannounced_compression, wrong_kind
from systrace.decoders.bodies.html_body import html_page
from systrace.decoders.bodies.json_body import json_problem
from systrace.decoders.bodies.problem import Problem, printable
from systrace.decoders.bodies.tabular import csv_problem, fixed_width_problem
from systrace.decoders.bodies.xml_body import xml_problem
from systrace.decoders.http_messages import HttpResponse
from systrace.rules.answers import Answer, Victim

# What parsers of each format say. Program names and class names as of Python, Node.js, Java, Ruby, PHP, Perl, Go, jq.
JSON_WORDS = (
    r"(?i)json|unexpected token|expecting value|unexpected end of (?:data|input)|invalid numeric literal|jq: |parse error:"
    r"|syntax error|control character error|malformed (?:number|string)"
)
XML_WORDS = (
    r"(?i)\bxml|parseerror|sax|not well-formed|mismatched tag|rexml|prolog|no element found|unable to parse|libxml"
)
TEXT_WORDS = (
    r"(?i)unicode|utf-?8|utf-?16|codec|charset|encoding|byte sequence|malformedinput|malformed input|multibyte|\bBOM\b"
)
CODING_WORDS = (
    r"(?i)gzip|deflate|inflate|zlib|zstd|brotli|incorrect header check|compress|invalid start byte|x\{1f\}|\\x1f|\x1f|x\\x9c"
    r"|control character|\\u001f|0x8b|�"
)
VALUE_WORDS = (
    r"KeyError|ValueError|TypeError|AttributeError|IndexError|NumberFormat|NullPointer|ArrayIndex|NoMethodError|ArgumentError"
    r"|undefined|Undefined|NoSuchElement|InvalidOperation|could not convert|columns|fields|width|record"
)
EMPTY_WORDS = (
    r"(?i)empty|no (?:data|content|rows|lines)|expecting value|unexpected end|end of (?:file|input)|EOF|0 bytes|nothing"
)
_LOGIN = re.compile(
    r"(?i)(?:log-?in|log-?on|sign-?in|sso|saml|oauth|auth(?:enticate|orize)?|session|cas)(?:[/?#._-]|$)"
)
_DATA_METHODS = frozenset(("GET", ""))


@dataclass(slots=True)
class Defect:
    """One thing wrong with one answer."""

    cause: str
    variant: str
    text: str  # what the bytes show, after "the answer of PEER to GET /path "
    words: str  # pattern of what programs say that fail on it
    proof: bool = True  # the bytes alone prove that the answer is no good; else only a failing program's words do
    causes: tuple[str, ...] = ()
    remedy: tuple[str, ...] = ()


def defects(answer: Answer, victim: Victim | None) -> Iterator[Defect]:
    """What is wrong with an answer, the best explanation first."""
    for judge in (
        _redirected,
        _truncated,
        _page,
        _status,
        _coded,
        _empty,
        _charset,
        _json,
        _table,
        _error_object,
        _values,
    ):
        found = judge(answer, victim)
        if found is not None:
            yield found


def _says(victim: Victim | None, pattern: str) -> bool:
    return victim is not None and victim.said.has(pattern)


# ------------------------------------------------------------------------------------------------------------ transport


def _truncated(answer: Answer, victim: Victim | None) -> Defect | None:
    response = answer.response
    if not response.truncated or response.incomplete_reason != "eof":
        return None
    if response.framing == "length" and response.declared_length is not None:
        what = f"ended after {response.received_length} of {response.declared_length} bytes (Content-Length)"
    else:
        what = f"ended after {response.received_length} bytes, before the last chunk of its chunked body"
        if response.detail:
            what += f" ({response.detail})"
    return Defect(
        "truncated-response", response.framing, what, r"(?i)incomplete|truncat|prematur|EOF|aborted|terminated|short|remain|closed",
        causes=(
            "the server or its worker crashed or was restarted while it was sending",
            "a proxy's read timeout or a load balancer's idle timeout ended the transfer",
            "a disk or buffer filled up behind the proxy",
        ),
        remedy=("compare the received length with Content-Length before use; retry (Range) what came short",),
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- redirects


def _redirected(answer: Answer, victim: Victim | None) -> Defect | None:
    response = answer.response
    hops = _hops(answer)
    if 300 <= response.status < 400 and response.status not in (300, 304):
        if answer.later and answer.later[0].at - answer.at < 1 and answer.repeated:
            return None
        location = response.header("location") or ""
        if len(hops) >= 4 or any(_target(other.response) == _target(response) for other in hops[:-1]):
            return Defect(
                "redirect-problem", "loop",
                f"was the last of {len(hops)} redirects in a row (status {response.status} to {_short(location)}): they go in a "
                "circle or do not end", r"(?i)redirect",
                causes=("two rules redirect to each other (http/https, slash, host name)", "a cookie that the client drops is wanted"),
                remedy=("repair the rule on the server; configure the final URL in the job",),
            )  # fmt: skip
        login = _LOGIN.search(location)
        return Defect(
            "redirect-problem", "login" if login else "not-followed",
            f"was a redirect (status {response.status}) to {_short(location)}, not data" + ("; that is a login page" if login else ""),
            r"(?i)redirect|30[12378]|moved|json|parse|expect", proof=bool(login),
            causes=("the session or token expired" if login else "the URL has moved; the client does not follow redirects",),
            remedy=("renew the credentials" if login else "configure the final URL, or let the client follow (curl -L)",),
        )  # fmt: skip
    if len(hops) < 2 or response.status >= 400:
        return None
    page = html_page(response.body) if response.body is not None else None
    if page is None or _wants_html(response):
        return None
    to = _target(response)
    if page.login or _LOGIN.search(to):
        return Defect(
            "redirect-problem", "login",
            f"({hops[-2].response.status} on the way) was a login page" + (f" titled {page.title!r}" if page.title else "")
            + ", not data: the request had been redirected there", r"(?i).",
            causes=("the session, cookie or token of the job expired or is not sent", "an SSO gateway is in front of the API"),
            remedy=("renew the credentials; let the client treat a redirect as an error (curl without -L, allow_redirects=False)",),
        )  # fmt: skip
    return None


def _hops(answer: Answer) -> list[Answer]:
    """This answer and the redirects that led to it, in order."""
    hops = [answer]
    for other in reversed(answer.before):
        if not (300 <= other.response.status < 400 and other.response.status != 304):
            break
        hops.insert(0, other)
    return hops


def _target(response: HttpResponse) -> str:
    return response.request.url if response.request is not None else ""


# ------------------------------------------------------------------------------------------------------- page and status


def _page(answer: Answer, victim: Victim | None) -> Defect | None:
    """HTML where data was due."""
    response = answer.response
    body = response.body
    page = html_page(body) if body is not None else None
    if page is None or body is None or _wants_html(response):
        return None
    wrong = wrong_kind(response)
    due_kind = wrong.due if wrong is not None else None
    spoken = _says(victim, JSON_WORDS + "|" + XML_WORDS[4:])
    if response.status >= 400:
        if not _says(victim, JSON_WORDS) or _failed_on_status(answer, victim):
            return None
    elif (
        wrong is None
        and not spoken
        and _says(victim, r"\S")
        and not _says(victim, r"(?i)<html|<!doctype|expect|bad |answer|unexpected")
    ):
        return None
    title = f" titled {page.title!r}" if page.title else ""
    sender = f", as {page.sender} writes them" if page.sender else ""
    text = f"(status {response.status}) was an HTML page{title}{sender}" + (
        f" where {due_kind} was due" if due_kind else ", not data"
    )
    xml = due_kind == "xml" or (not _says(victim, JSON_WORDS) and _says(victim, XML_WORDS))
    cause = "invalid-payload" if xml and response.status < 400 else "html-instead-of-json"
    return Defect(
        cause, f"status-{response.status}" if response.status >= 400 else "html", text,
        JSON_WORDS + "|(?i:html|<!doctype|expect|bad answer)" if not xml else XML_WORDS, proof=wrong is not None or spoken,
        causes=(
            "a load balancer, proxy or firewall answered in place of the application (error, maintenance, captive portal, block)",
            "the job asks a wrong path or host", "the session expired and a login page came",
        ),
        remedy=("check status and Content-Type before parsing (curl --fail, raise_for_status)",),
    )  # fmt: skip


def _failed_on_status(answer: Answer, victim: Victim | None) -> bool:
    """The program looked at the status: it says so, or its exit status does."""
    if victim is None:
        return False
    status = answer.response.status
    if _tool_exit(victim):
        return True
    return victim.said.has(
        rf"(?i)(?:status|http|error|code|server|response)\D{{0,40}}\b{status}\b|\b{status}\b\W{{0,3}}(?:client|server) error"
    )


def _tool_exit(victim: Victim) -> bool:
    process = victim.process
    name = process.command
    return (name == "curl" and process.exit_code in (22, 56)) or (name == "wget" and process.exit_code in (6, 8))


def _status(answer: Answer, victim: Victim | None) -> Defect | None:
    response = answer.response
    if response.status < 400:
        return None
    layer = sender(response)
    what = f"was {response.status} {printable(response.reason.encode('latin-1', 'replace'), 60)}".rstrip()
    after = response.header("retry-after")
    payload = error_payload(response.body) if response.body is not None else None
    words = " ".join(p for p in (payload.code, payload.message) if p) if payload is not None else ""
    if words:
        what += f" ({words[:160]})"
    if layer:
        what += f"; sent by {layer}"
    if after:
        what += f"; Retry-After: {printable(after.encode('latin-1', 'replace'), 40)}"
    return Defect(
        "http-error-status", f"status-{response.status}", what,
        rf"(?i)\b{response.status}\b|{re.escape(response.reason) or 'status'}|status|http ?error|" + (re.escape(words[:40]) or "status"),
        causes=_status_causes(response, layer), remedy=_status_remedy(response.status),
    )  # fmt: skip


def _status_causes(response: HttpResponse, layer: str) -> tuple[str, ...]:
    status = response.status
    if status == 407:
        return ("the proxy wants credentials that the job does not send",)
    if status in (401, 403):
        return ("credentials are missing, wrong or expired", "an access rule (role, IP list, WAF) refuses the job")
    if status == 404 or status == 410:
        return ("the path is wrong, or the file is not there (yet)",)
    if status == 429:
        return ("the job, or another with the same key, asks more often than allowed",)
    if status in (502, 503, 504):
        behind = (
            "the server behind it is down, refuses or is too slow"
            if layer
            else "the service, or what is behind it, is down"
        )
        return (behind, "a deployment or overload at that time")
    if status >= 500:
        return ("the application failed on this request: its log has the reason",)
    return ("the server does not accept the request as sent",)


def _status_remedy(status: int) -> tuple[str, ...]:
    if status in (429, 500, 502, 503, 504):
        return ("retry with back-off (honour Retry-After)", "treat a status other than 2xx as an error before parsing")
    return (
        "correct the request or its credentials: a retry will not help",
        "treat a status other than 2xx as an error before parsing",
    )


def sender(response: HttpResponse) -> str:
    """Which layer wrote a response, as far as its own words tell: load balancer, proxy, CDN, or the origin's server."""
    server = (response.header("server") or "").strip()
    low = server.lower()
    page = html_page(response.body) if response.body is not None else None
    shown = printable(server.encode("latin-1", "replace"), 60)
    if response.request is not None and response.request.method == "CONNECT":
        return f"the proxy{f' ({shown})' if shown else ''} (answer to CONNECT)"
    if low.startswith("awselb"):
        return f"a load balancer (Server: {shown}), not by the application"
    if "cloudfront" in low or "x-amz-cf-id" in dict(response.headers):
        return f"a CDN (CloudFront; X-Cache: {printable((response.header('x-cache') or '?').encode('latin-1', 'replace'), 40)})"
    if "cloudflare" in low or response.header("cf-ray"):
        return "a CDN (Cloudflare)"
    if low.startswith(("akamai", "varnish", "fastly")) or response.header("x-varnish"):
        return f"a CDN or cache ({shown or 'Varnish'})"
    if response.header("x-squid-error") or low.startswith("squid") or response.status == 407:
        return f"a proxy ({shown or 'forward proxy'})"
    if low.startswith(("envoy", "haproxy", "traefik", "kong", "istio")):
        return f"a proxy (Server: {shown})"
    if response.status in (502, 503, 504) and (
        low.startswith(("nginx", "openresty", "apache")) or (page and page.sender)
    ):
        return f"a proxy in front of the application ({shown or (page.sender if page else '')})"
    return f"the server ({shown})" if shown else (f"{page.sender}" if page is not None and page.sender else "")


# ------------------------------------------------------------------------------------------------------------------ bytes


def _coded(answer: Answer, victim: Victim | None) -> Defect | None:
    """Compressed bytes that the program took for text."""
    response = answer.response
    body = response.body
    if body is None or not body.received:
        return None
    kind = unannounced_compression(response)
    decoded = body.decoded()
    if kind is not None:
        text = f"was {kind} data that no Content-Encoding announces"
    elif decoded.problem is not None and decoded.problem.kind in ("not-encoded", "malformed"):
        text = f"declares Content-Encoding {', '.join(body.encodings)}, but its bytes are not that: {decoded.problem.message}"
    elif body.encodings and body.received and body.encodings[-1] in ("gzip", "x-gzip", "deflate", "br", "zstd"):
        asked = (response.request.header("accept-encoding") or "") if response.request is not None else ""
        if body.encodings[-1] in asked.lower() and not _says(victim, r"x\{1f\}|\\x1f|\x1f|\\u001f|0x8b"):
            return None
        text = f"was compressed (Content-Encoding: {', '.join(body.encodings)})"
        text += ", which the request had not asked for" if not asked else ", and the program did not undo it"
    else:
        return None
    return Defect(
        "encoded-body", body.encodings[-1] if body.encodings else kind or "", text + f"; first bytes {body.raw()[:4].hex(' ')}",
        CODING_WORDS + "|" + JSON_WORDS[4:] + "|" + TEXT_WORDS[4:],
        causes=("a proxy, CDN or object store adds compression unasked", "the client library does not decode by itself"),
        remedy=("let the client decode: curl --compressed, LWP decoded_content, zlib in Node.js or urllib", "or ask for Accept-Encoding: identity"),
    )  # fmt: skip


def _empty(answer: Answer, victim: Victim | None) -> Defect | None:
    response = answer.response
    request = response.request
    if response.status >= 300 or not response.complete or (response.body is not None and response.body.received):
        return None
    if response.body is None and response.status != 204:
        return None
    if (
        request is not None
        and request.method not in _DATA_METHODS
        and not _says(victim, EMPTY_WORDS + "|" + JSON_WORDS[4:])
    ):
        return None
    return Defect(
        "empty-body", f"status-{response.status}", f"(status {response.status}) was complete and has an empty body",
        EMPTY_WORDS + "|" + JSON_WORDS[4:] + "|" + XML_WORDS[4:], proof=False,
        causes=("the server had no data and says so by an empty answer (204, Content-Length: 0)", "the application failed after the status was sent"),
        remedy=("check for an empty body before parsing",),
    )  # fmt: skip


def _charset(answer: Answer, victim: Victim | None) -> Defect | None:
    body = answer.response.body
    if body is None or body.kind() not in ("json", "xml", "csv", "text", "binary"):
        return None
    problem = charset_problem(body)
    if problem is None or (problem.kind == "truncated" and not body.whole):
        return None
    spoken = _says(victim, TEXT_WORDS)
    if problem.kind in ("mismatch", "double-encoded", "truncated") and not spoken:
        return None
    if problem.kind == "bom" and body.kind() != "json" and not spoken:
        return None
    if body.kind() == "binary" and not spoken:
        return None
    where = (
        f"line {problem.line} column {problem.column} (byte {problem.offset})"
        if problem.line
        else f"byte {problem.offset}"
    )
    actual = f"; the bytes fit {problem.actual}" if problem.actual else ""
    return Defect(
        "charset-error", problem.kind,
        f"does not fit its character set {problem.declared} ({problem.by}): {problem.message} at {where}{actual}",
        TEXT_WORDS + "|" + JSON_WORDS[4:] + "|" + XML_WORDS[4:],
        causes=("the source of the data writes another character set than is declared (legacy latin-1, Excel export, BOM)",),
        remedy=("decode as the bytes are (utf-8-sig for a BOM, windows-1252), or let the sender declare what it sends",),
    )  # fmt: skip


def _json(answer: Answer, victim: Victim | None) -> Defect | None:
    response = answer.response
    body = response.body
    if body is None or not body.received or response.truncated:
        return None
    wanted = due(response)
    is_due = body.kind() == "json" or (wanted is not None and wanted[0] == "json")
    if not is_due and not (body.kind() in ("text", "csv", "html") and _says(victim, JSON_WORDS)):
        return None
    problem = json_problem(body)
    if problem is None or problem.kind == "empty":
        return None
    if problem.kind == "nonstandard" and not _says(victim, JSON_WORDS):
        return None
    return Defect(
        "invalid-json", problem.kind, f"was complete ({body.received} bytes), but its JSON is {_problem(problem)}", JSON_WORDS,
        causes=("the application cut or spoilt it: a crash while writing, a warning printed in front of it, string building",),
        remedy=("have the sender serialise with a JSON library and test it: jq . FILE",),
    )  # fmt: skip


def _table(answer: Answer, victim: Victim | None) -> Defect | None:
    body = answer.response.body
    if body is None or not body.received or answer.response.truncated:
        return None
    wanted = due(answer.response)
    kind = body.kind()
    problem: Problem | None = None
    form = kind
    if (
        kind == "xml"
        or (wanted is not None and wanted[0] == "xml")
        or (kind in ("text", "json", "html") and _says(victim, XML_WORDS))
    ):
        problem, form = xml_problem(body), "XML"
    elif kind in ("csv", "text"):
        problem, form = csv_problem(body), "table"
        if problem is None:
            problem, form = fixed_width_problem(body), "fixed-width record"
        if problem is not None and not _says(victim, VALUE_WORDS + "|(?i:csv|column|row|line|field)"):
            return None
    if problem is None or problem.kind == "empty":
        return None
    return Defect(
        "invalid-payload", form, f"was complete ({body.received} bytes), but as {form} it is {_problem(problem)}",
        XML_WORDS + "|" + VALUE_WORDS,
        causes=("the sender wrote it cut or malformed", "another kind of document came (error text, other version)"),
        remedy=("save the bytes and give them to the parser offline; have the sender repair its export",),
    )  # fmt: skip


def _error_object(answer: Answer, victim: Victim | None) -> Defect | None:
    body = answer.response.body
    if body is None or answer.response.status >= 400:
        return None
    payload = error_payload(body)
    if payload is None:
        return None
    words = ": ".join(part for part in (payload.code, payload.message) if part)
    return Defect(
        "error-payload", payload.form,
        f"(status {answer.response.status}) was well-formed and reports an error in place of data" + (f": {words[:200]}" if words else ""),
        r"(?i)error|" + VALUE_WORDS + (("|" + re.escape(words[:30])) if words else ""), proof=True,
        causes=("the application refused or failed and says so in the body, not in the status",),
        remedy=("look for the error member before using the data",),
    )  # fmt: skip


_QUOTED = re.compile(
    r"""(?:input string: |float: |int\(\) with base 10: |literal for \w+\(\)[^:]*: |KeyError: |invalid value for \w+\(\): )["']([^"'\n]{1,60})["']"""
)


def _values(answer: Answer, victim: Victim | None) -> Defect | None:
    """A table that is well-formed, with a value or column that the program could not use: its own words name it."""
    body = answer.response.body
    if victim is None or body is None or body.kind() not in ("csv", "xml"):
        return None
    found = _QUOTED.search(victim.said.text)
    if found is None or not body.whole:
        return None
    token = found[1]
    there = token.encode() in body.data()
    if "KeyError" in found[0] and not there:
        what = f"has no column or element {token!r}, which the program wants"
    elif "KeyError" not in found[0] and there:
        what = f"has the value {token!r}, with which the program can do nothing"
    else:
        return None
    return Defect(
        "invalid-payload", "value", what, VALUE_WORDS,
        causes=("the sender changed the format or wrote a placeholder",), remedy=("check columns and values before use",),
    )  # fmt: skip


def _problem(problem: Problem) -> str:
    where = (
        f"line {problem.line} column {problem.column} (byte {problem.offset})"
        if problem.line
        else f"byte {problem.offset}"
    )
    return f"{problem.kind}: {problem.message} at {where}"


def _wants_html(response: HttpResponse) -> bool:
    request = response.request
    if request is None:
        return False
    path = request.path.partition("?")[0].lower()
    return (
        "text/html" in (request.header("accept") or "").lower()
        or path.endswith((".html", ".htm", "/"))
        and len(path) > 1
    )


def _short(text: str) -> str:
    return printable(text.encode("latin-1", "replace"), 120) or "an unknown place"


Judge = Callable[[Answer, Victim | None], Defect | None]
