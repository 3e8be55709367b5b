"""Which results a file takes the place of when it is read: it has changed, was moved, or its `-ff` siblings are others now."""

from __future__ import annotations

import os
from collections.abc import Sequence

from systrace.fleet.finding import Found
from systrace.fleet.objects import is_url
from systrace.fleet.parts import Entry
from systrace.fleet.store import Store
from systrace.sources.logfile import stem_of_siblings


def stale(new: Sequence[Found], found: Sequence[Found], store: Store, paths: Sequence[str]) -> dict[str, list[Entry]]:
    """By the name of each that is to be read: what is known of the same recording, and counts no longer then.

    Args:
        new: what is to be read.
        found: all that was found.
        store: what is known.
        paths: where was looked.
    """
    names = {each.name for each in found}
    folders = tuple(f"{path.rstrip('/')}/" for path in paths)
    listed = tuple(each for each in folders if any(name.startswith(each) for name in names))
    by_file = {file: each for each in new for file in each.files}
    by_stem = {stem_of_siblings(each.name): each for each in new if len(each.files) > 1}
    by_content: dict[str, list[Found]] = {}
    for each in new:
        by_content.setdefault(each.content, []).append(each)
    known: dict[str, list[Entry]] = {}
    for entry in store.known.values():
        known.setdefault(entry.file, []).append(entry)
    older: dict[str, list[Entry]] = {each.name: [] for each in new}
    for file, entries in known.items():
        heir = by_file.get(file)
        if heir is None and file not in names:
            moved = next((same for one in entries if (same := by_content.get(one.content))), None)
            stem = by_stem.get(stem_of_siblings(file))
            if (moved or stem) and _is_gone(file, listed):
                heir = moved.pop() if moved else stem
        if heir is not None:
            older[heir.name] += [each for each in entries if not _is_partly_read(each, heir, store.edition)]
    return older


def _is_gone(file: str, listed: tuple[str, ...]) -> bool:
    """A file; or an object where others were listed."""
    return file.startswith(listed) if is_url(file) else not os.path.lexists(file)


def _is_partly_read(entry: Entry, found: Found, edition: str) -> bool:
    """A member of an archive that is read on."""
    return (entry.file, entry.content, entry.edition) == (found.name, found.content, edition)
