"""Read what a server says that speaks first; nothing is sent."""

from __future__ import annotations

from systrace.probes import probe
from systrace.probes.asking import Round
from systrace.probes.target import Target
from systrace.probes.tcp import exchange
from systrace.words import payload

_WAIT_S, _CONNECT_S = 4.0, 2.0
SPEAK_FIRST = frozenset({21, 22, 25, 110, 143, 587, 2121, 2222, 2525, 3306, 5900})
_PROTOCOLS = frozenset({"ftp", "ssh", "smtp", "pop", "imap", "mysql"})
_WIDTH = 60


def _fits(target: Target, _: object) -> bool:
    return not target.tls and (target.protocol in _PROTOCOLS or (not target.protocol and target.port in SPEAK_FIRST))


@probe(
    separates="a server that is stuck behind an open port, or turns clients away",
    phase=5,
    most_s=_WAIT_S + _CONNECT_S,
    fits=_fits,
)
def greeting(target: Target, asking: Round) -> None:
    """The first bytes."""
    connection = asking.connected(_CONNECT_S)
    if connection is None:
        return
    with connection as one:
        began = asking.time_left(_WAIT_S)
        try:
            came = exchange(one, b"", began, bool)
        except OSError as error:
            asking.note(
                "peer-listens", f"accepted, and at once: {error.strerror}", cause="reset-by-peer", outcome="reset"
            )
            return
        waited = began - asking.time_left(_WAIT_S)
    if came:
        asking.note("peer-listens", f"greets with {payload(came, _WIDTH)}", outcome="greets")
    elif waited < began - 0.05:
        text = "accepted, and closed without the greeting that is usual there"
        asking.note("peer-listens", text, cause="empty-reply", outcome="closed")
    else:
        text = f"accepted, and no greeting came within {waited:.0f} s: the kernel there accepts, the program does not serve"
        asking.note("peer-listens", text, cause="hung-read", outcome="no greeting")
