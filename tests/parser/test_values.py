"""Arguments: strings, addresses, descriptors, times (strace-format section 5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.model import Endpoint
from systrace.parser import values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb"\0224", b"\x124"), (rb"\33[?2004h", b"\x1b[?2004h"), (rb"\0000u", b"\x000u"), (rb"\x124", b"\x124"),
        (rb"a\"b\\c\n\t\r\v\f", b'a"b\\c\n\t\r\v\f'), (rb"\377\0", b"\xff\0"), (b"plain", b"plain"),
        (rb"\q", rb"\q"), (b"end\\", b"end\\"), (rb"\xzz", rb"\xzz"), (rb"\700", rb"\700"),
    ],
)  # fmt: skip
def test_trap_12_escapes(text: bytes, expected: bytes) -> None:
    """Octal of any width, hexadecimal of exactly two digits; what is no escape stays."""
    assert values.unescape(text) == expected


@given(st.binary(max_size=60))
def test_what_strace_escaped_comes_back(data: bytes) -> None:
    """-xx writes every byte as two hexadecimal digits, the default as three octal ones at most."""
    assert values.unescape(b"".join(b"\\x%02x" % byte for byte in data)) == data
    assert values.unescape(b"".join(b"\\%03o" % byte for byte in data)) == data


@given(st.binary(max_size=60))
def test_any_bytes_can_be_asked(data: bytes) -> None:
    """No argument text raises."""
    for ask in (values.fd_of, values.number_of, values.unescape, values.string_at, values.strings, values.split_args,
                values.timespec_ns, values.family_of, values.socket_type, values.endpoint_in):  # fmt: skip
        ask(data)
        ask(b'{sa_family=AF_INET, sin_port=htons(1), sin_addr="' + data)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"3", 3), (b"3, x", 3), (b"0x5, 0x1", 5), (b"5<TCP:[1]>, 1", 5), (b"sockfd=5, addr=1", 5), (b"-1", -1),
        (b"0xffffffff", 0xFFFFFFFF), (b"AT_FDCWD", -1), (b"", -1), (b"9" * 30, -1), (b"AT_FDCWD</x>, 1", -1),
    ],
)  # fmt: skip
def test_descriptors(text: bytes, expected: int) -> None:
    """The first argument, in decimal, raw, annotated, named."""
    assert values.fd_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'3, "a, b", {x, y}, [1, 2], f(1, 2)', [b"3", b'"a, b"', b"{x, y}", b"[1, 2]", b"f(1, 2)"]),
        (b"sockfd=5, addr={sa_family=AF_INET}, addrlen=16", [b"5", b"{sa_family=AF_INET}", b"16"]),
        (b"5<TCP:[1.1.1.1:1->2.2.2.2:2]>, 1", [b"5<TCP:[1.1.1.1:1->2.2.2.2:2]>", b"1"]),
        (b"0</dev/pts/0<char 136:0>>, 1", [b"0</dev/pts/0<char 136:0>>", b"1"]),
        (b'3, "cut', [b"3", b'"cut']), (b"", [b""]),
    ],
)  # fmt: skip
def test_arguments(text: bytes, expected: list[bytes]) -> None:
    """Split at the top level only, names of -N taken off."""
    assert values.split_args(text) == expected


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        (b"{tv_sec=5, tv_nsec=7}", "n", 5_000_000_007), (b"{5, 7}", "u", 5_000_007_000), (b"NULL", "n", None),
        (b"{tv_sec=0, tv_usec=9}", "n", 9000),
    ],
)  # fmt: skip
def test_times(text: bytes, unit: str, expected: int | None) -> None:
    """Named since 4.15, by position before."""
    assert values.timespec_ns(text, unit) == expected


V4 = Endpoint("inet", "127.0.0.1", 40199)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{sa_family=AF_INET, sin_port=htons(40199), sin_addr=inet_addr("127.0.0.1")}', V4),
        ('{sa_family=PF_INET, sin_port=htons(40199), sin_addr=inet_addr("127.0.0.1")}', V4),
        ('{sa_family=0x2, sin_port="\\x9d\\x07", sin_addr="\\x7f\\x00\\x00\\x01"}', V4),
        ('{sa_family=0x2 /* AF_INET */, sin_port="\\x9d\\x07" /* htons(40199) */, sin_addr="\\x7f\\x00\\x00\\x01"}', V4),
        ('{sa_family=AF_INET, sin_port=htons(40199), sin_addr=inet_addr("\\x31\\x32\\x37\\x2e\\x30\\x2e\\x30\\x2e\\x31")}',
         V4),
        ('{sa_family=AF_INET6, sin6_port=htons(53), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_flowinfo=0, '
         "sin6_scope_id=0}", Endpoint("inet6", "::1", 53)),
        ('{sa_family=AF_INET6, sin6_port=htons(53), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::ffff:10.0.0.1", '
         "&sin6_addr), sin6_scope_id=0}", Endpoint("inet6", "10.0.0.1", 53)),
        ('{sa_family=AF_FILE, path="/var/run/nscd/socket"}', Endpoint("unix", path="/var/run/nscd/socket")),
        ('{sa_family=AF_LOCAL, sun_path=@"abc\\0"}', Endpoint("unix", path="@abc\0")),
        ('{sa_family=AF_UNIX, sun_path="a}b\\"c"}', Endpoint("unix", path='a}b"c')),
        ("{sa_family=AF_UNSPEC, sa_data=\"\\0\\0\"}", Endpoint("unspec")),
        ("{sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}", Endpoint("netlink")),
        ('{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("10.0.x.z")}', Endpoint("inet", "10.0.x.z", 80)),
        ('{sa_family=AF_INET, sa_data="\\0"}', Endpoint("inet")),
        ("0x7ffc27597940", None),
    ],
)  # fmt: skip
def test_addresses_of_every_version(text: str, expected: Endpoint | None) -> None:
    """Section 5.1, raw and verbose constants, and trap 19: impossible addresses stay text."""
    assert values.endpoint_in(b"5, " + text.encode() + b", 16") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK", ("stream", True, True)), (b"SOCK_DGRAM", ("dgram", False, False)),
        (b"0x80801 /* SOCK_??? */", ("stream", True, True)), (b"0x2", ("dgram", False, False)),
    ],
)  # fmt: skip
def test_socket_types(text: bytes, expected: tuple[str, bool, bool]) -> None:
    """By name and by number."""
    assert values.socket_type(text) == expected
