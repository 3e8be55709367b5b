"""A TLS handshake as a careful client makes it, and one that believes everything, to see what was offered."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from dataclasses import field
from datetime import UTC, datetime
from typing import Any

from systrace.dataclass import dataclass
from systrace.probes import probe
from systrace.probes.asking import Round
from systrace.probes.target import Target
from systrace.words import safe

_CONNECT_S, _HANDSHAKE_S = 3.0, 6.0
_SOON_DAYS = 14
# X509_V_ERR_* <openssl/x509_vfy.h>
_WHY = {
    9: "is not valid yet (or this host's clock is behind)",
    10: "has expired",
    18: "is signed by itself: no authority that this host trusts stands behind it",
    19: "comes with an authority that this host does not trust",
    20: "is of an authority that this host does not trust, or the server leaves out the certificates between",
    21: "cannot be verified: the server leaves out the certificates between it and the authority",
    62: "is for another name",
    64: "is for another address",
}


@dataclass(slots=True)
class _Shown:
    """What one handshake showed."""

    version: str = ""
    names: list[str] = field(default_factory=list)
    issuer: str = ""
    expires_s: float | None = None  # Unix time
    error: ssl.SSLError | OSError | None = None


@probe(
    separates="a certificate that expired, is for another name, or of an unknown authority; versions that do not meet",
    phase=4,
    most_s=2 * (_CONNECT_S + _HANDSHAKE_S),
    fits=lambda target, allowed: target.tls or allowed.tls,
)
def tls(target: Target, asking: Round) -> None:
    """Verified; where that fails, unverified."""
    if not asking.open_address or any(each.value.get("how") == "large packets" for each in asking.found):
        return
    careful = _shake(target, asking, ssl.create_default_context())
    if careful is None:
        return
    if careful.error is None:
        _note_good(careful, asking)
    elif isinstance(careful.error, ssl.SSLCertVerificationError):
        trusting = _shake(target, asking, _trusting(ssl.TLSVersion.TLSv1_2)) or _Shown()
        _note_bad_certificate(careful.error, trusting, target, asking)
    elif isinstance(careful.error, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(careful.error):
        asking.note("certificate", "what answers is no TLS", cause="protocol-mismatch", outcome="no tls")
    elif isinstance(careful.error, TimeoutError):
        text = f"accepted, and no answer to the ClientHello within {_HANDSHAKE_S:.0f} s"
        asking.note("certificate", text, cause="hung-read", outcome="silent")
    else:
        _note_refused(careful.error, target, asking)


def server_name(target: Target) -> str:
    """What is asked for, and what the certificate must be for."""
    return target.server_name or target.host


def _trusting(oldest: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if oldest < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = oldest
    return context


def _shake(target: Target, asking: Round, context: ssl.SSLContext) -> _Shown | None:
    """One handshake; None where no connection may be made, or could."""
    connection, shown = asking.connected(_CONNECT_S), _Shown()
    if connection is None:
        return None
    connection.settimeout(asking.time_left(_HANDSHAKE_S) or 0.1)
    try:
        with context.wrap_socket(connection, server_hostname=server_name(target)) as one:
            _read(one, shown)
    except OSError as error:  # a name that IDNA refuses is no fault of the server: that it could not be asked is said
        shown.error = error
    finally:
        connection.close()
    return shown


def _read(one: ssl.SSLSocket, shown: _Shown) -> None:
    shown.version = one.version() or ""
    known: Any = one.getpeercert()
    if known:
        shown.names = [value for _, value in known.get("subjectAltName", ())]
        shown.issuer = _common(known.get("issuer", ()))
        shown.expires_s = float(ssl.cert_time_to_seconds(known["notAfter"]))
    elif (der := one.getpeercert(binary_form=True)) is not None:
        _read_unverified(der, shown)
    with contextlib.suppress(OSError):
        one.settimeout(0)
        one.unwrap().shutdown(socket.SHUT_RDWR)


def _common(name: Any) -> str:
    parts = {key: value for each in name for key, value in each}
    return str(parts.get("commonName") or parts.get("organizationName") or "")


def _read_unverified(der: bytes, shown: _Shown) -> None:
    """Of a certificate that the library hands over unread; the extra `tls` reads it."""
    try:
        from cryptography import x509
    except ImportError:
        return
    try:
        certificate = x509.load_der_x509_certificate(der)
        shown.expires_s = certificate.not_valid_after_utc.timestamp()
        common = certificate.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        shown.issuer = str(common[0].value) if common else certificate.issuer.rfc4514_string()
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        shown.names = [*alternative.get_values_for_type(x509.DNSName)]
        shown.names += [str(one) for one in alternative.get_values_for_type(x509.IPAddress)]
    except (ValueError, x509.ExtensionNotFound):
        return


def _values(shown: _Shown) -> dict[str, Any]:
    days = None if shown.expires_s is None else round((shown.expires_s - time.time()) / 86400)
    return {"version": shown.version, "names": shown.names[:20], "issuer": safe(shown.issuer, 100), "days_left": days}


def _date(shown: _Shown) -> str:
    return "" if shown.expires_s is None else f"{datetime.fromtimestamp(shown.expires_s, UTC):%Y-%m-%d}"


def _note_good(shown: _Shown, asking: Round) -> None:
    values = _values(shown)
    days = values["days_left"] or 0
    text = f"{shown.version}, certificate of {values['issuer']} verified, valid until {_date(shown)} ({days} days)"
    if days < _SOON_DAYS:
        text += ": renew it"
    asking.note("certificate", text, outcome="verified", **values)


def _note_bad_certificate(error: ssl.SSLCertVerificationError, shown: _Shown, target: Target, asking: Round) -> None:
    code = error.verify_code
    why = _WHY.get(code, f"does not verify: {error.verify_message}")
    text = f"the certificate {why}"
    if code == 10 and shown.expires_s is not None:
        text += f" on {_date(shown)}"
    elif code in (62, 64):
        names = f": it names {safe(', '.join(shown.names[:4]))}" if shown.names else ""
        text += f" than {server_name(target)}{names}"
    elif code in (18, 19, 20, 21) and shown.issuer:
        text += f" (issuer: {safe(shown.issuer, 60)})"
    asking.note("certificate", text, cause="tls-error", outcome="unverified", code=code, **_values(shown))


def _note_refused(error: OSError, target: Target, asking: Round) -> None:
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    old = _shake(target, asking, _trusting(ssl.TLSVersion.TLSv1)) if isinstance(error, ssl.SSLError) else None
    if old is not None and old.error is None:
        text = f"no common version or cipher with this host's settings; the server offers {old.version}"
        asking.note("certificate", text, cause="tls-error", outcome="version", **_values(old))
        return
    text = f"the handshake failed: {safe(str(reason))}"
    asking.note("certificate", text, cause="tls-error", outcome="refused", error=safe(str(reason), 100))
