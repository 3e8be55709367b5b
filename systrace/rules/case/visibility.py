"""What a log's options hide, and therefore which questions it cannot answer."""

from __future__ import annotations

from systrace.calls import NETWORK, PROCESS, SOCKETS
from systrace.messages.dns import DnsMessage
from systrace.messages.http import HttpStray
from systrace.messages.tls import NO_KEYS, TlsHello, TlsRecords
from systrace.model import Evidence, Process
from systrace.words import clean

# Calls of strace's %network and %process, and what such a log shows by itself: if there is nothing but these,
# `-e trace=network` hid the rest; a single other call shows that it did not.
_SHOWN_ANYWAY = NETWORK | PROCESS | frozenset(
    "signalled exited killed attached detached superseded text fact cloning restart_syscall".split()
)  # fmt: skip
_BUDGETS = (
    "reads and writes of files are not recorded; of each pipe and of standard input, output and error the first "
    "{} bytes are, of each process the first {} files that it opened for reading"
)
_FEW = 2  # calls: of fewer, as of a whole life without a socket(2), somebody picked those


def network_only(evidence: Evidence) -> bool:
    """Recorded with -e trace=network: connections, and no call but those of the network and of processes."""
    style = evidence.source.style
    seen = style.syscalls
    picked = evidence.health.records < _FEW or ("execve" in seen and bool(evidence.sockets) and not seen & SOCKETS)
    return not picked and not style.others and bool(seen & NETWORK) and seen <= _SHOWN_ANYWAY


def only_failures(evidence: Evidence) -> bool:
    """Recorded with -Z or -e status=failed: calls of sockets fail in it, and not one call of any kind succeeds."""
    style = evidence.source.style
    return style.failed and not style.succeeded and any(s.attempts for s in evidence.sockets.values())


def the_job(evidence: Evidence) -> Process | None:
    """The process that the recording began with."""
    return next((p for p in evidence.processes.values() if p.traced), None)


def stops_early(evidence: Evidence) -> str:
    """Why a recording of systrace's own stops before the job does: its tracer was killed, the disk is full, it reached its
    limit. "" where it goes to the end; one that `--timeout` or Ctrl-C ended has no fault: the job was seen until then.

    What had no end at that point may have had one a moment later: such a wait is no hang.
    """
    facts = evidence.source.facts
    fault, job = str(facts.get("fault") or ""), the_job(evidence)
    if not fault or (job is not None and job.exit_event is not None):
        return ""  # of the last calls of a job whose end is there, none is missing
    ended = isinstance(facts.get("exit_status"), int)  # else a tracer's complaint need not have stopped anything
    return fault if ended or "stops there" in fault else ""


def hidden_by_options(evidence: Evidence) -> list[str]:
    """One sentence for each kind of call or column that the log lacks."""
    style = evidence.source.style
    seen = style.syscalls
    hidden: list[str] = []
    if evidence.health.records == 0:
        return hidden  # nothing was hidden from nothing
    facts = evidence.source.facts
    if "strace_options" in facts or "calls" in facts:  # systrace's own recording: its options are known
        budgets = facts.get("budgets")
        if isinstance(budgets, dict):
            hidden.append(_BUDGETS.format(*[clean(str(budgets.get(name)), 12) for name in ("stream_bytes", "opens")]))
        elif facts.get("sockets_only") is True:
            hidden.append(
                "the embedded tracer looks at sockets: files opened for reading, bytes in files and pipes, and writes of 4 kB "
                "and more to the standard output of processes without a socket are not recorded, nor socket options but time "
                "limits, keepalive and errors; waits for pipes are"
            )
        elif facts.get("plain_files") is False:
            hidden.append("the embedded tracer leaves out reads and writes of plain files")
        unwatched = facts.get("unwatched")
        if isinstance(unwatched, list):
            hidden += [f"the kernel could not be asked {clean(str(each), 200)}" for each in unwatched[:2]]
        return hidden
    if network_only(evidence):
        hidden.append(
            "-e trace=network hides read, write, close, poll, select and epoll: waits and plain reads are unknown"
        )
    elif "read" not in seen and "execve" in seen and seen & {"close", "write"}:
        hidden.append("no read in this log: what was received by read(2) is unknown")
    if only_failures(evidence):
        hidden.append("only failing calls are in this log (-Z): what succeeded is unknown")
    if style.clock == "none":
        hidden.append("no time stamps in this log (-ttt): durations are unknown")
    elif not style.duration:
        hidden.append("no durations in this log (-T): they are taken from the thread's next line")
    children = [p for p in evidence.processes.values() if p.parent is not None]
    if children and not any(p.traced for p in children):
        hidden.append("children were not traced (-f): what they did is unknown")
    return hidden


def lost_calls(evidence: Evidence) -> str:
    """Calls that the tracer could not keep up with. "" where none was lost."""
    count = evidence.source.facts.get("lost_calls")
    if not isinstance(count, int) or count <= 0:
        return ""
    return f"{count} call{'s were' if count > 1 else ' was'} lost, for the tracer's buffer was full"


def through_rings(evidence: Evidence) -> str:
    """Who had an io_uring: the network work of it is in no recording of system calls. "" where nobody had."""
    owners = [process for process in evidence.processes.values() if process.ring is not None]
    facts = evidence.source.facts
    if not owners or (facts.get("rings_recorded") is True and "ring_unseen" not in facts):
        return ""
    names = ", ".join(f"{clean(process.command, 60)}[{process.pid}]" for process in owners[:3])
    more = f" and {len(owners) - 3} more" if len(owners) > 3 else ""
    return f"{names}{more} used io_uring: network work through a ring is invisible to tracers of system calls"


def sealed(evidence: Evidence) -> list[str]:
    """What TLS hides for want of session keys; hellos, alerts in clear, sizes and times are known all the same."""
    peers: dict[str, set[str]] = {}
    for message in evidence.messages:
        if isinstance(message, TlsRecords) and message.application_bytes and message.sealed:
            socket = evidence.sockets.get(message.socket)
            name = message.socket if socket is None else socket.name or str(socket.peer or message.socket)
            peers.setdefault(message.sealed, set()).add(name)
    advice = " without session keys (systrace run --tls-keys)"
    if evidence.source.facts.get("tls_keys"):
        honoured = "SSLKEYLOGFILE is honoured by OpenSSL's, GnuTLS' and NSS' users only"
        advice = f": its client logs no session keys ({honoured})"
    return [
        f"TLS to {len(names)} peer{'s' if len(names) > 1 else ''}: contents unknown"
        + (advice if why == NO_KEYS else f" ({why})")
        for why, names in peers.items()
    ]


def clipped(evidence: Evidence) -> int:
    """How many messages were known only in part, because `-s` cut strings."""
    return sum(1 for m in evidence.messages if isinstance(m, TlsHello | DnsMessage | HttpStray) and m.cut)
