"""One row a socket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from systrace.fleet.tables import NUMBER, TEXT, TEXTS, WHOLE, YES_NO, Shapes, table
from systrace.model import Analysis

COLUMNS = (
    ("id", TEXT, "S1, S2, ... within the recording"),
    ("family", TEXT, "inet, inet6, unix, ..."),
    ("type", TEXT, "stream, dgram, ..."),
    ("local", TEXT, "ip:port"),
    ("peer", TEXT, "ip:port, [ip6]:port, unix:/path"),
    ("name", TEXT, "of the peer, from DNS answers in the same log"),
    ("peer_name", TEXT, "name:port where the name is known, else as peer"),
    ("role", TEXT, "client, server, listener, pair, unknown"),
    ("pid", WHOLE, "the process that used it first"),
    ("fd", WHOLE, "its descriptor there"),
    ("opened_s", NUMBER, "seconds since the recording's start_s"),
    ("connect_s", NUMBER, "seconds that the successful connect took"),
    ("closed_s", NUMBER, "seconds since start_s"),
    ("bytes_sent", WHOLE, "bytes"),
    ("bytes_received", WHOLE, "bytes"),
    ("longest_silence_s", NUMBER, "the longest time without a byte, seconds"),
    ("keepalive_on", YES_NO, "SO_KEEPALIVE; NULL: the log does not show it"),
    ("keepalive_idle_s", NUMBER, "TCP_KEEPIDLE, seconds; NULL: not set by the program"),
    ("keepalive_interval_s", NUMBER, "TCP_KEEPINTVL, seconds"),
    ("keepalive_count", WHOLE, "TCP_KEEPCNT"),
    ("protocol", TEXT, "as its content proved it: http, tls, dns, ..."),
    ("state", TEXT, "at the end"),
    ("causes", TEXTS, "causes of the findings on it"),
)


@table("sockets", COLUMNS)
def rows(shapes: Shapes, _analysis: Analysis) -> Iterator[Mapping[str, Any]]:
    """A socket, through every descriptor and process that held it."""
    for each in shapes["sockets"]:
        row = dict(each)
        owner = next(iter(row.pop("owners")), {"pid": None, "fd": None})
        keepalive = row.pop("keepalive")
        named = row["name"] and row["family"] in ("inet", "inet6")
        row["peer_name"] = f"{row['name']}:{row['peer'].rpartition(':')[2]}" if named and row["peer"] else row["peer"]
        yield row | owner | {f"keepalive_{name}": value for name, value in keepalive.items()}
