"""From the secrets of a key log to the keys of records: HKDF-Expand-Label of TLS 1.3, the PRF of TLS 1.2."""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

from systrace.decoders.parts.tls_suites import Suite


class Keys(NamedTuple):
    """Of one direction."""

    key: bytes
    iv: bytes  # implicit part of the nonce; b"" for CBC
    mac: bytes = b""


def expand_label(secret: bytes, label: bytes, length: int, digest: str) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 7.1; HKDF-Expand: RFC 5869 2.3)."""
    name = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0"
    out, block, count = b"", b"", 0
    while len(out) < length:
        count += 1
        block = hmac.digest(secret, block + info + bytes([count]), digest)
        out += block
    return out[:length]


def traffic_keys(secret: bytes, suite: Suite) -> Keys:
    """Key and IV of TLS 1.3 for one traffic secret (RFC 8446 7.3)."""
    return Keys(expand_label(secret, b"key", suite.key, suite.digest), expand_label(secret, b"iv", 12, suite.digest))


def next_secret(secret: bytes, suite: Suite) -> bytes:
    """application_traffic_secret_N+1, after a KeyUpdate (RFC 8446 7.2)."""
    return expand_label(secret, b"traffic upd", len(secret), suite.digest)


def key_block(master: bytes, client_random: bytes, server_random: bytes, suite: Suite) -> tuple[Keys, Keys]:
    """(server's, client's) write keys of TLS 1.2 (RFC 5246 6.3; RFC 5288 3 and RFC 7905 2 for the IV's length)."""
    mac = hashlib.new(suite.mac, usedforsecurity=False).digest_size if suite.mac else 0
    iv = {"cbc": 0, "chacha": 12}.get(suite.kind, 4)
    sizes = [mac, mac, suite.key, suite.key, iv, iv]
    block = _prf(master, b"key expansion", server_random + client_random, sum(sizes), suite.digest)
    parts, at = [], 0
    for size in sizes:
        parts.append(block[at : at + size])
        at += size
    return Keys(parts[3], parts[5], parts[1]), Keys(parts[2], parts[4], parts[0])


def _prf(secret: bytes, label: bytes, seed: bytes, length: int, digest: str) -> bytes:
    """P_hash of TLS 1.2 (RFC 5246 5)."""
    seed = label + seed
    out, chain = b"", seed
    while len(out) < length:
        chain = hmac.digest(secret, chain, digest)
        out += hmac.digest(secret, chain + seed, digest)
    return out[:length]
