"""The noun of the rules on content: one thing wrong with one answer, and what programs say that fail on it."""

from __future__ import annotations

from systrace.dataclass import dataclass
from systrace.rules.content.victims import Victim

# What parsers of each format say. Program names and class names as of Python, Node.js, Java, Ruby, PHP, Perl, Go, jq.
JSON_WORDS = (
    r"(?i)json|unexpected token|expecting value|unexpected end of (?:data|input)|invalid numeric literal|jq: "
    r"|parse error:|syntax error|control character error|malformed (?:number|string)"
    r"|invalid character '.{1,6}' (?:looking|after|in )|(?:expected \w+|trailing characters) at line \d+ column"
)
XML_WORDS = (
    r"(?i)\bxml|parseerror|sax|not well-formed|mismatched tag|rexml|prolog|no element found|unable to parse|libxml"
    r"|start tag expected|document is empty|parser error"
)
TEXT_WORDS = (
    r"(?i)unicode|utf-?8|utf-?16|codec|charset|encoding|byte sequence|malformedinput|malformed input|multibyte|\bBOM\b"
)
CODING_WORDS = (
    r"(?i)gzip|deflate|inflate|zlib|zstd|brotli|incorrect header check|compress|invalid start byte|x\{1f\}|\\x1f|\x1f"
    r"|x\\x9c|control character|\\u001f|0x8b|�"
)
VALUE_WORDS = (
    r"KeyError|ValueError|TypeError|AttributeError|IndexError|NumberFormat|NullPointer|ArrayIndex|NoMethodError"
    r"|ArgumentError|undefined|Undefined|NoSuchElement|InvalidOperation|could not convert|columns|fields|width|record"
)
EMPTY_WORDS = (
    r"(?i)empty|no (?:data|content|rows|lines)|expecting value|unexpected end|end of (?:file|input)|EOF|0 bytes|nothing"
)


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


def says(victim: Victim | None, pattern: str) -> bool:
    """Whether the words of the program that failed fit."""
    return victim is not None and victim.said.has(pattern)
