"""The house's dataclass does what the standard library's does."""

import copy
import dataclasses
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import systrace
from systrace.dataclass import dataclass
from systrace.model import Endpoint

STANDARD: Any = dataclasses.dataclass


def both(**how: Any) -> list[Any]:
    """The same class, made by either."""

    def made(by: Any) -> Any:
        class Thing:
            a: int
            b: list[int] = dataclasses.field(default_factory=list, compare=False)
            c: str = dataclasses.field(default="x", repr=False)

        return by(**how)(Thing)

    return [made(dataclass), made(STANDARD)]


@pytest.mark.parametrize(
    "how", [{}, {"slots": True}, {"frozen": True, "slots": True}, {"slots": True, "eq": False}], ids=str
)
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("xy")), min_size=2, max_size=2))
def test_as_the_standard_librarys(how: dict[str, Any], values: list[tuple[int, str]]) -> None:
    ours, theirs = ([kind(a, [a], c=c) for a, c in values] for kind in both(**how))
    assert [repr(each).rpartition(".")[2] for each in ours] == [repr(each).rpartition(".")[2] for each in theirs]
    assert (ours[0] == ours[1]) is (theirs[0] == theirs[1])
    assert ours[0] == copy.copy(ours[0]) or how.get("eq") is False
    assert ours[0] != values[0]
    assert [f.name for f in dataclasses.fields(ours[0])] == [f.name for f in dataclasses.fields(theirs[0])]
    assert hasattr(ours[0], "__dict__") is hasattr(theirs[0], "__dict__")
    if how.get("frozen") or how.get("eq") is False:
        assert (hash(ours[0]) == hash(ours[1])) is (hash(theirs[0]) == hash(theirs[1]))
    else:
        for each in (ours[0], theirs[0]):
            with pytest.raises(TypeError, match="unhashable"):
                hash(each)


def test_own_methods_stay() -> None:
    @dataclass(frozen=True, slots=True)
    class Named:
        name: str

        def __repr__(self) -> str:
            return f"<{self.name}>"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Named) and other.name.lower() == self.name.lower()

        def __hash__(self) -> int:
            return hash(self.name.lower())

    assert repr(Named("a")) == "<a>"
    assert {Named("a")} == {Named("A")}


def test_one_that_holds_itself_is_shown() -> None:
    @dataclass(slots=True)
    class Node:
        following: Any = None

    node = Node()
    node.following = node
    assert repr(node).endswith("Node(following=...)")


def test_copies() -> None:
    place = Endpoint("inet", "192.0.2.1", 80)
    assert pickle.loads(pickle.dumps(place)) == place
    assert dataclasses.replace(place, port=81) == Endpoint("inet", "192.0.2.1", 81)
    assert hash(place) == hash(dataclasses.replace(place))


def test_everybody_uses_it() -> None:
    package = Path(systrace.__file__).parent
    standard = re.compile(r"^ *from dataclasses import .*\bdataclass\b|dataclasses\.dataclass\b", re.MULTILINE)
    found = [path.name for path in package.rglob("*.py") if standard.search(path.read_text("utf-8"))]
    assert found == ["dataclass.py"]
