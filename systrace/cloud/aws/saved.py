"""Saved answers of the CLI: any JSON files in a directory, recognised by their top-level keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from systrace.cloud.aws.calls import DETAILS, LISTS
from systrace.cloud.aws.inventory import Inventory
from systrace.cloud.aws.records import dicts
from systrace.errors import UsageError

_PAGED = ("NextToken", "NextMarker", "nextToken", "Marker")
_LARGEST = 1 << 28  # bytes of one file


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
            if path.stat().st_size > _LARGEST:
                complaints.append(f"{path}: too large for what describe-* prints")
                continue
            document = json.loads(path.read_bytes())
        except OSError as error:
            complaints.append(f"{path}: {error.strerror}")
            continue
        except (ValueError, RecursionError):
            complaints.append(f"{path}: no JSON")
            continue
        if not add(inventory, document):
            complaints.append(f"{path}: none of its top-level keys is one of describe-*'s")
    if not inventory.keys:
        raise UsageError(
            f"{folder}: no answers of `aws ... describe-*` in it; `systrace aws --commands` prints what to run"
        )
    return inventory, complaints


def add(inventory: Inventory, document: object) -> bool:
    """One answer, or several in one object. Returns whether anything in it was known."""
    if not isinstance(document, Mapping):
        return False
    whole = not any(document.get(key) for key in _PAGED)
    known = False
    for key in (*LISTS, "tasks"):
        if isinstance(document.get(key), list):
            inventory.add(key, dicts(document, key), whole=whole)
            known = True
        elif isinstance(document.get(key), Mapping):  # VpcBlockPublicAccessOptions is one record
            inventory.add(key, [document[key]])
            known = True
    for key, call in DETAILS.items():
        owner, found = document.get(call.argument), document.get(call.key or key)
        if isinstance(owner, str) and isinstance(found, list):
            inventory.add_details(key, owner, dicts(document, call.key or key))
            known = True
    if isinstance(document.get("Listeners"), list):  # they say themselves whose they are
        inventory.add("Listeners", dicts(document, "Listeners"))
        known = True
    vpc, support = document.get("VpcId"), document.get("EnableDnsSupport")
    if isinstance(vpc, str) and isinstance(support, Mapping):
        inventory.add("EnableDnsSupport", [{"VpcId": vpc, "Value": support.get("Value")}])
        known = True
    return known
