"""The course of `systrace check`: targets of the command line, questions with their time told first, the report."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer

from systrace import probes
from systrace.commands import say
from systrace.commands.reading.output import is_there
from systrace.errors import CaptureError, InputError, UsageError
from systrace.idle_limits import Limit
from systrace.observations import Observation
from systrace.outputs import Place, appending, distinct, place, write_all
from systrace.probes.asking import Allowed
from systrace.probes.concluding import Conclusion, conclude
from systrace.probes.target import Target, parsed
from systrace.words import roughly

_LONGEST_S = 3600.0  # for all targets of one command


def targets_of(peers: Sequence[str], netns: int | None) -> list[Target]:
    """Of logs and names; from here on this process is in the network namespace that was asked for.

    Raises:
        SystraceError: a log cannot be read or accuses nobody, a word is no peer, a namespace may not be entered.
    """
    named = [(peer, None if is_there(peer) else parsed(peer)) for peer in peers]
    if netns is not None:
        _enter(netns)
    targets: list[Target] = []
    for peer, target in named:
        targets += [target] if target is not None else _of_log(peer)
    from systrace.kernel.facts import resolv_conf

    own = resolv_conf(netns)
    servers, search = tuple(own["nameservers"]), tuple(own["search"])
    return [each if each.nameservers else replace(each, nameservers=servers, search=search) for each in targets]


def _enter(pid: int) -> None:
    from systrace.kernel.netns import enter

    try:
        enter(pid)
    except OSError as error:
        raise CaptureError(f"cannot enter the network namespace of process {pid}: {error.strerror}") from None


def _of_log(path: str) -> list[Target]:
    if not is_there(path) and path != "-":
        raise UsageError(f"{path}: no such log; a peer is HOST:PORT or a URL")
    from systrace.commands.reading.analysis import analysis_of
    from systrace.commands.reading.loop import the_one
    from systrace.probes.accused import accused, foreign_addresses

    analysis = analysis_of(the_one([path]))
    targets = accused(analysis)
    if not targets:
        raise InputError(f"{path}: the log accuses no peer ({analysis.verdict.cause}): name one, HOST:PORT")
    others = foreign_addresses(analysis.evidence)
    if others:
        say(f"{path} was recorded on a host with the address {', '.join(others[:3])}, which this one does not have: "
            "what is found here may differ")  # fmt: skip
    return targets


class Course:
    """Questions about all targets; `found` is complete at any moment."""

    def __init__(
        self, targets: Sequence[Target], *, http: bool, tls: bool, as_json: bool, limits: Sequence[Limit]
    ) -> None:
        self.targets, self.allowed = targets, Allowed(http, tls)
        self.found: list[Observation] = []
        self._as_json, self._limits = as_json, limits

    def probes(self) -> int:
        """All probes that fit. Returns the exit status."""
        connections = sum(each.most_connections for each in self.targets)
        longest = probes.longest_s(self.targets, self.allowed)
        say(f"at most {roughly(longest)}, and {connections} connections to {', '.join(map(str, self.targets))}")
        answers = [self._probed(each) for each in self.targets]
        statuses = {answer.status for answer in answers}
        return 1 if 1 in statuses else max(statuses)

    def _probed(self, target: Target) -> Conclusion:
        first = len(self.found)
        try:
            probes.run([target], allowed=self.allowed, deadline_s=_LONGEST_S, found=self.found)
        finally:
            answer = conclude(self.found[first:])
            self._show(str(target), answer, self.found[first:], [])
        return answer

    def idle(self, longest_s: float) -> int:
        """The idle test of the one target. Returns the exit status."""
        from systrace.probes.idle.judging import UNCLEAR
        from systrace.probes.idle.silence import Refused
        from systrace.probes.idle.testing import IdleTest, advice

        target = self.targets[0]
        if target.proxy is not None:  # the job's connection is one to its proxy
            target = Target(*target.proxy, used=target.proxy[:1])
        if not target.port:
            raise UsageError(f"{target}: what the log accuses is a name, not a connection: name HOST:PORT")
        address = self._address(target)
        test = IdleTest(target, address, longest_s, self._limits)
        once, twice = test.longest
        say(f"{test.connections} silent connections to {target}: at most {roughly(once)}, and {roughly(twice)} where the "
            "limit is none of the catalogue; Ctrl-C tells what is known")  # fmt: skip
        more: list[str] = []
        try:
            test.run(_tick if _watched() else None)
        except Refused as refused:
            return self._refused(target, refused.dial.error or refused.dial.outcome)
        finally:
            if _watched():
                typer.echo("\r\x1b[K", err=True, nl=False)
            if test.rounds and (seen := test.judgement).tried:
                self.found.append(test.observation())
                more = advice(seen, target)
                self._show(str(target), _answer(seen.kind == UNCLEAR, self.found), self.found, more)
        return _answer(test.judgement.kind == UNCLEAR, self.found).status

    def _address(self, target: Target) -> str:
        """By the names probe, where a name is given."""
        if not target.is_name:
            return target.host
        from systrace.probes.idle.testing import reachable

        if not target.used:
            probes.run([replace(target, port=0)], found=self.found)
        named = [str(one) for each in self.found for one in each.value.get("addresses", ())]
        addresses = list(dict.fromkeys([*target.used, *named]))
        if not addresses:
            self._show(str(target), conclude(self.found), self.found, [])
            raise CaptureError(f"{target.host} has no address")
        return reachable(addresses, target.port)

    def _refused(self, target: Target, why: str) -> int:
        text = f"no connection could be made ({why}): systrace check {target}"
        self._show(str(target), Conclusion(2, "inconclusive", str(target), text), self.found, [])
        return 2

    def _show(self, subject: str, answer: Conclusion, found: Sequence[Observation], more: Sequence[str]) -> None:
        from systrace.probes.telling import lines, plain
        from systrace.reporters.layout import PIPED_WIDTH, Layout
        from systrace.words import encoded

        if sys.stdout is None:
            return
        if self._as_json:
            text = json.dumps(plain(subject, answer, found, more))
        else:
            width = Layout.of(sys.stdout.buffer).width if hasattr(sys.stdout, "buffer") else PIPED_WIDTH
            text = "\n".join(lines(subject, answer, found, more, width))
        sys.stdout.buffer.write(encoded(text + "\n"))
        sys.stdout.flush()


def _answer(unclear: bool, found: Sequence[Observation]) -> Conclusion:
    answer = conclude(found)
    if unclear:
        return Conclusion(2, "inconclusive", answer.subject, str(found[-1].value["text"]))
    return answer if answer.status else replace(answer, text=str(found[-1].value["text"]))


def _watched() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _tick(number: int, gone: float, whole: float) -> None:
    """A line that is written over, for somebody who waits at a terminal."""
    typer.echo(f"\rround {number}: {roughly(gone)} of at most {roughly(whole)}\x1b[K", err=True, nl=False)


def facts_place(path: Path, peers: Sequence[str]) -> Place:
    """Where --save-facts writes: looked at before anything is asked."""
    where = place(path)
    distinct([("--save-facts", where)], [peer for peer in peers if is_there(peer)])
    return where


def recording_place(peers: Sequence[str]) -> Place:
    """The log that --add adds to.

    Raises:
        UsageError: none or several are named, or it is no file that text can be added to.
    """
    logs = [peer for peer in peers if is_there(peer)]
    if len(logs) != 1 or not Path(logs[0]).is_file():
        raise UsageError("--add needs one LOG, a plain file; else --save-facts FILE")
    with Path(logs[0]).open("rb") as log:
        head = log.read(64)
        if not head.isascii() or b"\0" in head or head.startswith(b"BZh"):
            raise UsageError(f"{logs[0]} is compressed, or no plain text: nothing is added to it: --save-facts FILE")
        log.seek(0, os.SEEK_END)
        if log.tell():
            log.seek(-1, os.SEEK_END)
            if log.read(1) != b"\n":
                raise UsageError(f"{logs[0]}: its last line has no end, nothing is added to it: --save-facts FILE")
    return place(logs[0])


def facts_added(where: Place, found: Sequence[Observation]) -> None:
    """Write them: at the end of a recording, or of a file of facts."""
    if not found:
        return
    descriptor = appending(where)
    try:
        write_all(descriptor, b"".join(each.line for each in found))
    finally:
        if where.kind != "descriptor":
            os.close(descriptor)
