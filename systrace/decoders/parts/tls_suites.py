"""Cipher suites that can be decrypted (IANA's registry): how records are sealed, and which hash derives the keys."""

from __future__ import annotations

from typing import NamedTuple


class Suite(NamedTuple):
    """What a cipher suite means for records."""

    kind: str  # gcm, ccm, chacha, cbc
    key: int  # bytes
    digest: str  # of HKDF or of the PRF: hashlib's name
    mac: str = ""  # of CBC suites, hashlib's name
    tag: int = 16  # bytes of the AEAD's tag


def _table() -> dict[int, Suite]:
    suites = {  # RFC 8446 B.4
        0x1301: Suite("gcm", 16, "sha256"),
        0x1302: Suite("gcm", 32, "sha384"),
        0x1303: Suite("chacha", 32, "sha256"),
        0x1304: Suite("ccm", 16, "sha256"),
        0x1305: Suite("ccm", 16, "sha256", tag=8),
    }
    families = [  # RFC 5246, 5288, 5289, 5487, 5489, 6655, 7251, 7905; key exchange does not matter here
        ((0x009C, 0x009E, 0x00A0, 0x00A2, 0x00A4, 0x00A6, 0x00A8, 0x00AA, 0x00AC), Suite("gcm", 16, "sha256")),
        ((0x009D, 0x009F, 0x00A1, 0x00A3, 0x00A5, 0x00A7, 0x00A9, 0x00AB, 0x00AD), Suite("gcm", 32, "sha384")),
        ((0xC02B, 0xC02D, 0xC02F, 0xC031, 0xD001), Suite("gcm", 16, "sha256")),
        ((0xC02C, 0xC02E, 0xC030, 0xC032, 0xD002), Suite("gcm", 32, "sha384")),
        ((*range(0xCCA8, 0xCCAF),), Suite("chacha", 32, "sha256")),
        ((0xC09C, 0xC09E, 0xC0A4, 0xC0A6, 0xC0AC), Suite("ccm", 16, "sha256")),
        ((0xC09D, 0xC09F, 0xC0A5, 0xC0A7, 0xC0AD), Suite("ccm", 32, "sha256")),
        ((0xC0A0, 0xC0A2, 0xC0A8, 0xC0AA, 0xC0AE), Suite("ccm", 16, "sha256", tag=8)),
        ((0xC0A1, 0xC0A3, 0xC0A9, 0xC0AB, 0xC0AF), Suite("ccm", 32, "sha256", tag=8)),
        ((*range(0x002F, 0x0035), 0x008C, 0x0090, 0x0094), Suite("cbc", 16, "sha256", "sha1")),
        ((*range(0x0035, 0x003B), 0x008D, 0x0091, 0x0095), Suite("cbc", 32, "sha256", "sha1")),
        (
            (0x003C, 0x003E, 0x003F, 0x0040, 0x0067, 0x006C, 0x00AE, 0x00B2, 0x00B6),
            Suite("cbc", 16, "sha256", "sha256"),
        ),
        ((0x003D, 0x0068, 0x0069, 0x006A, 0x006B, 0x006D), Suite("cbc", 32, "sha256", "sha256")),
        ((0x00AF, 0x00B3, 0x00B7), Suite("cbc", 32, "sha384", "sha384")),
        ((0xC004, 0xC009, 0xC00E, 0xC013, 0xC018, 0xC035), Suite("cbc", 16, "sha256", "sha1")),
        ((0xC005, 0xC00A, 0xC00F, 0xC014, 0xC019, 0xC036), Suite("cbc", 32, "sha256", "sha1")),
        ((0xC023, 0xC025, 0xC027, 0xC029, 0xC037), Suite("cbc", 16, "sha256", "sha256")),
        ((0xC024, 0xC026, 0xC028, 0xC02A, 0xC038), Suite("cbc", 32, "sha384", "sha384")),
    ]
    for numbers, suite in families:
        suites |= dict.fromkeys(numbers, suite)
    return suites


SUITES = _table()
