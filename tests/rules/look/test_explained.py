"""`systrace explain` knows every variant that a look can print."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import systrace.rules.look
from systrace.rules.pages import pages

FOLDER = Path(systrace.rules.look.__file__).parent
# Of cause and variant among the arguments; a cause that the function fills in stands here itself.
POSITIONS: dict[str, tuple[int | str, int]] = {
    "finding": (0, 1),
    "Draft": (0, 1),
    "_note": (1, 2),
    "_plain": ("not-network", 1),
    "_endless": ("not-network", 1),
    "_bare": ("not-network", 3),
    "_at_rest": ("hung-read", 2),
}


def words(node: ast.expr) -> list[str]:
    """The texts that an argument may be."""
    return [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def variants() -> Iterator[tuple[tuple[str, ...], str]]:
    """Every variant of drafts that are made in this folder, and the causes that it may be of."""
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            at = POSITIONS.get(name)
            if at is None or len(node.args) <= at[1]:
                continue
            causes = (at[0],) if isinstance(at[0], str) else tuple(words(node.args[at[0]]))
            yield from ((causes, variant) for variant in words(node.args[at[1]]) if variant)


def test_each_is_on_a_page_of_its_causes() -> None:
    known = pages()
    found = set(variants())
    assert len(found) > 30
    missing = sorted(
        f"{causes}: {variant}"
        for causes, variant in found
        if not any(f"`{variant}`" in " ".join(known[cause].sections.values()) for cause in causes)
    )
    assert not missing
