"""Wireshark's dissectors as a second opinion: recorded conversations as a capture file, and what tshark reads in it."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.decoders.recordings import Recording

SEGMENT = 1400  # bytes of a TCP segment: messages are cut at other places than they were sent
FIRST_PORT = 20001  # of the clients: one for each conversation
PORTS = {
    "http": 80, "http2": 80, "tls": 443, "dns": 53, "postgres": 5432, "mysql": 3306, "redis": 6379, "smtp": 25, "ftp": 21,
    "pop": 110, "imap": 143, "ssh": 22, "ldap": 389, "amqp": 5672, "kafka": 9092, "mongodb": 27017, "memcached": 11211,
    "mqtt": 1883,
}  # fmt: skip
_CLIENT, _SERVER = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
_FIN, _SYN, _PUSH, _ACK = 1, 2, 8, 16
_BETWEEN_VALUES = "\x1f"


class Capture:
    """A capture file (libpcap, raw IPv4)."""

    def __init__(self) -> None:
        self._packets: list[bytes] = []

    def add(self, recording: Recording, client_port: int) -> None:
        """One conversation, from its first packet to its last."""
        ports = client_port, PORTS[recording.protocol]
        if recording.datagrams:
            for by_client, data, _ in recording.said:
                self._datagram(by_client, ports, data)
            return
        sent = {True: 1000, False: 5000}
        self._segment(True, ports, sent, _SYN, b"")
        sent[True] += 1
        self._segment(False, ports, sent, _SYN | _ACK, b"")
        sent[False] += 1
        self._segment(True, ports, sent, _ACK, b"")
        for by_client, data, _ in recording.said:
            for at in range(0, len(data), SEGMENT):
                part = data[at : at + SEGMENT]
                self._segment(by_client, ports, sent, _PUSH | _ACK, part)
                sent[by_client] += len(part)
        for by_client in (False, True):
            self._segment(by_client, ports, sent, _FIN | _ACK, b"")
            sent[by_client] += 1
        self._segment(False, ports, sent, _ACK, b"")

    def write(self, path: Path) -> None:
        """Write the file; packets are a millisecond apart."""
        parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)]
        for number, packet in enumerate(self._packets):
            seconds, rest = divmod(number, 1000)
            parts.append(struct.pack("<IIII", 1_700_000_000 + seconds, rest * 1000, len(packet), len(packet)) + packet)
        path.write_bytes(b"".join(parts))

    def _segment(
        self, by_client: bool, ports: tuple[int, int], sent: Mapping[bool, int], flags: int, data: bytes
    ) -> None:
        source, target = ports if by_client else ports[::-1]
        acknowledged = sent[not by_client] if flags & _ACK else 0
        head = struct.pack(">HHIIBBHHH", source, target, sent[by_client], acknowledged, 5 << 4, flags, 65535, 0, 0)
        self._packet(by_client, 6, head + data)

    def _datagram(self, by_client: bool, ports: tuple[int, int], data: bytes) -> None:
        source, target = ports if by_client else ports[::-1]
        self._packet(by_client, 17, struct.pack(">HHHH", source, target, len(data) + 8, 0) + data)

    def _packet(self, by_client: bool, protocol: int, data: bytes) -> None:
        source, target = (_CLIENT, _SERVER) if by_client else (_SERVER, _CLIENT)
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(data), 0, 0x4000, 64, protocol, 0) + source + target
        self._packets.append(head + data)


def fields(recordings: Sequence[Recording], names: Iterable[str], folder: Path) -> list[dict[str, list[str]]]:
    """For each conversation the values of tshark's fields, all packets' in order."""
    capture = Capture()
    for number, recording in enumerate(recordings):
        capture.add(recording, FIRST_PORT + number)
    path = folder / "conversations.pcap"
    capture.write(path)
    return fields_of(path, recordings, names, folder)


def fields_of(
    path: Path, recordings: Sequence[Recording], names: Iterable[str], folder: Path
) -> list[dict[str, list[str]]]:
    """The same of a capture file in which each conversation has the client's port of its number."""
    names = ["tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport", *names]
    argv = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a"]
    argv += ["-E", f"aggregator={_BETWEEN_VALUES}"]
    keylog = folder / "keys"
    keylog.write_text("".join(recording.keylog for recording in recordings))
    argv += ["-d", "tcp.port==27017,mongo"]
    argv += ["-o", f"tls.keylog_file:{keylog}", "-o", "http.decompress_body:TRUE"]
    argv += [word for name in names for word in ("-e", name)]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=True, timeout=120, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    found: list[dict[str, list[str]]] = [{} for _ in recordings]
    for line in done.stdout.splitlines():
        values = line.split("\t")
        port = next(int(p) for p in values[:4] if p.isdigit() and 0 <= int(p) - FIRST_PORT < len(recordings))
        for name, text in zip(names[4:], values[4:], strict=False):
            if text:
                found[port - FIRST_PORT].setdefault(name, []).extend(text.split(_BETWEEN_VALUES))
    return found


def bodies(recordings: Sequence[Recording], folder: Path) -> list[bytes]:
    """All that tshark saves of what HTTP carried, in no order."""
    capture = Capture()
    for number, recording in enumerate(recordings):
        capture.add(recording, FIRST_PORT + number)
    path, out = folder / "web.pcap", folder / "objects"
    capture.write(path)
    argv = ["tshark", "-n", "-r", str(path), "-q", "--export-objects", f"http,{out}"]
    subprocess.run(argv, capture_output=True, check=True, timeout=120)
    return [one.read_bytes() for one in out.iterdir()]
