"""XML: cut short or broken, and at which byte (expat's own words and offsets)."""

from __future__ import annotations

from xml.parsers import expat

from systrace.messages.body import Body
from systrace.messages.problem import Problem


def xml_problem(body: Body) -> Problem | None:
    """What an XML parser would stumble over, None when nothing (as far as bytes are known).

    Kinds: "truncated" (only said when all that came is known), "malformed", "empty".
    """
    if not body.received:
        return Problem("empty", 0, 1, 1, "no content") if body.ended else None
    return data_problem(body.data(), whole=body.data_final)


def data_problem(data: bytes, whole: bool = True) -> Problem | None:
    """The rule itself: fed without an end, an error is malformed; only at the end, it is truncated."""
    parser = expat.ParserCreate()
    try:
        parser.Parse(data, False)
    except (expat.ExpatError, ValueError, LookupError) as error:
        return _problem("malformed", parser, error)
    if not whole:
        return None
    try:
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        return _problem("truncated" if data.strip() else "empty", parser, error)
    return None


def _problem(kind: str, parser: expat.XMLParserType, error: Exception) -> Problem:
    words = str(error).partition(": line")[0]
    offset = max(0, parser.ErrorByteIndex)
    return Problem(kind, offset, parser.ErrorLineNumber, parser.ErrorColumnNumber + 1, words)


def root(data: bytes, limit: int = 64 << 10) -> tuple[str, list[tuple[str, str]]]:
    """(local name of the root element, [(local name, text) of the first elements within]); ("", []) when none.

    Works on a cut document; at most 64 elements and `limit` bytes are looked at.
    """
    names: list[str] = []
    found: list[tuple[str, str]] = []
    top: list[str] = []
    text: list[str] = []

    def start(name: str, _attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if not names and not top:
            top.append(local)
        names.append(local)
        text.clear()

    def end(_name: str) -> None:
        local = names.pop() if names else ""
        value = "".join(text).strip()
        if value and len(found) < 64:
            found.append((local, value[:500]))
        text.clear()

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    try:
        parser.Parse(data[:limit], False)
    except (expat.ExpatError, ValueError, LookupError):
        pass
    return (top[0] if top else ""), found
