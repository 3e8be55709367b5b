"""A packet capture for Wireshark: what the job's calls sent and received, as the packets that it must have been.

Calls are what was recorded, not packets: addresses, bytes, times and outcomes are the log's; segments, acknowledgements
and checksums are made. What `-s` cut is a packet longer than what was captured of it.
"""

from __future__ import annotations

import ipaddress
from typing import BinaryIO

from systrace import __version__
from systrace.masking.masks import Masks
from systrace.model import Analysis, Keep
from systrace.reporters import Reporter, reporter
from systrace.reporters.capture import blocks
from systrace.reporters.capture.conversation import Capture, Shown
from systrace.reporters.capture.held_back import HeldBack
from systrace.reporters.layout import PAGE, Layout
from systrace.traffic.tape import Connection, Tape
from systrace.words import clean, safe

_COMMENT = 300


@reporter
class PcapngReport(Reporter):
    """`--format pcapng`."""

    name = "pcapng"
    suffixes = (".pcapng", ".ntar")
    binary = True
    single = True
    keep = Keep(tape=True)

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write it packet by packet."""
        evidence = analysis.evidence
        tape = evidence.tape or Tape(evidence.masks)
        taped = tape.connections
        known = {each.uid for each in taped}
        silent = [
            Connection.of(each)
            for each in evidence.sockets.values()
            if each.is_network and each.uid not in known and each.attempts
        ]
        commands = {pid: safe(process.command, 40) for pid, process in evidence.processes.items()}
        capture = Capture([*taped, *silent], tape.play(), commands, _masked(evidence.masks))
        facts = evidence.source.facts
        system = " ".join(safe(str(facts[key]), 80) for key in ("host", "kernel", "machine") if key in facts)
        out.write(blocks.section(f"systrace {__version__}", system, _comment(analysis, capture)))
        out.write(blocks.interface("calls", "system calls of the job, as packets"))
        out.write(blocks.names(_names(evidence.names)))
        if evidence.masks.shown and evidence.tls_keys:
            out.write(blocks.secrets(evidence.tls_keys))
        for each in capture.packets():
            packet = each.packet
            out.write(blocks.packet(each.time_ns, packet.captured, packet.length, clean(each.comment, _COMMENT)))


def _masked(masks: Masks) -> Shown:
    """Secrets that are known by now, wherever they are repeated; and nothing that has to be unpacked first."""
    held: dict[str, HeldBack] = {}

    def masked(connection: Connection, sent: bool, data: bytes, whole: bool) -> bytes:
        if masks.shown:
            return data
        known = held.setdefault(connection.uid, HeldBack(connection.protocol))
        return masks.data(data[: known.shown(sent, data, whole=whole)])

    return masked


def _comment(analysis: Analysis, capture: Capture) -> str:
    evidence = analysis.evidence
    words = [safe(analysis.verdict.headline)]
    words.append("Made of system calls: bytes, addresses, times and outcomes are the log's, segments and ACKs are not.")
    if evidence.source.first_ns is None:
        words.append("The log has no clock: a line is a microsecond.")
    local = sum(1 for each in evidence.sockets.values() if not each.is_network)
    if local:
        words.append(f"{local} UNIX sockets, pipes and others are left out.")
    if capture.left_out:
        words.append(
            f"{capture.left_out} connections are left out: their other end is here, or nobody knows their peer."
        )
    if not evidence.masks.shown:
        words.append("Secrets are masked, and what is compressed is not looked into.")
    return " ".join(words)


def _names(found: dict[str, str]) -> list[tuple[bytes, str]]:
    pairs = []
    for address, name in found.items():
        try:
            pairs.append((ipaddress.ip_address(address).packed, safe(name, 250)))
        except ValueError:
            continue
    return pairs
