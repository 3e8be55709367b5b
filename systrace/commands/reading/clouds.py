"""The course of `systrace aws`: questions of the command line, the job's interface, ways, flow logs, the report."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from systrace.cloud.aws import flowlogs, names, telling, witnesses
from systrace.cloud.aws.facts import conclude, observations
from systrace.cloud.aws.interfaces import Interface
from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.questions import Question
from systrace.cloud.aws.records import address
from systrace.cloud.aws.sources import Hint, SeveralError, find
from systrace.cloud.aws.steps import ALLOWED, Way
from systrace.cloud.aws.walk import unknown_source, way_to
from systrace.commands import say
from systrace.commands.reading.checking import facts_added, facts_place, recording_place
from systrace.commands.reading.output import is_there
from systrace.dataclass import dataclass
from systrace.errors import CaptureError, InputError, UsageError
from systrace.observations import Observation

When = tuple[float, float] | None  # of a log: Unix time, first and last
_MOST_ADDRESSES = 4  # of one name


@dataclass(frozen=True, slots=True)
class Asked:
    """By one word of the command line."""

    questions: list[Question]
    own: tuple[str, ...] = ()  # the job's addresses
    when_s: When = None


class Course:
    """All questions of one command line."""

    def __init__(self, peers: Sequence[str], *, who: str, data: Path | None, flow_logs: str, as_json: bool) -> None:
        self._peers, self._who, self._as_json = peers, who, as_json
        self._inventory = _saved(data) if data is not None else _live()
        self._flow_logs, self._records = flow_logs, dict[tuple[Sequence[str], When], list[flowlogs.Record]]()
        self._sources: dict[tuple[str, ...], Interface | MissingError] = {}

    def run(self, *, save_facts: Path | None, add: bool) -> int:
        """Ask, tell, and keep what was found. Returns the exit status."""
        places = [recording_place(self._peers)] if add else []
        places += [facts_place(save_facts, self._peers)] if save_facts is not None else []
        found: list[Observation] = []
        statuses: set[int] = set()
        for asked in [self._asked(each) for each in self._peers]:
            for question in asked.questions:
                source = self._source((question.local,) if question.local else asked.own)
                way = self._way(question, source, asked.when_s)
                facts = observations(way, time.time_ns(), os.uname().nodename)
                found += facts
                statuses.add(conclude(way).status)
                self._show(way, facts, source)
        for place in places:
            facts_added(place, found)
        return 1 if 1 in statuses else max(statuses)

    # ----------------------------------------------------------------------------------------------------- questions

    def _asked(self, word: str) -> Asked:
        from systrace.probes.target import parsed

        target = None if is_there(word) else parsed(word)
        if target is None:
            return self._of_log(word)
        hosts = [target.host] if not target.is_name else names.addresses(self._inventory, target.host)
        name = target.host if target.is_name else ""
        if not hosts:
            hosts = _looked_up(target.host)
            say(f"{target.host} is {', '.join(hosts)}, as this host's resolver has it")
        return Asked([Question(str(address(each)), target.port, name) for each in hosts[:_MOST_ADDRESSES]])

    def _of_log(self, path: str) -> Asked:
        if not is_there(path) and path != "-":
            raise UsageError(f"{path}: no such log; a peer is HOST:PORT or a URL")
        from systrace.cloud.aws.logs import own_addresses, questions
        from systrace.commands.reading.analysis import analysis_of
        from systrace.commands.reading.loop import the_one

        analysis = analysis_of(the_one([path]))
        source, when_s = analysis.evidence.source, None
        if source.style.clock == "epoch" and source.first_ns is not None and source.last_ns is not None:
            when_s = (source.first_ns / 1e9, source.last_ns / 1e9)
        asked = questions(analysis)
        if not asked:
            raise InputError(f"{path}: the log shows no connection to another host: name a peer, HOST:PORT")
        return Asked(asked, own_addresses(analysis), when_s)

    # -------------------------------------------------------------------------------------------------------- source

    def _source(self, own: tuple[str, ...]) -> Interface | MissingError:
        if own not in self._sources:
            self._sources[own] = self._found(own)
        return self._sources[own]

    def _found(self, own: tuple[str, ...]) -> Interface | MissingError:
        """By the log, or the user; else by this host's metadata: a container's bridge has addresses of its own."""
        missing = MissingError("", "")
        if self._who or own:
            try:
                return find(self._inventory, Hint(self._who, own))
            except MissingError as unfound:
                missing = unfound
        if not self._who:
            from systrace.cloud.aws.metadata import hint

            here = hint()
            several = isinstance(missing, SeveralError)  # then this host's interface must be one of them
            try:
                found = find(self._inventory, replace(here, addresses=own) if several else here)
            except MissingError as unfound:
                return missing if own else unfound
            why = f"{missing.what}: " if own else ""
            say(f"{why}the network interface is that of this host, by {here.where}")
            return found
        return missing

    def _way(self, question: Question, source: Interface | MissingError, when_s: When) -> Way:
        if isinstance(source, MissingError):
            return unknown_source(question, source)
        way = way_to(self._inventory, question, source)
        if self._flow_logs:
            seers = witnesses.along(way, source, self._inventory)
            those = tuple(each.interface for each in seers if each.interface)
            if (those, when_s) not in self._records:
                self._records[those, when_s] = self._read_flow_logs(those, when_s)
            way.flows += witnesses.heard(seers, self._records[those, when_s])
        return way

    def _read_flow_logs(self, interfaces: Sequence[str], when_s: When) -> list[flowlogs.Record]:
        if is_there(self._flow_logs):
            lines = _file(self._flow_logs)
        elif "/" in self._flow_logs and self._flow_logs.endswith((".gz", ".log", ".txt", ".json")):
            raise UsageError(f"{self._flow_logs}: no such file")
        else:
            from systrace.cloud.aws.live import Live

            live = self._inventory if isinstance(self._inventory, Live) else Live()
            lines = live.events(self._flow_logs, " ".join(f'?"{each}"' for each in interfaces), when_s)
        records, strange = flowlogs.read(lines)
        if not records:
            raise InputError(
                f"{self._flow_logs}: no record of a flow log in it (a format of one's own needs its field names first)"
            )
        if strange:
            say(f"{self._flow_logs}: {strange} lines are no records of its format")
        found = flowlogs.within(records, when_s)
        if not found:
            say(f"{self._flow_logs}: all its records are of another time than the log's")
        return found

    # ------------------------------------------------------------------------------------------------------ the report

    def _show(self, way: Way, found: Sequence[Observation], source: Interface | MissingError) -> None:
        from systrace.reporters.layout import PIPED_WIDTH, Layout
        from systrace.words import encoded, wrap

        if sys.stdout is None:
            return
        routed = any(each.name == "route" for each in way.steps)  # else flow logs do not show it
        queries = _queries(way, source) if routed and not isinstance(source, MissingError) else {}
        if self._as_json:
            text = json.dumps(telling.plain(way, found, queries))
        else:
            width = Layout.of(sys.stdout.buffer).width if hasattr(sys.stdout, "buffer") else PIPED_WIDTH
            told = telling.lines(way, width)
            if queries and not self._flow_logs and way.outcome == ALLOWED:
                told += wrap(
                    f"flow logs tell whether it came through (Logs Insights): {queries['insights']}", width, "- ", "  "
                )
            text = "\n".join(told)
        sys.stdout.buffer.write(encoded(text + "\n"))
        sys.stdout.flush()


def _queries(way: Way, source: Interface) -> dict[str, str]:
    own = source.own(way.question.local, way.question.peer)
    return {
        "insights": flowlogs.insights(source.identity, own, way.question),
        "athena": flowlogs.athena(source.identity, own, way.question),
    }


def _saved(folder: Path) -> Inventory:
    from systrace.cloud.aws.saved import read

    inventory, complaints = read(folder)
    for each in complaints:
        say(each)
    return inventory


def _live() -> Inventory:
    from systrace.cloud.aws.live import Live

    return Live()


def _looked_up(name: str) -> list[str]:
    import socket

    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no name"
        raise CaptureError(f"{name}: {why}; name its address, ADDRESS:PORT") from None
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _file(name: str) -> list[str]:
    import gzip
    import io
    import zlib

    from systrace.cloud.aws.saved import LARGEST, content

    try:
        raw = content(Path(name))
        if raw[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(raw)) as packed:
                raw = packed.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    if len(raw) > LARGEST:
        raise InputError(f"{name}: too large; filter it for the job's network interface")
    return flowlogs.lines_of(raw.decode("utf-8", "replace"))


def printed_commands(*, as_json: bool) -> None:
    """Print what to run for `--data`, and the policy."""
    import typer

    from systrace.cloud.aws.asking import commands, policy

    if as_json:
        typer.echo(json.dumps({"commands": commands(), "policy": json.loads(policy())}))
        return
    for line in [*commands(), f"# the least policy for it (describe, get and list): {policy()}"]:
        typer.echo(line)
