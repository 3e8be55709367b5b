"""Farewells: what a client says on a conversation that is over, as it tidies up after a failure at another peer, too.

Whoever says nothing else has done no more work there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from systrace.model import Received, Sent, Socket

_FAREWELL = re.compile(
    rb"""
    (?: (?:[\w.]{1,16}\ )?(?i:QUIT|LOGOUT|BYE)\r?\n     # SMTP, FTP, POP3, memcached; IMAP with a tag (RFC 9051 6.1.3)
      | \*1\r\n\$4\r\n(?i:QUIT)\r\n                    # Redis
      | (?:Q\0\0\0[\x0d\x0e](?i:ROLLBACK);?\0)?X\0\0\0\x04 | Q\0\0\0[\x0d\x0e](?i:ROLLBACK);?\0  # PostgreSQL
      | \x01\0\0\0\x01 | [\x09\x0a]\0\0\0\x03(?i:ROLLBACK);?                                     # MySQL
      | \x15\x03[\0-\x04].* | \x17\x03\x03\0\x13.*     # TLS: an alert (RFC 8446 6.1), sealed
      | \x30\x05\x02\x01.\x42\0                        # LDAP unbind (RFC 4511 4.3)
      | \xe0.{1,12}                                    # MQTT DISCONNECT
      | \0\0.\x07\0\0\0\0\0.*                          # HTTP/2 GOAWAY (RFC 9113 6.8)
      | \x88[\x80-\xfd].*                              # WebSocket close, masked (RFC 6455 5.5.1)
    )\Z
    """,
    re.DOTALL | re.VERBOSE,
)
_LONGEST = 160  # bytes


def work_on(socket: Socket) -> Sequence[Sent | Received]:
    """The calls that moved bytes, of those that are kept, in order, but for a farewell and what answered it."""
    moved = [event for event in socket.timeline if isinstance(event, Sent | Received) and event.size]
    end = len(moved)
    for at in range(len(moved) - 1, -1, -1):
        event = moved[at]
        if isinstance(event, Received):
            continue
        if not is_farewell(event):
            break
        end = at
    return moved[:end]


def is_farewell(event: Sent) -> bool:
    """What this call sent is nothing but a farewell, as far as it is known."""
    if event.size > _LONGEST:
        return False
    said = b"".join(known for known, _ in event.payload())
    return len(said) >= event.size and _FAREWELL.match(said) is not None
