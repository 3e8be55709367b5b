"""Defects of an answer that HTTP itself shows: cut short, redirected, a page in place of data, an error status."""

from __future__ import annotations

import re

from systrace.bodies.error_payload import error_payload
from systrace.bodies.expectations import Wrong, due, wrong_kind
from systrace.bodies.html_body import HtmlPage, html_page
from systrace.dataclass import dataclass
from systrace.messages.http import HttpResponse
from systrace.messages.problem import printable
from systrace.rules.content.answers import Answer
from systrace.rules.content.defect import JSON_WORDS, XML_WORDS, Defect, says
from systrace.rules.content.victims import Victim

_LOGIN = re.compile(
    r"(?i)(?:log-?in|log-?on|sign-?in|sso|saml|oauth|auth(?:enticate|orize)?|session|cas)(?:[/?#._-]|$)"
)


@dataclass(frozen=True, slots=True)
class _Layer:
    """What may stand before an application, and how it is recognised."""

    told: str  # for people
    servers: str  # pattern of its Server field, in lower case
    header: str = ""  # a field that only it sends
    status: int = 0  # a status that only it sends
    name: str = ""  # what it is called where it sends no Server field

    def wrote(self, response: HttpResponse, server: str) -> bool:
        """Whether it may be the sender of a response."""
        return bool(re.search(self.servers, server) or response.header(self.header)) or response.status == self.status


_LAYERS = (
    _Layer("a load balancer (Server: {server}), not by the application", r"^awselb"),
    _Layer("a CDN (CloudFront; X-Cache: {cache})", "cloudfront", "x-amz-cf-id"),
    _Layer("a CDN (Cloudflare)", "cloudflare", "cf-ray"),
    _Layer("a CDN or cache ({server})", r"^(?:akamai|varnish|fastly)", "x-varnish", name="Varnish"),
    _Layer("a proxy ({server})", r"^squid", "x-squid-error", 407, "forward proxy"),
    _Layer("a proxy (Server: {server})", r"^(?:envoy|haproxy|traefik|kong|istio)"),
)
_BEHIND = (502, 503, 504)  # statuses of a proxy whose server fails


_CUT_WORDS = r"(?i)incomplete|truncat|prematur|EOF|aborted|terminated|short|remain|closed|cut "
_CHOKES = {"json": "|" + JSON_WORDS[4:], "xml": "|" + XML_WORDS[4:]}  # what a parser says that was given a part only


def _kind(response: HttpResponse) -> str:
    wanted = due(response)
    return wanted[0] if wanted is not None else response.body.kind() if response.body is not None else ""


def truncated(answer: Answer, victim: Victim | None) -> Defect | None:
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
        "truncated-response",
        response.framing,
        what,
        _CUT_WORDS + _CHOKES.get(_kind(response), ""),
        causes=(
            "the server or its worker crashed or was restarted while it was sending",
            "a proxy's read timeout or a load balancer's idle timeout ended the transfer",
            "a disk or buffer filled up behind the proxy",
        ),
        remedy=("compare the received length with Content-Length before use; retry (Range) what came short",),
    )


def framed(answer: Answer, victim: Victim | None) -> Defect | None:
    """A chunked body whose chunk sizes are none (RFC 9112 7.1)."""
    response = answer.response
    if response.incomplete_reason != "malformed" or response.framing != "chunked":
        return None
    return Defect(
        "framing-error",
        "chunk",
        f"is not framed as it says (Transfer-Encoding: chunked): {printable(response.detail.encode('utf-8', 'replace'), 80)}",
        r"(?i)chunk|incomplete|invalid literal|malformed|bad |length",
        causes=(
            "the server or a proxy writes a body that is not chunked under a head that says so",
            "two answers were mixed on one connection",
        ),
        remedy=("repair the sender; ask with HTTP/1.0 or without keep-alive until then",),
    )


# --------------------------------------------------------------------------------------------------------- redirects


def redirected(answer: Answer, victim: Victim | None) -> Defect | None:
    """A redirect that was the last answer, or one that led to a login page."""
    status = answer.response.status
    if 300 <= status < 400 and status not in (300, 304):
        return None if answer.later else _redirect(answer)
    return _landed(answer) if status < 400 else None


def _redirect(answer: Answer) -> Defect:
    """The chain ends in a redirect: it goes in a circle, is too long, or was not followed."""
    response, hops = answer.response, _hops(answer)
    location = response.header("location") or ""
    where = f"(status {response.status} to {_latin(location, 120) or 'an unknown place'})"
    if len(hops) >= 4 or any(_target(other.response) == _target(response) for other in hops[:-1]):
        return Defect(
            "redirect-problem",
            "loop",
            f"was the last of {len(hops)} redirects in a row {where}: they go in a circle or do not end",
            r"(?i)redirect",
            causes=(
                "two rules redirect to each other (http/https, slash, host name)",
                "a cookie that the client drops is wanted",
            ),
            remedy=("repair the rule on the server; configure the final URL in the job",),
        )
    login = _LOGIN.search(location) is not None
    return Defect(
        "redirect-problem",
        "login" if login else "not-followed",
        f"was a redirect {where}, not data" + ("; that is a login page" if login else ""),
        r"(?i)redirect|30[12378]|moved|json|parse|expect",
        proof=login,
        causes=(
            "the session or token expired" if login else "the URL has moved; the client does not follow redirects",
        ),
        remedy=("renew the credentials" if login else "configure the final URL, or let the client follow (curl -L)",),
    )


def _landed(answer: Answer) -> Defect | None:
    """A redirect led to a page that asks for a password."""
    response, hops = answer.response, _hops(answer)
    page = _page(response)
    if len(hops) < 2 or page is None or _wants_html(response):
        return None
    if not page.login and not _LOGIN.search(_target(response)):
        return None
    return Defect(
        "redirect-problem",
        "login",
        f"({hops[-2].response.status} on the way) was a login page{_titled(page)}, not data: the request had been "
        "redirected there",
        r"(?i)\S",
        causes=(
            "the session, cookie or token of the job expired or is not sent",
            "an SSO gateway is in front of the API",
        ),
        remedy=(
            "renew the credentials; let the client treat a redirect as an error (curl without -L, "
            "allow_redirects=False)",
        ),
    )


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


# ------------------------------------------------------------------------------------------------- page and status


def page(answer: Answer, victim: Victim | None) -> Defect | None:
    """HTML where data was due."""
    response = answer.response
    page = _page(response)
    spoken = says(victim, JSON_WORDS + "|" + XML_WORDS[4:])
    if page is None or (_wants_html(response) and not spoken):
        return None
    wrong = wrong_kind(response)
    if response.status >= 400:
        harmless = _failed_otherwise(answer, victim)
    else:
        harmless = wrong is None and not spoken and _complains_otherwise(victim)
    return None if harmless else _misplaced(response, page, wrong, victim, proof=wrong is not None or spoken)


def _misplaced(
    response: HttpResponse, page: HtmlPage, wrong: Wrong | None, victim: Victim | None, proof: bool
) -> Defect:
    refused = response.status >= 400
    xml = (wrong is not None and wrong.due == "xml") or (not says(victim, JSON_WORDS) and says(victim, XML_WORDS))
    sender = f", as {page.sender} writes them" if page.sender else ""
    due = f" where {wrong.due} was due" if wrong is not None else ", not data"
    return Defect(
        "invalid-payload" if xml and not refused else "html-instead-of-json",
        f"status-{response.status}" if refused else "html",
        f"(status {response.status}) was an HTML page{_titled(page)}{sender}{due}",
        JSON_WORDS + "|(?i:html|<!doctype|expect|bad answer)" if not xml else XML_WORDS,
        proof=proof,
        causes=(
            "a load balancer, proxy or firewall answered in place of the application (error, maintenance, "
            "captive portal, block)",
            "the job asks a wrong path or host",
            "the session expired and a login page came",
        ),
        remedy=("check status and Content-Type before parsing (curl --fail, raise_for_status)",),
    )


def _page(response: HttpResponse) -> HtmlPage | None:
    return html_page(response.body) if response.body is not None else None


def _titled(page: HtmlPage) -> str:
    return f" titled {page.title!r}" if page.title else ""


def _complains_otherwise(victim: Victim | None) -> bool:
    """The program has its say, and not a word of it sounds like a page."""
    return says(victim, r"\S") and not says(victim, r"(?i)<html|<!doctype|expect|bad |answer|unexpected")


def _failed_otherwise(answer: Answer, victim: Victim | None) -> bool:
    """The program did not fail to parse an error's page: it looked at the status, as its words or its exit status say."""
    if victim is None or not says(victim, JSON_WORDS) or _tool_exit(victim):
        return True
    status = answer.response.status
    return victim.said.has(
        rf"(?i)(?:status|http|error|code|server|response)\D{{0,40}}\b{status}\b|\b{status}\b\W{{0,3}}(?:client"
        rf"|server) error"
    )


def _tool_exit(victim: Victim) -> bool:
    process = victim.process
    name = process.command
    return (name == "curl" and process.exit_code in (22, 56)) or (name == "wget" and process.exit_code in (6, 8))


def status(answer: Answer, victim: Victim | None) -> Defect | None:
    response = answer.response
    if response.status < 400:
        return None
    layer = sender(response)
    what = f"was {response.status} {_latin(response.reason, 60)}".rstrip()
    after = response.header("retry-after")
    payload = error_payload(response.body) if response.body is not None else None
    words = " ".join(p for p in (payload.code, payload.message) if p) if payload is not None else ""
    if words:
        what += f" ({words[:160]})"
    if layer:
        what += f"; sent by {layer}"
    if after:
        what += f"; Retry-After: {_latin(after, 40)}"
    return Defect(
        "http-error-status",
        f"status-{response.status}",
        what,
        "|".join(
            [
                rf"(?i)\b{response.status}\b",
                *(re.escape(text[:40]) for text in (response.reason, words) if len(text) > 3),
            ]
        ),
        causes=_status_causes(response, layer),
        remedy=_status_remedy(response.status),
    )


_ACCESS = ("credentials are missing, wrong or expired", "an access rule (role, IP list, WAF) refuses the job")
_ABSENT = ("the path is wrong, or the file is not there (yet)",)
_CAUSES = {
    401: _ACCESS,
    403: _ACCESS,
    404: _ABSENT,
    407: ("the proxy wants credentials that the job does not send",),
    410: _ABSENT,
    429: ("the job, or another with the same key, asks more often than allowed",),
}


def _status_causes(response: HttpResponse, layer: str) -> tuple[str, ...]:
    status = response.status
    if status in _BEHIND:
        down = "the service, or what is behind it, is down"
        behind = "the server behind it is down, refuses or is too slow"
        return (behind if layer else down, "a deployment or overload at that time")
    if status >= 500:
        return ("the application failed on this request: its log has the reason",)
    return _CAUSES.get(status, ("the server does not accept the request as sent",))


def _status_remedy(status: int) -> tuple[str, ...]:
    passing = status in (429, 500, *_BEHIND)
    retry = "retry with back-off (honour Retry-After)"
    first = retry if passing else "correct the request or its credentials: a retry will not help"
    return first, "treat a status other than 2xx as an error before parsing"


def sender(response: HttpResponse) -> str:
    """Which layer wrote a response, as far as its own words tell: load balancer, proxy, CDN, or the origin's server."""
    server = (response.header("server") or "").strip()
    low = server.lower()
    page = _page(response)
    by_page = page.sender if page is not None else ""
    shown = _latin(server, 60)
    if response.request is not None and response.request.method == "CONNECT":
        return f"the proxy{f' ({shown})' if shown else ''} (answer to CONNECT)"
    layer = next((layer for layer in _LAYERS if layer.wrote(response, low)), None)
    if layer is not None:
        return layer.told.format(server=shown or layer.name, cache=_latin(response.header("x-cache") or "?", 40))
    if response.status in _BEHIND and (low.startswith(("nginx", "openresty", "apache")) or by_page):
        return f"a proxy in front of the application ({shown or by_page})"
    return f"the server ({shown})" if shown else by_page


def _wants_html(response: HttpResponse) -> bool:
    request = response.request
    if request is None:
        return False
    path = request.path.partition("?")[0].lower()
    by_path = path.endswith((".html", ".htm", "/")) and len(path) > 1
    return by_path or "text/html" in (request.header("accept") or "").lower()


def _latin(text: str, most: int) -> str:
    """Text of a head, which is Latin-1 (RFC 9110 5.5), for people."""
    return printable(text.encode("latin-1", "replace"), most)
