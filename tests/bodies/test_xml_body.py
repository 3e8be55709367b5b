"""XML: documents cut, broken and hostile, and what the root says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.bodies.xml_body import data_problem, root, xml_problem
from systrace.messages.body import Body

Make = Callable[..., Body]

XML = (
    '<?xml version="1.0"?>\n<a:list xmlns:a="urn:a"><item n="1">é &amp; b</item><!-- c --><empty/></a:list>\n'.encode()
)
BOMB = b'<!DOCTYPE a [<!ENTITY b "%s">' % (b"x" * 1000)
BOMB += b"".join(b'<!ENTITY b%d "%s">' % (n, (b"&b%d;" % (n - 1) if n else b"&b;") * 10) for n in range(9))
BOMB += b"]><a>&b8;</a>"


def test_every_prefix_of_a_document_is_truncated() -> None:
    end = XML.rindex(b">") + 1
    for at in range(1, end):
        problem = data_problem(XML[:at])
        assert problem is not None, XML[:at]
        assert problem.kind == "truncated", XML[:at]
    assert data_problem(XML) is None


@pytest.mark.parametrize(
    ("data", "kind", "offset", "line"),
    [
        (b"<a><b></a>", "malformed", 8, 1),
        (b"<a>\n& </a>", "malformed", 5, 2),
        (b"<a></a>junk", "malformed", 7, 1),
        (b'{"a": 1}', "malformed", 0, 1),
        (b"", "empty", 0, 1),
        (BOMB, "malformed", None, 1),
    ],
)
def test_broken_documents(data: bytes, kind: str, offset: int | None, line: int, make: Make) -> None:
    problem = xml_problem(make(data))
    assert problem is not None
    assert (problem.kind, problem.line) == (kind, line)
    assert offset is None or problem.offset == offset


def test_an_unknown_end_proves_nothing(make: Make) -> None:
    assert xml_problem(make(b"<a><b>", missing=7)) is None


def test_the_root_and_its_first_texts() -> None:
    assert root(XML[:-12]) == ("list", [("item", "é & b")])
    assert root(b"no xml") == ("", [])


@given(st.binary(max_size=300))
def test_hostile_bytes_never_raise(make: Make, data: bytes) -> None:
    problem = xml_problem(make(data))
    assert problem is None or problem.offset <= len(data)
    assert isinstance(root(data)[0], str)
