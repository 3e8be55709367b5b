"""What a TLS connection shows of itself."""

from __future__ import annotations

from systrace.dataclass import dataclass
from systrace.model import Event, Message

NO_KEYS = "no session keys"
ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    60: "export_restriction",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    111: "certificate_unobtainable",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    114: "bad_certificate_hash_value",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}


@dataclass(slots=True)
class TlsHello(Message):
    """ClientHello or ServerHello, as far as it is known."""

    client: bool = True
    sni: str | None = None  # server name asked for
    alpn: tuple[str, ...] = ()  # offered, or the one chosen
    versions: tuple[str, ...] = ()  # offered, or the one chosen: "1.3", "1.2", ...
    cipher: int | None = None  # suite chosen by the server
    cut: bool = False  # `-s` or the end of the stream hides a part of it
    retry: bool = False  # HelloRetryRequest


@dataclass(slots=True)
class TlsAlert(Message):
    """An alert; `by_client` says who sent it. Encrypted ones are guessed by their size, and `code` is None."""

    level: str = ""  # warning, fatal, "" when encrypted
    code: int | None = None
    name: str = ""
    by_client: bool = False

    @property
    def notable(self) -> bool:
        """Kept in preference to others, unless it is the usual good-bye."""
        return self.code != 0

    @property
    def refuses(self) -> bool:
        """Legible, fatal, and neither close_notify (0) nor user_canceled (90): RFC 8446 6."""
        return self.level == "fatal" and self.code not in (0, None, 90)


@dataclass(slots=True)
class TlsCertificate(Message):
    """A certificate of a clear handshake (TLS 1.2 and before); its name needs the extra `tls`."""


@dataclass(slots=True)
class TlsExchange:
    """The last request of a connection, and what came since, by the types, sizes and order of sealed records."""

    asked: int = 0  # bytes; 0 where there was none, or the handshake is not in the log
    request: Event | None = None
    tickets: int = 0  # records since then that are session tickets, or may be
    doubtful: bool = False  # one that may be, and is by itself
    answered: bool = True  # something else came
    refused: bool = False  # the client was asked for its certificate and had none, and an alert was all that came then

    @property
    def open(self) -> bool:
        """A request is out, and nothing came that could be its answer."""
        return self.asked > 0 and not self.answered and not self.doubtful


@dataclass(slots=True)
class TlsRecords(Message):
    """All encrypted records of one direction, counted; comes when the direction ends."""

    records: int = 0
    application_bytes: int = 0  # of records of type application data, their headers not counted
    handshake_bytes: int = 0  # encrypted handshake, TLS 1.2
    last_size: int = 0  # of the last record: 19 in TLS 1.3 just before a close is probably an alert
    in_record: tuple[int, int] | None = None  # (received, declared) of a last record that did not end
    opened: int = 0  # records that could be decrypted: what they carried are messages of their own
    sealed: str = ""  # why none could be
    exchange: TlsExchange | None = None  # of both directions; it is one object, as it was at the end


@dataclass(slots=True)
class NotTls(Message):
    """Bytes that are no TLS record where one was due."""

    offset: int = 0  # in its direction
    sample: bytes = b""  # first known bytes, at most 64
    looks_like: str = ""  # what `sniffing.sniff` says: http, html, text, binary

    @property
    def notable(self) -> bool:
        """Kept in preference to others."""
        return True
