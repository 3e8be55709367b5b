"""What HTTP says of itself: status, redirects, an answer that was cut, an answer that is empty (verdicts 4.5)."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.model import Draft
from systrace.rules.case.index import Case
from systrace.rules.content.accusing import accused
from systrace.rules.content.exchanges import cut_downloads, cut_units, told
from systrace.rules.content.let_pass import cut_answers, refused_answers
from systrace.rules.content.sealed_words import said_within
from systrace.rules.examples import ASK, answered, asks, came, gets, job, said
from systrace.rules.rule import rule


@rule(
    "http-error-status",
    content=True,
    fires=job(ASK, came("HTTP/1.1 503 Service Unavailable|Server: awselb/2.0|Content-Length: 4", "busy")),
    silent=job(ASK, came("HTTP/1.1 404 Not Found|Content-Length: 2", "no"), status=0),
)
def http_error_status(case: Case) -> Iterator[Draft]:
    """The server answered with a status of 4xx or 5xx, and the job failed on it.

    What it is: the last answer that the failing process (or the reader of its output, or its shell) met has an error
        status; the variant is the status. The summary names the layer that sent it: load balancer, proxy, CDN, server.
        Within TLS the program's own words count, where they call a number a status.
    Why it matters: the data did not come; which layer says so tells whose log to read.
    What proves it: the status line, the failure after it, and the program's own words where they name the status.
    Not this: a challenge (401, 407) that the client then satisfied, a probe that falls back, an error that a retry made
        good (recovered-error), a program that ended well; a parser that choked on the page (html-instead-of-json).
    What to do: read the log of the layer named; retry 429 and 503 with back-off; correct the request for other 4xx.
    Source: RFC 9110 15, RFC 6585
    """
    yield from accused(case, "http-error-status")
    yield from refused_answers(case)
    yield from said_within(case, "http-error-status")


@rule(
    "redirect-problem",
    content=True,
    fires=job(
        ASK,
        came("HTTP/1.1 302 Found|Location: /login?next=/v1/rows|Content-Length: 0"),
        asks("GET /login?next=/v1/rows HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", "1.3"),
        came(
            "HTTP/1.1 200 OK|Content-Type: text/html|Content-Length: 43",
            "<html><form><input type=password></form>   ",
            "1.4",
        ),
        said("bad answer"),
    ),
    silent=job(
        ASK,
        came("HTTP/1.1 301 Moved|Location: /v1/rows/|Content-Length: 0"),
        asks("GET /v1/rows/ HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", "1.3"),
        came("HTTP/1.1 200 OK|Content-Type: application/json|Content-Length: 2", "[]", "1.4"),
        status=0,
    ),
)
def redirect_problem(case: Case) -> Iterator[Draft]:
    """The request was sent elsewhere: to a login page, in a circle, or to where the client did not follow.

    What it is: variants `login` (a redirect led to a page that asks for a password), `loop` (the same redirect again
        and again, or too many), `not-followed` (the redirect was the last answer).
    Why it matters: the client gets a page of status 200 that is no data; a parser's message hides the cause.
    What proves it: the 3xx answers with their Location, and the failure after the last of them.
    Not this: a redirect that ends well (a slash, https, another region).
    What to do: renew the session or token; configure the final URL; treat a redirect to another place as an error.
    Source: RFC 9110 15.4
    """
    yield from accused(case, "redirect-problem")


@rule(
    "truncated-response",
    content=True,
    fires=job(ASK, came("HTTP/1.1 200 OK|Content-Length: 500", "0123456789"), gets("", "1.3")),
    silent=job(ASK, came("HTTP/1.1 200 OK|Content-Length: 10", "0123456789"), gets("", "1.3")),
)
def truncated_response(case: Case) -> Iterator[Draft]:
    """The answer ended before its declared end.

    What it is: end of file before Content-Length bytes, before the last chunk, within a protocol's message. Variant `tls`:
        within TLS, where the program's own words tell that a part is missing.
    Why it matters: what came is a part; a job that does not check takes it for all.
    What proves it: the declared and the received size; both are in the log.
    Not this: HEAD, 204 and 304 (no body is due); a client that closed first; a reset in the middle (reset-by-peer); an
        answer without a length, which ends with the connection; bytes that `-s` cut from the log.
    What to do: the server's log at that second (crash, timeout, deployment); compare with the proxy's timeouts.
    Source: RFC 9112 6.3, 8
    """
    yield from accused(case, "truncated-response")
    yield from cut_answers(case)
    yield from cut_units(case, "truncated-response")
    yield from cut_downloads(case)
    yield from told(case, "truncated-response")
    yield from said_within(case, "truncated-response")


@rule(
    "empty-body",
    content=True,
    fires=answered("application/json", "", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
    silent=job(ASK, came("HTTP/1.1 204 No Content|Server: a"), status=0),
)
def empty_body(case: Case) -> Iterator[Draft]:
    """A complete answer had an empty body, and the program wanted data.

    What it is: status 2xx with Content-Length 0, 204, or a chunked body of no bytes, then a parser's complaint.
    Why it matters: the message ("Expecting value: line 1 column 1", "unexpected end of data") does not say that
        nothing came.
    What proves it: the complete answer without a byte of body, and the failure after it.
    Not this: a connection closed without an answer (empty-reply); an answer cut short (truncated-response).
    What to do: why had the server nothing to say; check for an empty body before parsing.
    Source: RFC 9110 15.3.5
    """
    yield from accused(case, "empty-body")
