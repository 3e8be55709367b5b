"""The certificate of a clear handshake (RFC 5246 7.4.2), read with `cryptography` where it is installed."""

from __future__ import annotations

import warnings
from typing import Any

from systrace.messages.problem import printable


def first_certificate(body: bytes) -> bytes:
    """The first one of a Certificate message; empty when it is not wholly known."""
    length = int.from_bytes(body[3:6], "big")
    return body[6 : 6 + length] if len(body) >= 6 + length else b""


def subject(der: bytes) -> str:
    """Whose certificate it is; empty when `cryptography` is not installed or cannot read it."""
    try:
        from cryptography import x509
    except ImportError:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a serial number of 0 and the like: nothing for the user's terminal
            certificate: Any = x509.load_der_x509_certificate(der)
        return printable(certificate.subject.rfc4514_string().encode())
    except Exception:  # noqa: BLE001 - a hostile certificate raises whatever it can
        return ""
