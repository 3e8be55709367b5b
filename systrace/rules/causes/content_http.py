"""What HTTP says of itself: status, redirects, an answer that was cut, an answer that is empty (verdicts 4.5)."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.model import Draft
from systrace.rules.case.index import Case
from systrace.rules.content.accusing import accused
from systrace.rules.content.exchanges import cut_downloads, cut_units, told
from systrace.rules.rule import rule

OPEN = '9 1.0 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>\n'
ASK = (
    '9 1.1 sendto(3, "GET /v1/rows HTTP/1.1\\r\\nHost: a\\r\\nAccept: */*\\r\\n\\r\\n", 49, 0, NULL, 0) = 49 <0.0001>\n'
)
FAIL = "9 2.9 +++ exited with 1 +++"
FINE = "9 2.9 +++ exited with 0 +++"


def example(*lines: str, port: int = 80, end: str = FAIL) -> str:
    """The trace of a job that connects, does what the lines say, and ends."""
    return OPEN.replace("htons(80)", f"htons({port})") + "".join(lines) + end


def said(text: str) -> str:
    """A line in which the program writes to its error channel."""
    return f'9 2.5 write(2, "{text}", {len(text)}) = {len(text)} <0.0001>\n'


def came(head: str, body: str, time: str = "1.2") -> str:
    """A line in which an answer is received: header lines separated by |."""
    lines = "".join(f"{line}\\r\\n" for line in head.split("|")) + "\\r\\n" + body
    return f'9 {time} recvfrom(3, "{lines}", 65536, 0, NULL, NULL) = {_size(lines)} <0.001>\n'


def asks(text: str, time: str = "1.1") -> str:
    """A line in which something is sent."""
    size = _size(text)
    return f'9 {time} sendto(3, "{text}", {size}, 0, NULL, 0) = {size} <0.0001>\n'


def gets(text: str, time: str = "1.2") -> str:
    """A line in which something is received; "" is the peer's end."""
    return f'9 {time} recvfrom(3, "{text}", 65536, 0, NULL, NULL) = {_size(text)} <0.01>\n'


def answered(kind: str, body: str, words: str = "", end: str = FAIL) -> str:
    """The trace of a job that gets an answer of this Content-Type, says something of it where it does, and ends."""
    head = f"HTTP/1.1 200 OK|Content-Type: {kind}|Content-Length: {_size(body)}"
    return example(ASK, came(head, body), said(words) if words else "", end=end)


def _size(text: str) -> int:
    """In bytes, of text as strace escapes it."""
    return len(text.encode().decode("unicode_escape"))


@rule(
    "http-error-status",
    content=True,
    fires=example(ASK, came("HTTP/1.1 503 Service Unavailable|Server: awselb/2.0|Content-Length: 4", "busy")),
    silent=example(ASK, came("HTTP/1.1 404 Not Found|Content-Length: 2", "no"), end=FINE),
)
def http_error_status(case: Case) -> Iterator[Draft]:
    """The server answered with a status of 4xx or 5xx, and the job failed on it.

    What it is: the last answer that the failing process (or the reader of its output, or its shell) met has an error
        status; the variant is the status. The summary names the layer that sent it: load balancer, proxy, CDN, server.
    Why it matters: the data did not come; which layer says so tells whose log to read.
    What proves it: the status line, the failure after it, and the program's own words where they name the status.
    Not this: a challenge (401, 407) that the client then satisfied, a probe that falls back, an error that a retry made
        good (recovered-error), a program that ended well; a parser that choked on the page (html-instead-of-json).
    What to do: read the log of the layer named; retry 429 and 503 with back-off; correct the request for other 4xx.
    Source: RFC 9110 15, RFC 6585
    """
    yield from accused(case, "http-error-status")


@rule(
    "redirect-problem",
    content=True,
    fires=example(
        ASK,
        came("HTTP/1.1 302 Found|Location: /login?next=/v1/rows|Content-Length: 0", ""),
        asks("GET /login?next=/v1/rows HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", "1.3"),
        came(
            "HTTP/1.1 200 OK|Content-Type: text/html|Content-Length: 43",
            "<html><form><input type=password></form>   ",
            "1.4",
        ),
        said("bad answer"),
    ),
    silent=example(
        ASK,
        came("HTTP/1.1 301 Moved|Location: /v1/rows/|Content-Length: 0", ""),
        asks("GET /v1/rows/ HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", "1.3"),
        came("HTTP/1.1 200 OK|Content-Type: application/json|Content-Length: 2", "[]", "1.4"),
        end=FINE,
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
    fires=example(ASK, came("HTTP/1.1 200 OK|Content-Length: 500", "0123456789"), gets("", "1.3")),
    silent=example(ASK, came("HTTP/1.1 200 OK|Content-Length: 10", "0123456789"), gets("", "1.3")),
)
def truncated_response(case: Case) -> Iterator[Draft]:
    """The answer ended before its declared end.

    What it is: end of file before Content-Length bytes, before the last chunk, within a protocol's message.
    Why it matters: what came is a part; a job that does not check takes it for all.
    What proves it: the declared and the received size; both are in the log.
    Not this: HEAD, 204 and 304 (no body is due); a client that closed first; a reset in the middle (reset-by-peer); an
        answer without a length, which ends with the connection; bytes that `-s` cut from the log.
    What to do: the server's log at that second (crash, timeout, deployment); compare with the proxy's timeouts.
    Source: RFC 9112 6.3, 8
    """
    yield from accused(case, "truncated-response")
    yield from cut_units(case, "truncated-response")
    yield from cut_downloads(case)
    yield from told(case, "truncated-response")


@rule(
    "empty-body",
    content=True,
    fires=answered("application/json", "", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
    silent=example(ASK, came("HTTP/1.1 204 No Content|Server: a", ""), end=FINE),
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
