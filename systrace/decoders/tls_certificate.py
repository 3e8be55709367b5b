"""The certificate of a clear handshake (RFC 5246 7.4.2), read with `cryptography` where it is installed."""

from __future__ import annotations

import warnings
from typing import Any

from systrace.messages.problem import printable
from systrace.messages.tls import TlsCertificate


def certificates(body: bytes) -> list[bytes]:
    """The wholly known certificates of a Certificate message (RFC 5246 7.4.2)."""
    chain: list[bytes] = []
    at = 3
    while at + 3 <= len(body) and len(chain) < 20:
        length = int.from_bytes(body[at : at + 3], "big")
        at += 3
        if at + length > len(body) or not length:
            break
        chain.append(body[at : at + length])
        at += length
    return chain


def read_certificate(message: TlsCertificate) -> None:
    """Fill in names and dates, if `cryptography` is installed and can read it."""
    try:
        from cryptography import x509
    except ImportError:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a serial number of 0 and the like: nothing for the user's terminal
            certificate: Any = x509.load_der_x509_certificate(message.der)
        message.subject = printable(certificate.subject.rfc4514_string().encode())
        message.issuer = printable(certificate.issuer.rfc4514_string().encode())
        message.not_before = certificate.not_valid_before_utc.isoformat()
        message.not_after = certificate.not_valid_after_utc.isoformat()
        message.self_signed = certificate.issuer == certificate.subject
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        message.names = tuple(printable(str(name.value).encode()) for name in extension.value)
    except Exception:  # noqa: BLE001 - a hostile certificate raises whatever it can
        return
