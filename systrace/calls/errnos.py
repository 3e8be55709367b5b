"""Errors of calls, by what they mean for whoever follows a socket."""

from __future__ import annotations

UNKNOWN = "E?"  # it failed, and the log does not say of what: cut off, or never asked for
WOULD_BLOCK = frozenset(("EAGAIN", "EWOULDBLOCK"))
UNDER_WAY = frozenset(("EINPROGRESS", "EALREADY"))  # connect(2)
QUIET = WOULD_BLOCK | UNDER_WAY | {"EINTR"}  # nothing has gone wrong yet
EXHAUSTED = frozenset(("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"))  # descriptors, memory: not the socket's fault
# What an asynchronous connect(2) may fail of; the next call on the socket gets it, whatever it asks for (socket(7)).
OF_CONNECT = frozenset(
    "ECONNREFUSED ETIMEDOUT EHOSTUNREACH ENETUNREACH EHOSTDOWN ENETDOWN ENOPROTOOPT EACCES EPERM ECONNRESET".split()
)
RESET = frozenset(("ECONNRESET", "ECONNABORTED"))
UNREACHABLE = frozenset(("EHOSTUNREACH", "ENETUNREACH"))
VANISHED = UNREACHABLE | {"ETIMEDOUT", "ECONNREFUSED"}  # of a connection that stood: no answer, or none by the peer
# What a connection can be the reason of; EINVAL and its like say that the call does not fit this descriptor.
BROKEN = RESET | UNREACHABLE | {"EPIPE", "ETIMEDOUT", "ENETDOWN", "ENOTCONN"}
