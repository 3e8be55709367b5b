"""What the words of reports, help and messages mean: `systrace explain terms`."""

from __future__ import annotations

# Chapter -> word -> meaning, in one or two short sentences for somebody who meets the word for the first time.
GLOSSARY: dict[str, dict[str, str]] = {
    "The verdict": {
        "FAILED": "The job, or a step of it, went wrong, and the recording shows at which connection or file.",
        "HUNG": "Something waited without an end, until it was killed or the recording stopped.",
        "DEGRADED": "Something went wrong and the job went on: it took longer, or did less, than it should have.",
        "HEALTHY": "Nothing that the recording shows went wrong, or the job got over it.",
        "NOT CLEAR": "The recording does not show enough to say. That is no proof of health. In JSON: inconclusive.",
        "NOT READ": "A file of several that is no recording, or could not be opened; its line says why.",
        "cause": "The short name of what went wrong, such as hung-read: `systrace explain hung-read`.",
        "finding": "One thing that was found, with the lines that show it. The verdict rests on the heaviest one.",
        "evidence": "The lines of the recording on which a finding rests.",
    },
    "How bad, how sure": {
        "severity": "How bad a finding is: fatal, error, warning or info.",
        "fatal": "It ended the job or a step of it, or keeps it waiting.",
        "error": "Something was refused, broken or wrong. Exit status 1 counts these and the fatal ones.",
        "warning": "It did no harm this time, and may the next.",
        "info": "Good to know when something else is wrong.",
        "confidence": "How sure a finding is: confirmed, likely or possible.",
        "confirmed": "The lines show it; there is no other explanation.",
        "likely": "The lines fit, and another explanation is improbable. What would prove it wrong is said.",
        "possible": "The lines fit, and fit something else as well: check before you act.",
    },
    "The network": {
        "socket": "One end of a connection, as the program holds it. S4 is the fourth that the recording shows: "
        "`systrace follow --socket S4 FILE` prints what went over it.",
        "pipe": "A one-way connection between two programs of the job. P1 is the first of the recording.",
        "descriptor": "The number under which a program knows an open file or socket: fd 3.",
        "peer": "The other side of a connection, as address:port.",
        "client, server": "Who opened the connection, and who accepted it.",
        "connect": "Opening a connection. Refused: the machine answered that nobody listens there. Timed out: nobody answered.",
        "request, answer": "What one side asked, and what the other said to it.",
        "turn": "All that one side says until the other one does: a request is one turn, its answer the next.",
        "silence": "A time in which nothing came over a connection, in either direction.",
        "timeout": "How long a program waits before it gives up. Without one it waits for ever.",
        "idle limit": "The silence after which a firewall, load balancer or server drops a connection, often without a word "
        "to either side. `--limits FILE` adds your own.",
        "NAT": "A router that gives many machines one address. It forgets silent connections: the next request is lost.",
        "keepalive": "Small probes that the kernel sends on a silent connection: they keep NAT from forgetting it, and show "
        "that a peer is gone. `systrace keepalive PID` turns them on.",
        "reset": "The other side ended the connection at once (ECONNRESET); what was under way is lost.",
        "TLS": "The encryption of https and others. What is inside is seen with the session keys only (--tls-keys, --keylog).",
        "TLS alert": "A few bytes in which one side says why it ends an encrypted connection.",
        "DNS": "How names become addresses. The server that is asked is called the resolver.",
    },
    "The recording": {
        "system call": "What a program asks of the kernel: open, connect, send, receive, wait.",
        "strace": "A program that writes down the system calls of another one. systrace reads its text.",
        "recording": "A file with these lines, from systrace (--save) or from strace. It may hold passwords.",
        "tracer": "Who writes the calls down: eBPF, the embedded tracer, or strace. The recording looks the same.",
        "eBPF": "Small programs that root may put into the kernel. They note the job's calls and stop nothing.",
        "embedded tracer": "systrace's own, which needs no rights and no strace. It stops the job at sockets only.",
        "look": "A question to the kernel about a running process, which is neither stopped nor slowed: `systrace attach`.",
        "attach": "To look at, and then trace, a process that runs already.",
        "follow": "To print what went over one connection, in both directions.",
        "cut": "strace keeps the first bytes of what is sent and received (-s SIZE); the rest is a hole in the recording.",
        "seccomp filter": "A list in the kernel of the calls that are to be traced, so that the others lose no time.",
        "PID": "The number of a process. `ps`, `pgrep` and `systemctl status` print it.",
        "EINTR": "A call came back early because of a signal. Well-made programs repeat it; some fail.",
    },
}
TERMS = {word: meaning for chapter in GLOSSARY.values() for word, meaning in chapter.items()}


def meaning(word: str) -> tuple[str, str] | None:
    """The entry of a word in any spelling, also of one of two words that share an entry."""
    wanted = word.strip().lower()
    for entry, text in TERMS.items():
        if wanted in (entry.lower(), *entry.lower().split(", ")):
            return entry, text
    return None
