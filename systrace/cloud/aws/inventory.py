"""Records of a VPC in the shape of the CLI's answers, from wherever they come; what was not read is said, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from systrace.cloud.aws.calls import DETAILS, LISTS, dashed
from systrace.cloud.aws.records import Record, dicts, text
from systrace.cloud.aws.shapes import fault

T = TypeVar("T")
_FIRST = "was saved with its first pages only"
_FLEETING = frozenset(  # differs from one look to the next, or from one account to the other
    "Tags TagSet TagList AvailableIpAddressCount LatestRestorableTime EarliestRestorableTime EarliestBacktrackTime".split()
)


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
        self._torn: dict[str | tuple[str, str], str] = {}  # answers that are not whole -> why
        self._damaged: dict[tuple[str, str], str] = {}  # key and id -> the field of the record
        self._from: dict[tuple[str, str], tuple[Any, str]] = {}  # key and id -> the record, and its file
        self._twofold: dict[tuple[str, str], str] = {}  # key and id -> the files that differ about it
        self._why: dict[str, str] = {}  # key -> why it could not be read
        self._remembered: dict[str, Any] = {}

    # ------------------------------------------------------------------------------------------------------- filling

    def add(self, key: str, records: list[Record], *, whole: bool = True, where: str = "") -> None:
        """A list, or a page of it, and the file that it stands in."""
        call = LISTS.get(key)
        field = call.identity if call is not None else ""
        found = self._lists.setdefault(key, [])
        for each in records:
            identity = text(each, field) if field else ""
            self._look_at(key, key, identity, each)
            if not identity or self._is_news(key, identity, _lasting(each), where):
                found.append(each)
        if not whole:
            self._torn[key] = _FIRST

    def add_details(
        self, key: str, owner: str, records: list[Record], *, whole: bool = True, where: str = ""
    ) -> None:  # fmt: skip
        """What belongs to one resource."""
        for each in records:
            self._look_at(key, (key, owner), "", each)
        if self._is_news(key, owner, records, where):
            self._details.setdefault((key, owner), []).extend(records)
        if not whole:
            self._torn[key, owner] = _FIRST

    def _look_at(self, key: str, place: str | tuple[str, str], identity: str, record: Record) -> None:
        """A record that lacks what AWS always says may be the one that is looked for."""
        field = fault(key, record)
        if field:
            self._torn.setdefault(
                place, f"holds a record that is not understood ({identity or 'without an id'}: {field})"
            )
            self._damaged[key, identity] = field

    def _is_news(self, key: str, identity: str, told: object, where: str) -> bool:
        """Whether this was not told before: yesterday's answer beside today's may say something else of the same id."""
        before, file = self._from.setdefault((key, identity), (told, where))
        if before is told:
            return True
        if before == told:
            return False
        self._twofold[key, identity] = f"{file} and {where}" if file and where else "two answers"
        return True

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
        """Of a list what can be had, [] where it cannot: for what no verdict rests on."""
        if key not in self._lists:
            self._ask(key)
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
            MissingError: it was not read, or not to its end, or two files differ about it.
        """
        one = next((each for each in self.records(key) if fits(each)), None)
        if one is None:
            self.check_whole(key)
            return None
        return self.sure(key, one)

    def sure(self, key: str, record: Record) -> Record:
        """A record of a list, where all answers agree on it.

        Raises:
            MissingError: two files say different things of the same id, or it is not understood.
        """
        call = LISTS[key]
        identity = text(record, call.identity)
        self._check_agreed(key, identity, call.command)
        field = self._damaged.get((key, identity)) if identity else fault(key, record)
        if field:
            raise MissingError(
                f"the record of {identity or key} is not understood: {field}", f"run `{call.command}` again"
            )
        return record

    def _check_agreed(self, key: str, identity: str, command: str) -> None:
        files = self._twofold.get((key, identity))
        if files is not None:
            raise MissingError(
                f"{files} say different things of {identity}", f"leave one of the two there, or run `{command}` again"
            )

    def check_whole(self, key: str) -> None:
        """What is not in a list is only absent where the list is whole.

        Raises:
            MissingError: it was saved without its last pages, or a record in it is damaged.
        """
        if key in self._torn:
            raise MissingError(f"{key} {self._torn[key]}", f"run `{LISTS[key].command}` again, without limits")

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
            MissingError: it was not read, or not to its end, or is damaged, or two files differ about it.
        """
        if (key, owner) not in self._details:
            self._ask(key, owner)
        call = DETAILS[key]
        command = f"{call.command} --{dashed(call.argument)} {owner}"
        own = [each for each in self._lists.get(key, []) if text(each, call.argument) == owner]
        found = self._details.get((key, owner), own or None)
        if found is None:
            raise self._missing(key, command)
        self._check_agreed(key, owner, command)
        torn = self._torn.get(key) or self._torn.get((key, owner))
        if torn:
            raise MissingError(f"{key} of {owner} {torn}", f"run `{command}` again, without limits")
        return found

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
                    self.sure("Reservations", reservation)
                    return each
        raise MissingError(
            f"{identity} is not among the instances that were read", f"`{LISTS['Reservations'].command}`"
        )

    def tasks(self, said: str) -> list[Record]:
        """ECS tasks, among them the one that is named where that can be asked for."""
        self._ask("tasks", said)
        return self._lists.get("tasks", [])

    def _missing(self, key: str, command: str) -> MissingError:
        why = self._why.get(key)
        call = LISTS.get(key) or DETAILS[key]
        if why:
            return MissingError(f"{key} could not be read: {why}", f"ask who may call {call.action}")
        return MissingError(f"{key} was not read", f"save what `{command}` prints, or ask who may call {call.action}")

    def _ask(self, key: str, owner: str = "") -> None:
        """Where answers can still be had: fill it in. Files say what they say."""


def _lasting(record: Record) -> Record:
    return {key: value for key, value in record.items() if key not in _FLEETING}
