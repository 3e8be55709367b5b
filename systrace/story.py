"""A finding's evidence in words: who did what to whom, decoded, one sentence a call. What cannot be told stays the call."""

from __future__ import annotations

import errno as numbers
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from systrace import model
from systrace.model import Event, Evidence, Finding, Message, Process
from systrace.words import is_binary, payload, seconds

_DATA = 120  # columns of payload


class Told(NamedTuple):
    """One piece of evidence."""

    who: str  # command; "" where nobody is known
    direction: str  # sent, received, said, waited, or ""
    text: str  # "" where only the call itself tells


class Story:
    """Tells the evidence of one finding."""

    def __init__(self, evidence: Evidence, finding: Finding) -> None:
        self._evidence = evidence
        self._socket = evidence.sockets.get(finding.socket or "")
        self._messages = {id(event): message for message in self._carried(finding) for event in message.events[:1]}
        waits = self._socket.waits if self._socket is not None else []
        self._begun = {id(span.events[0]): span for span in waits if span.calls > 1}
        self._last = {id(span.events[-1]) for span in waits if span.calls > 1}
        self._to_write = {id(event) for span in waits if span.direction == "w" for event in span.events}
        self._outputs = {
            id(output.event): (outputs, at)
            for outputs in (_outputs(evidence, pid) for pid in self._pids(finding))
            for at, output in enumerate(outputs)
        }

    def _carried(self, finding: Finding) -> Iterator[Message]:
        """The messages of the sockets that this is about; of pieces, the first call tells."""
        if self._socket is not None:
            yield from self._socket.messages

    def _pids(self, finding: Finding) -> set[int | None]:
        return {finding.pid, *(self._evidence.owners.get(event.record.tid) for event in finding.evidence)}

    def tell(self, event: Event) -> Told:
        """One call, exit or signal."""
        process = self._evidence.processes.get(self._evidence.owners.get(event.record.tid, -1))
        words = _WORDS.get(type(event))
        direction, text = words(self, event) if words is not None else ("", "")
        return Told(_name(process), direction, text or _plainly(event.record))

    def _nothing(self, event: Event, came: bool = False) -> str:
        """What a wait brought that ended without result."""
        if id(event) in self._to_write:
            return "could not send"
        return "nothing came" if came else "nothing"

    # --------------------------------------------------------------------------------------------------- what was done

    def _sent(self, event: model.Sent) -> tuple[str, str]:
        record, (outputs, at) = event.record, self._outputs.get(id(event), ((), 0))
        if outputs or event.fd == 2:
            path = outputs[at].path if outputs and event.fd != 2 else ""
            data = payload((_known(event) + _rest_of_line(outputs[at:])).strip(), _DATA)
            return "said", f"said{f' in {path}' if path.startswith('/') else ''}: {data}"
        if record.errno is not None:
            return "sent", f"could not send: {_error(record.errno)}"
        if event.record.pending:
            return "waited", "sends, and that had no end in the log"
        return "sent", f"sent {self._content(event)}"

    def _received(self, event: model.Received) -> tuple[str, str]:
        record = event.record
        if record.pending or record.outcome == model.RESTARTED:
            return "waited", f"waits to receive; nothing came{_lasted(record.duration_ns, ' for ')}"
        if record.errno == "EAGAIN":
            return (
                "waited",
                f"nothing{_lasted(record.duration_ns, ' for ', least=10_000_000)}: no data was there (EAGAIN)",
            )
        if record.errno is not None:
            return "received", f"could not receive: {_error(record.errno)}"
        if not event.size:
            return "received", "received the end: the other side has closed"
        return "received", f"received {self._content(event)}"

    def _content(self, event: model.Transfer) -> str:
        """What went over the socket, as its protocol says it; else its first bytes."""
        message = self._messages.get(id(event))
        bytes_ = f"{event.size} byte{'' if event.size == 1 else 's'}"
        if message is not None and message.summary:
            part = " in its first call" if len(message.events) > 1 else ""
            return f"{message.summary.rstrip(': ')} ({bytes_}{part})"
        data = _known(event)
        if message is None and is_binary(data[:_DATA]):
            return f"{bytes_} (binary)"
        return f"{bytes_}: {payload(data, _DATA)}" if data else bytes_

    def _connected(self, event: model.Connected) -> tuple[str, str]:
        record, to = event.record, f"{event.peer}" if event.peer is not None else "an unknown address"
        took = _lasted(record.duration_ns, " in ")
        if record.errno == "EINPROGRESS":
            return "sent", f"began to connect to {to}"
        if record.pending:
            return "waited", f"connects to {to}; no answer came"
        if record.errno == "ETIMEDOUT":
            return "waited", f"connect to {to}: no answer{_lasted(record.duration_ns, ' for ')} (ETIMEDOUT)"
        if record.errno is not None:
            return "sent", f"connect to {to} failed{took.replace(' in ', ' after ')}: {_error(record.errno)}"
        return "sent", f"connected to {to}{took}"

    def _waited(self, event: model.Waited) -> tuple[str, str]:
        record, span = event.record, self._begun.get(id(event))
        if span is not None:
            times = (
                f"{span.calls} waits{_lasted(span.duration_ns, ', ')} in all" if span.end_ns is not None else "waits"
            )
            return "waited", f"{self._nothing(event, came=True)}: {times} ({record.syscall})"
        lasted = _lasted(
            record.duration_ns if record.duration_ns is not None else event.limit_ns if event.timed_out else None,
            " for ",
        )
        if event.timed_out:
            limit = f"its limit of {seconds(event.limit_ns)}" if event.limit_ns is not None else "its limit"
            last = "the last of these waits" if id(event) in self._last else f"{self._nothing(event)}{lasted}"
            return "waited", f"{last}: {limit} ran out ({record.syscall})"
        if record.pending or record.outcome == model.RESTARTED:
            limit = "with no limit" if event.limit_ns is None else f"at most {seconds(event.limit_ns)}"
            nothing = self._nothing(event, came=True)
            return "waited", f"waits{lasted}, {limit}; {nothing} ({record.syscall})"
        if record.errno is not None:
            return "waited", f"its wait was broken off{lasted}: {_error(record.errno)}"
        return "waited", f"was told that something had come{lasted.replace(' for ', ' after ')} ({record.syscall})"


def _plainly(record: model.Record) -> str:
    """A call of which nothing else is to be told: that it failed, or did not return."""
    if record.errno is not None:
        return f"{record.syscall} failed: {_error(record.errno)}"
    if record.pending and record.syscall:
        return f"is in {record.syscall}, which does not return"
    return ""


def _name(process: Process | None) -> str:
    return process.command if process is not None else ""


def _outputs(evidence: Evidence, pid: int | None) -> Sequence[model.Output]:
    process = evidence.processes.get(pid) if pid is not None else None
    return process.output if process is not None else ()


def _rest_of_line(outputs: Sequence[model.Output]) -> bytes:
    """What followed the first of these on its line: some programs write a letter a call."""
    line = b""
    for output in outputs:
        if b"\n" in line or len(line) > _DATA:
            break
        line += output.data if output.fd == outputs[0].fd else b""
    return line.partition(b"\n")[0][len(outputs[0].data) :] if outputs else b""


def _known(event: model.Transfer) -> bytes:
    return b"".join(known for known, _ in event.payload())[: event.size or None]


def _lasted(ns: int | None, lead: str, least: int = 0) -> str:
    return f"{lead}{seconds(ns)}" if ns is not None and ns >= least else ""


def _error(name: str) -> str:
    number = getattr(numbers, name, None)
    return f"{os.strerror(number).lower()} ({name})" if isinstance(number, int) else name


def _exited(_story: Story, event: model.Exited) -> tuple[str, str]:
    return "", f"was killed by {event.signal}" if event.signal is not None else f"ended with exit status {event.code}"


def _signalled(_story: Story, event: model.Signalled) -> tuple[str, str]:
    return "", f"got {event.signal}{f' from process {event.sender}' if event.sender else ''}"


def _reaped(_story: Story, event: model.Reaped) -> tuple[str, str]:
    if event.code is None and event.signal is None:
        return "", ""
    how = f"was killed by {event.signal}" if event.signal is not None else f"ended with exit status {event.code}"
    return "", f"its child {event.child} {how}"


def _got(_story: Story, event: model.OptionGot) -> tuple[str, str]:
    return ("received", f"its connect failed: {_error(event.error)}") if event.error else ("", "")


def _bound(_story: Story, event: model.Bound) -> tuple[str, str]:
    if event.record.errno is None or event.local is None:
        return "", ""
    return "", f"could not take the local address {event.local}: {_error(event.record.errno)}"


def _set(_story: Story, event: model.OptionSet) -> tuple[str, str]:
    return "", f"set {event.name} to {event.value}" if event.value is not None else f"set {event.name}"


def _closed(_story: Story, event: model.Closed) -> tuple[str, str]:
    return "sent", "closed it" if event.first == event.last else ""


def _executed(_story: Story, event: model.Executed) -> tuple[str, str]:
    failed = event.record.errno
    return "", f"could not start {event.path}: {_error(failed)}" if failed else f"started {' '.join(event.argv)[:200]}"


def _printed(_story: Story, event: model.Printed) -> tuple[str, str]:
    return "said", f"said: {payload(event.data.strip(), _DATA)}"


_WORDS: dict[type[Event], Callable[[Story, Any], tuple[str, str]]] = {
    model.Sent: Story._sent,
    model.Received: Story._received,
    model.Connected: Story._connected,
    model.Waited: Story._waited,
    model.Exited: _exited,
    model.Signalled: _signalled,
    model.Reaped: _reaped,
    model.OptionGot: _got,
    model.OptionSet: _set,
    model.Bound: _bound,
    model.Closed: _closed,
    model.Executed: _executed,
    model.Printed: _printed,
}
