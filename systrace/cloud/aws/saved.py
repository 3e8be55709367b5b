"""Saved answers of the CLI: any JSON files in a directory, recognised by their top-level keys."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from systrace.cloud.aws.calls import DETAILS, LISTS
from systrace.cloud.aws.inventory import Inventory
from systrace.cloud.aws.records import Record
from systrace.errors import UsageError

_PAGED = ("NextToken", "NextMarker", "nextToken", "Marker")
LARGEST = 1 << 28  # bytes of one file


def read(folder: Path) -> tuple[Inventory, list[str]]:
    """Everything in a directory (and below it).

    Returns:
        What was read, and complaints about files that were not.

    Raises:
        UsageError: there is no such directory, or nothing of use in it.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: {'not a directory' if folder.exists() else 'no such directory'}")
    inventory, complaints = Inventory(), list[str]()
    for path in sorted(folder.rglob("*.json")):
        try:
            document = json.loads(content(path))
        except OSError as error:
            complaints.append(f"{path}: {error.strerror}")
            continue
        except (ValueError, RecursionError):
            complaints.append(f"{path}: no JSON")
            continue
        if not add(inventory, document, str(path)):
            complaints.append(f"{path}: none of its top-level keys is one of describe-*'s")
    if not inventory.keys:
        raise UsageError(
            f"{folder}: no answers of `aws ... describe-*` in it; `systrace aws --commands` prints what to run"
        )
    return inventory, complaints


def content(path: Path) -> bytes:
    """Of a regular file. A pipe would be waited for, and a device has no end.

    Raises:
        OSError: it is none, it cannot be read, or it is larger than anything that AWS answers.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "no regular file")
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        found = file.read(LARGEST + 1)
    if len(found) > LARGEST:
        raise OSError(errno.EFBIG, "too large")
    return found


def add(inventory: Inventory, document: object, where: str = "") -> bool:
    """One answer, or several in one object. Returns whether anything in it was known.

    Args:
        inventory: takes it.
        document: what was read.
        where: the file, for people.
    """
    if not isinstance(document, Mapping):
        return False
    whole = not any(document.get(key) for key in _PAGED)
    known = False
    for key in (*LISTS, "tasks", "Listeners"):  # listeners say themselves whose they are
        if isinstance(document.get(key), list):
            inventory.add(key, _records(document[key]), whole=whole, where=where)
            known = True
        elif key in LISTS and isinstance(document.get(key), Mapping):  # VpcBlockPublicAccessOptions is one record
            inventory.add(key, [document[key]], where=where)
            known = True
    for key, call in DETAILS.items():
        owner, found = document.get(call.argument), document.get(call.key or key)
        if isinstance(owner, str) and isinstance(found, list | Mapping):
            inventory.add_details(key, owner, _records(found), whole=whole, where=where)
            known = True
    return known


def _records(found: list[object] | Mapping[str, object]) -> list[Record]:
    """What is none in a list is an empty one, which has no shape."""
    return [each if isinstance(each, Mapping) else {} for each in ([found] if isinstance(found, Mapping) else found)]
