"""Defects of what a body carries: packed, empty, in the wrong character set, malformed, an error object."""

from __future__ import annotations

import re

from systrace.bodies.charset import CharsetProblem, charset_problem
from systrace.bodies.error_payload import error_payload
from systrace.bodies.expectations import due, unannounced_compression
from systrace.bodies.json_body import json_problem
from systrace.bodies.tabular import csv_problem, fixed_width_problem
from systrace.bodies.xml_body import xml_problem
from systrace.messages.body import Body
from systrace.messages.http import HttpResponse
from systrace.messages.problem import Problem
from systrace.rules.content.answers import Answer
from systrace.rules.content.defect import (
    CODING_WORDS,
    EMPTY_WORDS,
    JSON_WORDS,
    TEXT_WORDS,
    VALUE_WORDS,
    XML_WORDS,
    Defect,
    says,
)
from systrace.rules.content.victims import Victim

_DATA_METHODS = frozenset(("GET", ""))


def coded(answer: Answer, victim: Victim | None) -> Defect | None:
    """Compressed bytes that the program took for text."""
    body = answer.response.body
    if body is None or not body.received:
        return None
    kind = unannounced_compression(answer.response)
    decoded = body.decoded()
    if kind is not None:
        text = f"was {kind} data that no Content-Encoding announces"
    elif decoded.problem is not None and decoded.problem.kind in ("not-encoded", "malformed"):
        text = f"declares Content-Encoding {', '.join(body.encodings)}, but its bytes are not that: {decoded.problem.message}"
    elif body.encodings and body.encodings[-1] in ("gzip", "x-gzip", "deflate", "br", "zstd"):
        request = answer.response.request
        asked = (request.header("accept-encoding") or "") if request is not None else ""
        if body.encodings[-1] in asked.lower() and not _left_packed(answer, victim):
            return None
        text = f"was compressed (Content-Encoding: {', '.join(body.encodings)})"
        text += ", which the request had not asked for" if not asked else ", and the program did not undo it"
    else:
        return None
    return Defect(
        "encoded-body",
        body.encodings[-1] if body.encodings else kind or "",
        text + f"; first bytes {body.raw()[:4].hex(' ')}",
        CODING_WORDS + "|" + JSON_WORDS[4:] + "|" + TEXT_WORDS[4:],
        causes=(
            "a proxy, CDN or object store adds compression unasked",
            "the client library does not decode by itself",
        ),
        remedy=(
            "let the client decode: curl --compressed, LWP decoded_content, zlib in Node.js or urllib",
            "or ask for Accept-Encoding: identity",
        ),
    )


_UNPACKERS_WORDS = (
    r"(?i)not in (?:gzip|bzip2|xz) format|not a (?:gzip|zip|bzip2|xz)|not in (?:gzip|GZIP) format|incorrect header check"
    r"|unknown compression format|format not recognized|invalid magic|bad magic|unsupported format"
)


def plain(answer: Answer, victim: Victim | None) -> Defect | None:
    """Data that is not packed, where the program unpacks: its words say so."""
    body = answer.response.body
    if body is None or not body.received or body.encodings or not says(victim, _UNPACKERS_WORDS):
        return None
    kind = body.kind()
    if kind not in ("json", "xml", "csv", "text", "html"):
        return None
    return Defect(
        "invalid-payload",
        "not-compressed",
        f"was {kind}, and the program wanted something compressed",
        _UNPACKERS_WORDS,
        causes=("the server stopped to compress, or sent an error's text in place of the file", "a wrong path"),
        remedy=("look at Content-Type or the first bytes before unpacking",),
    )


def _left_packed(answer: Answer, victim: Victim | None) -> bool:
    """The program complains of a byte that compressed data begins with; or it failed without a word that the log shows, and
    its client is one that leaves the body as it came: Python's urllib, and curl that was given the header by hand
    (--compressed offers deflate first: curl, lib/content_encoding.c).
    """
    if says(victim, r"x\{1f\}|\\x1f|\x1f|\\u001f|0x8b"):
        return True
    request = answer.response.request
    if request is None or victim is None or victim.said.text:
        return False
    agent = request.header("user-agent") or ""
    by_hand = agent.startswith("curl/") and "deflate" not in (request.header("accept-encoding") or "")
    return by_hand or agent.startswith("Python-urllib/")


def empty(answer: Answer, victim: Victim | None) -> Defect | None:
    response = answer.response
    request = response.request
    if response.status >= 300 or not response.complete or (response.body is not None and response.body.received):
        return None
    if (response.body is None and response.status != 204) or response.content_type.startswith("application/grpc"):
        return None
    wants_data = request is None or request.method in _DATA_METHODS
    if not wants_data and not says(victim, EMPTY_WORDS + "|" + JSON_WORDS[4:]):
        return None
    return Defect(
        "empty-body",
        f"status-{response.status}",
        f"(status {response.status}) was complete and has an empty body",
        EMPTY_WORDS + "|" + JSON_WORDS[4:] + "|" + XML_WORDS[4:],
        proof=False,
        causes=(
            "the server had no data and says so by an empty answer (204, Content-Length: 0)",
            "the application failed after the status was sent",
        ),
        remedy=("check for an empty body before parsing",),
    )


def charset(answer: Answer, victim: Victim | None) -> Defect | None:
    body = answer.response.body
    if body is None or body.kind() not in ("json", "xml", "csv", "text", "binary"):
        return None
    problem = charset_problem(body)
    if problem is None or not _stumbled(problem, body, victim):
        return None
    where = f"byte {problem.offset}"
    if problem.line:
        where = f"line {problem.line} column {problem.column} ({where})"
    known = problem.actual is None or problem.actual in problem.message
    actual = "" if known else f"; the bytes fit {problem.actual}"
    return Defect(
        "charset-error",
        problem.kind,
        f"does not fit its character set {problem.declared} ({problem.by}): {problem.message} at {where}{actual}",
        TEXT_WORDS + "|" + JSON_WORDS[4:] + "|" + XML_WORDS[4:],
        causes=(
            "the source of the data writes another character set than is declared (legacy latin-1, Excel export, BOM)",
        ),
        remedy=(
            "decode as the bytes are (utf-8-sig for a BOM, windows-1252), or let the sender declare what it sends",
        ),
    )


def _stumbled(problem: CharsetProblem, body: Body, victim: Victim | None) -> bool:
    """The program says so, or it is of a kind that parsers refuse and programs may die of without a word."""
    if problem.kind == "truncated" and not body.whole:
        return False
    if says(victim, TEXT_WORDS):
        return True
    if problem.kind in ("mismatch", "double-encoded", "truncated"):
        wide = (problem.actual or "").startswith(("utf-16", "utf-32"))
        return wide and victim is not None and not victim.said.text and body.kind() != "binary"
    return body.kind() == "json" if problem.kind == "bom" else body.kind() != "binary"


def json(answer: Answer, victim: Victim | None) -> Defect | None:
    response = answer.response
    body = response.body
    if body is None or not body.received or not response.complete:
        return None
    wanted = due(response)
    is_due = body.kind() == "json" or (wanted is not None and wanted[0] == "json")
    if not is_due and not (body.kind() in ("text", "csv", "html") and says(victim, JSON_WORDS)):
        return None
    problem = json_problem(body)
    if problem is None or problem.kind == "empty":
        return None
    if problem.kind == "nonstandard" and not says(victim, JSON_WORDS):
        return None
    return Defect(
        "invalid-json",
        problem.kind,
        f"was complete ({body.size}), but its JSON is {problem}",
        JSON_WORDS,
        proof=is_due,
        causes=(
            "the application cut or spoilt it: a crash while writing, a warning printed in front of it, string "
            "building",
        ),
        remedy=("have the sender serialise with a JSON library and test it: jq . FILE",),
    )


def table(answer: Answer, victim: Victim | None) -> Defect | None:
    body = answer.response.body
    if body is None or not body.received or not answer.response.complete:
        return None
    packed = body.decoded().problem
    if packed is not None and packed.kind == "truncated" and body.whole:
        return _cut_archive(body.encodings, packed)
    form, problem = _table_problem(answer.response, body, victim)
    if problem is None or problem.kind == "empty":
        return None
    return Defect(
        "invalid-payload",
        form,
        f"was complete ({body.size}), but as {form} it is {problem}",
        XML_WORDS + "|" + VALUE_WORDS,
        causes=("the sender wrote it cut or malformed", "another kind of document came (error text, other version)"),
        remedy=("save the bytes and give them to the parser offline; have the sender repair its export",),
    )


def _table_problem(response: HttpResponse, body: Body, victim: Victim | None) -> tuple[str, Problem | None]:
    """(what the body should be, the first thing that is wrong with it as such)."""
    wanted, kind = due(response), body.kind()
    xml_due = kind == "xml" or (wanted is not None and wanted[0] == "xml")
    if xml_due or (kind in ("text", "json", "html") and says(victim, XML_WORDS)):
        return "XML", xml_problem(body)
    if kind not in ("csv", "text") or not says(victim, VALUE_WORDS + "|(?i:csv|column|row|line|field)"):
        return kind, None
    problem = csv_problem(body)
    return ("table", problem) if problem is not None else ("fixed-width record", fixed_width_problem(body))


def _cut_archive(encodings: tuple[str, ...], problem: Problem) -> Defect:
    return Defect(
        "invalid-payload",
        encodings[-1] if encodings else "compressed",
        f"was complete, but its compressed content ({', '.join(encodings)}) stops too early: {problem.message}",
        CODING_WORDS + "|" + EMPTY_WORDS[4:],
        causes=("the sender was stopped while it compressed, and a cache or proxy keeps what came",),
        remedy=("test the saved bytes with gzip -t; have the sender write its file anew",),
    )


def error_object(answer: Answer, victim: Victim | None) -> Defect | None:
    body = answer.response.body
    if body is None or answer.response.status >= 400:
        return None
    payload = error_payload(body)
    if payload is None:
        return None
    words = ": ".join(part for part in (payload.code, payload.message) if part)
    return Defect(
        "error-payload",
        payload.form,
        f"(status {answer.response.status}) was well-formed and reports an error in place of data"
        + (f": {words[:200]}" if words else ""),
        r"(?i)error|" + VALUE_WORDS + (("|" + re.escape(words[:30])) if words else ""),
        proof=True,
        causes=("the application refused or failed and says so in the body, not in the status",),
        remedy=("look for the error member before using the data",),
    )


_QUOTED = re.compile(
    r"(?:input string: |float: |int\(\) with base 10: |literal for \w+\(\)[^:]*: |KeyError: "
    r"|invalid value for \w+\(\): )"
    r"""["']([^"'\n]{1,60})["']"""
)


def values(answer: Answer, victim: Victim | None) -> Defect | None:
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
        "invalid-payload",
        "value",
        what,
        VALUE_WORDS,
        causes=("the sender changed the format or wrote a placeholder",),
        remedy=("check columns and values before use",),
    )
