"""Opens sealed TLS records: the only place that needs `cryptography` for it, imported when the first key matches.

`Opener.open` gives the plaintext, or None when key, sequence number or bytes are not the right ones: records are
authenticated, so trying is safe.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Protocol

from systrace.decoders.parts.tls_secrets import Keys
from systrace.decoders.parts.tls_suites import Suite
from systrace.errors import MissingExtraError

_BLOCK = 16  # bytes of AES


class Opener(Protocol):
    """Keys of one direction at work."""

    def open(self, header: bytes, payload: bytes, sequence: int) -> bytes | None:
        """The plaintext of a record (five bytes of header, and what follows them); None when it cannot be opened."""

    def plain_size(self, size: int) -> int:
        """About how many bytes of plaintext a payload of `size` holds; exact for AEAD."""


def opener(suite: Suite, keys: Keys, version13: bool, encrypt_then_mac: bool = False) -> Opener:
    """What opens the records that `keys` sealed.

    Raises:
        MissingExtraError: `cryptography` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers import aead
    except ImportError:
        raise MissingExtraError("cryptography", "tls") from None
    if suite.kind == "cbc":
        return _Cbc(suite, keys, encrypt_then_mac)
    cipher: Any
    if suite.kind == "gcm":
        cipher = aead.AESGCM(keys.key)
    elif suite.kind == "ccm":
        cipher = aead.AESCCM(keys.key, suite.tag)
    else:
        cipher = aead.ChaCha20Poly1305(keys.key)
    return _Aead13(suite, keys, cipher) if version13 else _Aead12(suite, keys, cipher)


class _Aead13:
    """TLS 1.3: the content's type and zeros follow the plaintext, which stay here (RFC 8446 5.2, 5.3)."""

    def __init__(self, suite: Suite, keys: Keys, cipher: Any) -> None:
        self._cipher, self._tag = cipher, suite.tag
        self._iv = int.from_bytes(keys.iv, "big")

    def open(self, header: bytes, payload: bytes, sequence: int) -> bytes | None:
        return _try(self._cipher, (self._iv ^ sequence).to_bytes(12, "big"), payload, header)

    def plain_size(self, size: int) -> int:
        return max(0, size - self._tag - 1)


class _Aead12:
    """TLS 1.2: explicit nonces for GCM and CCM (RFC 5288 3, RFC 6655 3), the sequence number for ChaCha20 (RFC 7905 2)."""

    def __init__(self, suite: Suite, keys: Keys, cipher: Any) -> None:
        self._cipher, self._tag, self._iv = cipher, suite.tag, keys.iv
        self._explicit = 0 if suite.kind == "chacha" else 8

    def open(self, header: bytes, payload: bytes, sequence: int) -> bytes | None:
        size = self.plain_size(len(payload))
        if self._explicit:
            nonce = self._iv + payload[: self._explicit]
        else:
            nonce = (int.from_bytes(self._iv, "big") ^ sequence).to_bytes(12, "big")
        return _try(self._cipher, nonce, payload[self._explicit :], _additional(header, sequence, size))

    def plain_size(self, size: int) -> int:
        return max(0, size - self._tag - self._explicit)


class _Cbc:
    """TLS 1.2: IV, then the blocks with MAC and padding inside (RFC 5246 6.2.3.2), or the MAC behind them (RFC 7366)."""

    def __init__(self, suite: Suite, keys: Keys, encrypt_then_mac: bool) -> None:
        self._digest, self._keys, self._outside = suite.mac, keys, encrypt_then_mac
        self._mac = hashlib.new(suite.mac, usedforsecurity=False).digest_size

    def open(self, header: bytes, payload: bytes, sequence: int) -> bytes | None:
        sealed = payload
        if self._outside:
            sealed, mac = payload[: -self._mac], payload[-self._mac :]
            if not self._authentic(mac, header, sequence, sealed):
                return None
        if len(sealed) < 2 * _BLOCK or len(sealed) % _BLOCK:
            return None
        plain = self._decrypted(sealed)
        padding = plain[-1] + 1
        if padding > len(plain) or plain[-padding:] != bytes([plain[-1]]) * padding:
            return None
        plain = plain[:-padding]
        if self._outside:
            return plain
        plain, mac = plain[: -self._mac], plain[-self._mac :]
        return plain if self._authentic(mac, header, sequence, plain) else None

    def plain_size(self, size: int) -> int:
        return max(0, size - _BLOCK - self._mac - _BLOCK // 2)  # half a block of padding, on average

    def _authentic(self, mac: bytes, header: bytes, sequence: int, content: bytes) -> bool:
        data = _additional(header, sequence, len(content)) + content
        return hmac.compare_digest(mac, hmac.digest(self._keys.mac, data, self._digest))

    def _decrypted(self, sealed: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        aes = Cipher(algorithms.AES(self._keys.key), modes.CBC(sealed[:_BLOCK])).decryptor()
        return aes.update(sealed[_BLOCK:]) + aes.finalize()


def _additional(header: bytes, sequence: int, size: int) -> bytes:
    """Sequence number, type, version, length: what the MAC covers, too (RFC 5246 6.2.3.1, 6.2.3.3)."""
    return sequence.to_bytes(8, "big") + header[:3] + size.to_bytes(2, "big")


def _try(cipher: Any, nonce: bytes, sealed: bytes, additional: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag

    try:
        plain: bytes = cipher.decrypt(nonce, sealed, additional)
    except (InvalidTag, ValueError):
        return None
    return plain
