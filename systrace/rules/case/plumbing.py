"""Failures between this host's own processes and files: a reader that is gone, a helper that died, a disk that is full."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from errno import errorcode

from systrace.calls import PIPES
from systrace.model import Draft, Event, FileOpened, Process, Sent, Socket, Step
from systrace.rules.case.datagrams import expects_answers
from systrace.rules.case.farewells import work_on
from systrace.rules.case.index import Case, once
from systrace.rules.case.local_waits import WAITS, broken_off, told
from systrace.shell import word

_FULL = {"ENOSPC": "no space is left on the device", "EDQUOT": "the disk quota is used up", "EROFS": "it is read-only"}
_FULL_WORDS = re.compile(rb"(?i)no space left|disk quota|read-only file system|disk (?:is )?full|\bwrit(?:e|ing)\b")
_STDERR = 2
_GONE = ("EPIPE", "ECONNRESET")


def broken_plumbing(case: Case, cause: str) -> Iterator[Draft]:
    """What a failed process met last, where that is no network's doing."""
    if any(finding.severity in ("fatal", "error") for finding in case.findings):
        return  # of which the helper has died, as a rule
    for process, event, variant, text in breaks(case):
        finding = case.finding(cause, None, [event], process)
        if process.exit_event is not None:
            finding.evidence.append(process.exit_event)
        finding.variant, finding.severity, finding.confidence = variant, "fatal", "likely"
        finding.end_ns = case.ended(event)
        how = "" if variant == "lock" else f" ({event.record.errno or 'end of file'})"
        finding.summary = f"{case.name_of(process)}: {text}{how}. No network is involved."
        if variant == "unopened":
            finding.causes = ["the file is not there (yet), is named wrongly, or the job's user may not open it"]
            path = event.path if isinstance(event, FileOpened) else "/"
            finding.next_steps = [Step(f"namei -l {word(path)}", "as the job's user: it and each folder above it")]
            finding.remedy = ["repair the path or the rights; check them before the work begins"]
        elif variant == "lock":
            finding.causes = [WAITS["lock"][1]]
            finding.next_steps = [Step("cat /proc/locks", "who holds it: the process id is in the fifth column")]
            finding.remedy = ["end or repair the holder; wait longer, or begin later than the other job ends"]
        elif variant == "disk-full":
            finding.causes = ["the file system is full, or a quota is"]
            finding.next_steps = [Step("df -h; df -i; quota -s")]
            finding.remedy = ["make room, or write elsewhere"]
        else:
            finding.causes = ["the process at the other end ended first: look for its own last words and status"]
            finding.next_steps = [Step("strace -f", "follows the helper, too"), Step("dmesg | tail", "was it killed?")]
            finding.remedy = ["repair the helper or reader; in a shell, `set -o pipefail` tells which part failed"]
        finding.refuted_by = "the process having gone on after that"
        yield finding


@once
def breaks(case: Case) -> list[tuple[Process, Event, str, str]]:
    """The processes that failed after such a failure, and did nothing else since: the call, its variant, and in words."""
    return list(_breaks(case))


def _breaks(case: Case) -> Iterator[tuple[Process, Event, str, str]]:
    for process in case.evidence.processes.values():
        if case.fate(process) not in ("failed", "killed"):
            continue
        ended_well = case.fate(case.root_of(process)) == "ok"
        found = [
            *_of_files(case, process),
            *_of_channels(case, process),
            *_of_unopened(case, process),
            *_of_locks(case, process),
        ]
        if not found:
            continue
        event, variant, text = max(found, key=lambda each: case.at(each[0]))
        if variant == "stdio" and ended_well:
            continue  # `curl ... | head -1`: its reader had enough, and the job does not mind
        if not _went_on(case, process, event):
            yield process, event, variant, text


def _of_files(case: Case, process: Process) -> Iterator[tuple[Event, str, str]]:
    for event in process.faults:
        errno = event.record.errno or ""
        if errno == "EPIPE" and isinstance(event, Sent) and event.fd > _STDERR and not _is_pipe(case, event):
            continue
        if errno in _FULL:
            yield event, "disk-full", f"a write failed: {_FULL[errno]}"
        elif errno == "EPIPE" and isinstance(event, Sent):
            where = {1: "its standard output", 2: "its standard error"}.get(
                event.fd, f"the pipe at descriptor {event.fd}"
            )
            yield event, "stdio" if event.fd in (1, 2) else "helper", f"nobody reads {where} any more"


def _of_unopened(case: Case, process: Process) -> Iterator[tuple[Event, str, str]]:
    """Files that it could not open, and said so in its last words; the job's status is its own."""
    if not process.unopened or not _gave_status(case, process):
        return
    for event in process.unopened:
        words = _REASONS.get(event.record.errno or "", "")
        said = (o for o in process.output if o.fd == _STDERR and case.at(o.event) >= case.at(event))
        text = b"".join(output.data for output in said).decode("utf-8", "replace").lower()
        name = event.path.rpartition("/")[2].lower()
        if name and words and any(name in line and words in line for line in text.splitlines()):
            yield event, "unopened", f"{event.path} could not be opened, as its last words say"


def _of_locks(case: Case, process: Process) -> Iterator[tuple[Event, str, str]]:
    """A lock that its own timer gave up; the job's status is its own."""
    for other, span in broken_off(case):
        gave_up = other is process and span.kind == "lock" and span.timed_out and process.exit_code
        if gave_up and _gave_status(case, process):
            yield span.events[-1], "lock", told(case, process, span)


_REASONS = {name: os.strerror(number).lower() for number, name in errorcode.items()}  # as programs print them


def _gave_status(case: Case, process: Process) -> bool:
    """It is the job, or the child that ended last, and the job ended with its status."""
    root, end = case.root_of(process), case.end_of(process)
    if root is None or root is process:
        return True
    return root.exit_code == process.exit_code and end is not None and end >= _last_ends(case).get(root.pid, end)


@once
def _last_ends(case: Case) -> dict[int, int]:
    """When the last child of each job ended that it outlived, by the job's process id, in the order of `Case.at`."""
    found = {}
    for root in case.roots():
        over, ends = case.end_of(root), [case.end_of(other) for other in case.descendants(root)]
        found[root.pid] = max((end for end in ends if end is not None and (over is None or end <= over)), default=0)
    return found


def _is_pipe(case: Case, event: Sent) -> bool:
    """The descriptor is a pipe: strace says so, or the log shows where pipes come from (a socket breaks in the same way)."""
    return b"<pipe:" in event.record.raw or case.shows(PIPES)


@once
def _pairs(case: Case) -> dict[int, list[Socket]]:
    """The socketpairs of each process."""
    found: dict[int, list[Socket]] = {}
    for socket in case.evidence.sockets.values():
        process = case.process(socket) if socket.role == "pair" and socket.kind != "pipe" else None
        if process is not None:
            found.setdefault(process.pid, []).append(socket)
    return found


def _of_channels(case: Case, process: Process) -> Iterator[tuple[Event, str, str]]:
    """Socketpairs: the other end belongs to a helper of the job's own."""
    for socket in _pairs(case).get(process.pid, ()):
        for fault in socket.faults:
            if fault.errno in _GONE:
                yield fault.event, "helper", "the child or helper at the other end of its socketpair is gone"


def _went_on(case: Case, process: Process, event: Event) -> bool:
    """It did other work on the network after that, with success. What still came of an answer is none, where its last words are
    of a write that failed: whoever can't keep what it gets may read on for a moment, within TLS to the end of a record.
    """
    after = case.at(event)
    mine = (s for s in case.clients if case.process(s) is process and expects_answers(s))
    moved = [e for s in mine for e in work_on(s) if case.ended(e) > after] if case.has_clock else []
    if event.record.errno in _FULL and _says_so(case, process, after):
        return any(isinstance(e, Sent) for e in moved)
    return bool(moved)


def _says_so(case: Case, process: Process, after: int) -> bool:
    """Its last line on the error channel is of a write that failed."""
    said = b"".join(o.data for o in process.output if o.fd == _STDERR and case.at(o.event) >= after)
    return _FULL_WORDS.search(said.strip().rpartition(b"\n")[2]) is not None
