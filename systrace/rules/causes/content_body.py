"""What bodies carry and why a parser chokes on it (verdicts 4.5)."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.model import Draft
from systrace.rules.case.index import Case
from systrace.rules.content.accusing import accused
from systrace.rules.content.exchanges import told
from systrace.rules.examples import answered, asks, came, job
from systrace.rules.rule import rule


@rule(
    "html-instead-of-json",
    content=True,
    fires=answered(
        "text/html",
        "<!DOCTYPE html><html>sorry</html>  ",
        "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    ),
    silent=answered("text/html", "<!DOCTYPE html><html>sorry</html>", status=0),
)
def html_instead_of_json(case: Case) -> Iterator[Draft]:
    """An HTML page came where JSON or other data was expected.

    What it is: a body that begins `<!DOCTYPE` or `<html`, and a program (or the reader of its output) that failed to
        parse it; variant `status-502` and the like when the status was an error that nobody looked at.
    Why it matters: "Expecting value: line 1 column 1" or "Unexpected token <" say nothing of the page behind it.
    What proves it: the first bytes of the body, what the request or the header promised, the parser's message.
    Not this: a program that wanted a page; a client that failed on the status itself (http-error-status); a page that a
        redirect led to (redirect-problem).
    What to do: read the page's title and sender; check status and Content-Type before parsing.
    Source: RFC 9110 8.3
    """
    yield from accused(case, "html-instead-of-json")


@rule(
    "invalid-json",
    content=True,
    fires=answered("application/json", '{\\"a\\": [1, 2,]}', "JSONDecodeError: Expecting value"),
    silent=answered("application/json", '{\\"a\\": 1}\\n'),
)
def invalid_json(case: Case) -> Iterator[Draft]:
    """A complete answer whose JSON is malformed.

    What it is: variants `truncated` (the text stops, though the transfer was whole: the application cut it),
        `malformed`, `nonstandard` (NaN, Infinity).
    Why it matters: the sender is at fault, not the network; a retry brings the same bytes.
    What proves it: line and column of the first wrong character, found in the bytes by a standard parser.
    Not this: a transfer that was cut (truncated-response); HTML, an empty body, compressed or wrongly encoded bytes,
        which parsers complain of in the same words; newline-delimited JSON.
    What to do: give the saved bytes to `jq .`; have the sender use a JSON library.
    Source: RFC 8259
    """
    yield from accused(case, "invalid-json")


@rule(
    "invalid-payload",
    content=True,
    fires=answered(
        "application/xml", "<a><b>1</a></b", "xml.etree.ElementTree.ParseError: mismatched tag: line 1, column 9"
    ),
    silent=answered("application/xml", "<a><b>1</b></a>"),
)
def invalid_payload(case: Case) -> Iterator[Draft]:
    """A complete answer in another format (XML, CSV, fixed width) that is malformed or of the wrong kind.

    What it is: XML that is not well-formed, rows of another width, a column or value that the program can't use, HTML
        where XML was due.
    Why it matters: the sender changed or broke its export; a retry brings the same bytes.
    What proves it: the place of the first fault in the bytes, and the program's own words for it.
    Not this: a transfer that was cut (truncated-response); wrong character sets (charset-error).
    What to do: give the saved bytes to the parser (`xmllint --noout`); ask the sender.
    Source: XML 1.0 2.1, RFC 4180
    """
    yield from accused(case, "invalid-payload")
    yield from told(case, "invalid-payload")


@rule(
    "charset-error",
    content=True,
    fires=answered(
        "text/csv; charset=utf-8",
        "a;b\\nK\\344se;1\\n",
        "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe4 in position 5",
    ),
    silent=answered("text/csv; charset=iso-8859-1", "a;b\\nK\\344se;1\\n", status=0),
)
def charset_error(case: Case) -> Iterator[Draft]:
    """The bytes do not fit the character set that is declared (or the default, UTF-8).

    What it is: a byte that the set does not allow, UTF-16 where UTF-8 was declared, a byte order mark before data that
        parsers refuse.
    Why it matters: one name with an umlaut stops the whole run.
    What proves it: the first wrong byte and its place; what the bytes fit instead.
    Not this: compressed bytes (encoded-body); a body that is declared as it is.
    What to do: decode as the bytes are, or have the sender declare what it sends.
    Source: RFC 3629, RFC 8259 8.1
    """
    yield from accused(case, "charset-error")


@rule(
    "encoded-body",
    content=True,
    fires=answered(
        "application/json",
        "\\37\\213\\10\\0\\0\\0\\0\\0\\2\\3\\253\\252",
        "UnicodeDecodeError: 'utf-8' codec can't decode byte 0x8b in position 1: invalid start byte",
    ),
    silent=job(
        asks("GET /a.gz HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n"),
        came(
            "HTTP/1.1 200 OK|Content-Type: application/gzip|Content-Length: 12",
            "\\37\\213\\10\\0\\0\\0\\0\\0\\2\\3\\253\\252",
        ),
    ),
)
def encoded_body(case: Case) -> Iterator[Draft]:
    """The body was compressed, and the program took the compressed bytes for data.

    What it is: gzip, deflate or zstd bytes without Content-Encoding, or with one that the request had not asked for and
        the program did not undo; or a header that announces compression where there is none.
    Why it matters: "invalid start byte", "Unexpected token" hide that the data is good and only packed.
    What proves it: the first bytes (1f 8b ...), the headers of request and response, the program's words.
    Not this: a file that is an archive by name or type; a client that decodes (curl --compressed).
    What to do: let the client decode, or ask for identity.
    Source: RFC 9110 8.4, RFC 1952 2.3.1
    """
    yield from accused(case, "encoded-body")


@rule(
    "error-payload",
    content=True,
    fires=answered("application/json", '{\\"error\\": {\\"message\\": \\"no quota\\"}}', "KeyError: 'orders'"),
    silent=answered("application/json", '{\\"error\\": {\\"message\\": \\"no quota\\"}}', status=0),
)
def error_payload(case: Case) -> Iterator[Draft]:
    """Well-formed data that reports an application error came where data was expected.

    What it is: status 200 and a JSON, XML or SOAP body whose top level says error.
    Why it matters: the program stumbles over a missing field ("KeyError", "undefined"), and the server's reason is
        lost.
    What proves it: the error member with its code and message, quoted, and the failure after it.
    Not this: an error status (http-error-status); a program that handles it and ends well.
    What to do: read the message; look for the error member before using the data.
    Source: RFC 9457, JSON-RPC 2.0 5.1
    """
    yield from accused(case, "error-payload")
