"""HEAD of the URL, without body and credentials: only where it was asked for."""

from __future__ import annotations

import re
import socket
import ssl
import time

from systrace.messages.http import parse_fields
from systrace.probes import probe
from systrace.probes.asking import Round
from systrace.probes.target import Target
from systrace.words import payload, safe

_CONNECT_S, _ANSWER_S = 3.0, 10.0
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r?\n")
_MOST = 1 << 16  # bytes of a head


@probe(
    separates="who answers, and with which status",
    phase=6,
    most_s=_CONNECT_S + _ANSWER_S,
    fits=lambda target, allowed: allowed.http and bool(target.url) and target.proxy is None,
)
def http(target: Target, asking: Round) -> None:
    """One request (RFC 9110 9.3.2); over TLS the certificate is not judged here."""
    connection = asking.connected(_CONNECT_S)
    if connection is None:
        return
    until = time.monotonic() + (asking.time_left(_ANSWER_S) or 0.1)
    path = "/" + target.url.partition("://")[2].partition("/")[2]
    try:
        head = _asked(connection, path, target, until)
    except TimeoutError:
        text = f"no answer to HEAD {_shown(path)} within {_ANSWER_S:.0f} s"
        asking.note("peer-listens", text, cause="slow-response", status=None)
        return
    except OSError as error:
        text = f"HEAD {_shown(path)}: {safe(error.strerror or str(error))}"
        asking.note("peer-listens", text, cause="reset-by-peer", status=None)
        return
    finally:
        connection.close()
    _note(head, path, asking)


def _asked(plain: socket.socket, path: str, target: Target, until: float) -> bytes:
    one = plain
    _wait_until(until, one)
    if target.tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        one = context.wrap_socket(plain, server_hostname=target.server_name or target.host)
    host = target.url.partition("://")[2].partition("/")[0]
    lines = (f"HEAD {path} HTTP/1.1", f"Host: {host}", "User-Agent: systrace-check", "Accept: */*", "Connection: close")
    with one:
        _wait_until(until, one)
        one.sendall("\r\n".join([*lines, "", ""]).encode("ascii", "replace"))
        came = b""
        while b"\r\n\r\n" not in came and len(came) < _MOST:
            _wait_until(until, one)
            more = one.recv(4096)
            if not more:
                break
            came += more
    return came


def _wait_until(until: float, one: socket.socket) -> None:
    """A time limit of a socket is for each call: bytes that trickle would prolong it for ever."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    one.settimeout(left)


def _shown(path: str) -> str:
    """Without the query, which may hold secrets."""
    return safe(path.partition("?")[0], 60)


def _note(head: bytes, path: str, asking: Round) -> None:
    status = _STATUS.match(head)
    if status is None:
        cause = "protocol-mismatch" if head else "empty-reply"
        said = f"no HTTP: {payload(head, 40)}" if head else "closed without an answer"
        asking.note("peer-listens", f"HEAD {_shown(path)}: {said}", cause=cause, status=None)
        return
    fields = dict(parse_fields(head[status.end() :]))
    who = [f"{name}: {safe(fields[name], 40)}" for name in ("server", "via", "x-cache") if name in fields]
    number = int(status[1])
    text = f"HEAD {_shown(path)}: {number}" + (f" ({', '.join(who)})" if who else "")
    cause = "http-error-status" if number >= 500 else ""
    asking.note("peer-listens", text, cause=cause, status=number, server=safe(fields.get("server", ""), 80))
