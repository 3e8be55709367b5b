"""What a file is that is no strace log, by its first bytes: people hand over captures, archives and core dumps."""

from __future__ import annotations

import re

_UNPACK = "unpack it first"
_SIGNATURES: dict[bytes, str] = {
    b"\xd4\xc3\xb2\xa1": "a pcap capture (Wireshark, tcpdump)",
    b"\xa1\xb2\xc3\xd4": "a pcap capture (Wireshark, tcpdump)",
    b"\x4d\x3c\xb2\xa1": "a pcap capture (Wireshark, tcpdump)",
    b"\xa1\xb2\x3c\x4d": "a pcap capture (Wireshark, tcpdump)",
    b"PK\x03\x04": f"a zip archive: {_UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"a 7z archive: {_UNPACK}",
    b"Rar!\x1a\x07": f"a rar archive: {_UNPACK}",
    b"\x1f\x8b": f"packed twice: {_UNPACK}",
    b"\xfd7zXZ\0": f"packed twice: {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"packed twice: {_UNPACK}",
    b"\x04\x22\x4d\x18": f"compressed with lz4: {_UNPACK}",
    b"LZIP\x01": f"compressed with lzip: {_UNPACK}",
    b"\x1f\x9d": f"compressed with compress: {_UNPACK}",
    b"PERFILE2": "a recording of perf (perf script shows it)",
    b"\x17\x08\x44tracing": "a recording of trace-cmd (trace-cmd report shows it)",
    b"SQLite format 3\0": "an SQLite database",
    b"LPKSHHRH": "a journal of systemd (journalctl --file shows it)",
    b"%PDF-": "a PDF document",
    b"\x89PNG\r\n\x1a\n": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
}
_HTML = re.compile(rb"\s*(?:<!--.{0,500}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_USERS = re.compile(rb"(?:[^:\s]+:[^:\n]*:\d+:\d+:[^:\n]*:[^:\n]*:[^:\n]*\r?\n?)+")
_CORE = 4  # e_type of elf(5)


def binary(head: bytes) -> str | None:
    """A kind of file that no strace log is, whatever stands further on: a log may be inside."""
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if head.startswith(b"\n\r\r\n") and head[8:12] in (b"\x1a\x2b\x3c\x4d", b"\x4d\x3c\x2b\x1a"):
        return "a pcapng capture (Wireshark, tcpdump)"
    if re.match(rb"07070[12][0-9A-Fa-f]{104}", head):
        return f"a cpio archive: {_UNPACK}"
    if head[257:262] == b"ustar":
        return f"a tar archive: {_UNPACK}"
    if head.startswith(b"\x7fELF") and len(head) >= 18:
        is_core = int.from_bytes(head[16:18], "big" if head[5] == 2 else "little") == _CORE
        return "a core dump (gdb reads it)" if is_core else "a program or library (ELF)"
    return None


def text(head: bytes) -> str | None:
    """A kind of text, where no line of it is strace's."""
    if _HTML.match(head):
        return "an HTML page"
    start = head.lstrip()
    if start.startswith(b"<?xml"):
        return "an XML document"
    if start.startswith(b"__CURSOR="):
        return "an export of the journal (journalctl -o cat gives what was logged)"
    if re.match(rb'\{\s*"schema":\s*"systrace-', start):
        return "a report of systrace (JSON)"
    if re.match(rb'(?:\{\s*(?:"|\}\s*$)|\[\s*(?:[\[{"\d]|\]\s*$))', start):
        return "JSON"
    if start.startswith(b"#!"):
        return "a script"
    if _USERS.fullmatch(start):
        return "a list of users or groups (/etc/passwd)"
    return None
