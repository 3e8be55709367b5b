"""Records of a VPC in the shape of the CLI's answers, from wherever they come; what was not read is said, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from systrace.cloud.aws.calls import DETAILS, LISTS
from systrace.cloud.aws.records import Record, dicts, text

T = TypeVar("T")


class MissingError(Exception):
    """What decides was not read."""

    def __init__(self, what: str, ask: str) -> None:
        super().__init__(what)
        self.what, self.ask = what, ask


class Inventory:
    """Lists by the key of the answer (`NetworkAcls`), details by key and owner (`Listeners` of a balancer)."""

    def __init__(self) -> None:
        self._lists: dict[str, list[Record]] = {}
        self._details: dict[tuple[str, str], list[Record]] = {}
        self._torn: set[str] = set()  # an answer with more pages than were saved
        self._why: dict[str, str] = {}  # key -> why it could not be read
        self._remembered: dict[str, Any] = {}

    # ------------------------------------------------------------------------------------------------------- filling

    def add(self, key: str, records: list[Record], *, whole: bool = True) -> None:
        """A list, or a page of it."""
        self._lists.setdefault(key, []).extend(records)
        if not whole:
            self._torn.add(key)

    def add_details(self, key: str, owner: str, records: list[Record]) -> None:
        """What belongs to one resource."""
        self._details.setdefault((key, owner), []).extend(records)

    def refused(self, key: str, why: str) -> None:
        """It cannot be read: AccessDenied, ..."""
        self._why[key] = why

    @property
    def keys(self) -> list[str]:
        """What was read."""
        return sorted({*self._lists, *(key for key, _ in self._details)})

    # ------------------------------------------------------------------------------------------------------- reading

    def records(self, key: str) -> list[Record]:
        """All of a list.

        Raises:
            MissingError: it was not read.
        """
        if key not in self._lists:
            self._ask(key)
        if key not in self._lists:
            raise self._missing(key, LISTS[key].command)
        return self._lists[key]

    def known(self, key: str) -> list[Record]:
        """Of a list what was read, without asking for it."""
        return self._lists.get(key, [])

    def remembered(self, name: str, make: Callable[[], T]) -> T:
        """What takes long to make of the records is made once: after all of them are read."""
        if name not in self._remembered:
            self._remembered[name] = make()
        found: T = self._remembered[name]
        return found

    def found(self, key: str, fits: Callable[[Record], bool]) -> Record | None:
        """The first that fits; None where the whole list has none.

        Raises:
            MissingError: it was not read, or not to its end.
        """
        one = next((each for each in self.records(key) if fits(each)), None)
        if one is None:
            self.check_whole(key)
        return one

    def check_whole(self, key: str) -> None:
        """What is not in a list is only absent where the list is whole.

        Raises:
            MissingError: it was saved without its last pages.
        """
        if key in self._torn:
            raise MissingError(
                f"{key} was saved with its first pages only", f"run `{LISTS[key].command}` without limits"
            )

    def one(self, key: str, field: str, identity: str) -> Record:
        """The record with this id.

        Raises:
            MissingError: the list was not read, or does not have it: it belongs to another account or region, or is gone.
        """
        record = self.found(key, lambda each: text(each, field) == identity)
        if record is None:
            raise MissingError(
                f"{identity} is not among the {key} that were read",
                f"it belongs to another account or region, or is gone: `{LISTS[key].command}` of its owner",
            )
        return record

    def details(self, key: str, owner: str) -> list[Record]:
        """What belongs to one resource.

        Raises:
            MissingError: it was not read.
        """
        if (key, owner) not in self._details:
            self._ask(key, owner)
        if (key, owner) in self._details:
            return self._details[key, owner]
        call = DETAILS[key]
        own = [each for each in self._lists.get(key, []) if text(each, call.argument) == owner]
        if own:
            return own
        raise self._missing(key, f"{call.command} --{dashed(call.argument)} {owner}")

    def attribute(self, key: str, owner: str, name: str) -> str:
        """The value of an attribute, "" where it is not set.

        Raises:
            MissingError: the attributes were not read.
        """
        return next((text(each, "Value") for each in self.details(key, owner) if text(each, "Key") == name), "")

    def instance(self, identity: str) -> Record:
        """An EC2 instance.

        Raises:
            MissingError: it was not read.
        """
        for reservation in self.records("Reservations"):
            for each in dicts(reservation, "Instances"):
                if text(each, "InstanceId") == identity:
                    return each
        raise MissingError(
            f"{identity} is not among the instances that were read", f"`{LISTS['Reservations'].command}`"
        )

    def tasks(self, said: str) -> list[Record]:
        """ECS tasks, among them the one that is named where that can be asked for."""
        self._ask("tasks", said)
        return self.known("tasks")

    def _missing(self, key: str, command: str) -> MissingError:
        why = self._why.get(key)
        call = LISTS.get(key) or DETAILS[key]
        if why:
            return MissingError(f"{key} could not be read: {why}", f"ask who may call {call.action}")
        return MissingError(f"{key} was not read", f"save what `{command}` prints, or ask who may call {call.action}")

    def _ask(self, key: str, owner: str = "") -> None:
        """Where answers can still be had: fill it in. Files say what they say."""


def dashed(name: str) -> str:
    """LoadBalancerArn -> load-balancer-arn, as the CLI's options are called."""
    return "".join(f"-{char.lower()}" if char.isupper() else char for char in name).lstrip("-")
