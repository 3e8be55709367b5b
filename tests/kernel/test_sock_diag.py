"""The kernel's own tables against sockets that this test holds."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.kernel import pidfd, sock_diag
from systrace.model import Endpoint

pytestmark = pytest.mark.real


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def rows(*socks: socket.socket) -> dict[int, sock_diag.Row]:
    wanted = {inode(sock) for sock in socks}
    with sock_diag.namespace_socket(os.getpid()) as netlink:
        found = sock_diag.inet_rows(netlink, wanted) + sock_diag.unix_rows(netlink, wanted)
    return {row.inode: row for row in found}


def test_both_ends_of_a_connection_find_each_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server = listener.accept()[0]
    with client, server, socket.create_server(("127.0.0.1", 0)) as listener:
        client.sendall(b"x" * 5000)
        found = rows(listener, client, server)
        assert found[inode(listener)].state == "listen"
        assert found[inode(client)].peer == Endpoint("inet", *server.getsockname())
        assert found[inode(client)].peer_inode == inode(server)
        assert found[inode(server)].peer_inode == inode(client)
        assert found[inode(server)].unread == 5000
        info = found[inode(server)].tcp
        assert info is not None
        assert (info.state, info.bytes_received) == ("established", 5000)
        assert pidfd.tcp_info_of(server.fileno()) is not None
        text = {row.inode: row for row in sock_diag.text_rows(os.getpid(), {inode(server), inode(listener)})}
        assert text[inode(server)].unread == 5000
        assert text[inode(server)].peer == found[inode(server)].peer
        assert text[inode(listener)].state == "listen"
        server.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        assert rows(client)[inode(client)].state == "close-wait"


def test_ends_of_different_families_find_each_other() -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("the machine forbids it: no IPv6")
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        client = socket.create_connection(("127.0.0.1", listener.getsockname()[1]))
        server = listener.accept()[0]
    with client, server:
        found = rows(client, server)
        assert found[inode(client)].family == "inet"
        assert found[inode(server)].family == "inet6"
        assert found[inode(client)].peer_inode == inode(server)
        assert str(found[inode(server)].peer).startswith("[::ffff:127.0.0.1]:")


def test_unix_sockets_show_their_name_and_peer(tmp_path: Path) -> None:
    name = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(name)
        listener.listen()
        client.connect(name)
        with listener.accept()[0] as server:
            server.sendall(b"12345")
            found = rows(listener, client, server)
            assert found[inode(listener)].local == Endpoint("unix", path=name)
            assert found[inode(client)].peer == Endpoint("unix", path=name)
            assert found[inode(client)].peer_inode == inode(server)
            assert found[inode(client)].unread == 5
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind("\0krn\x1b")
        assert rows(abstract)[inode(abstract)].local == Endpoint("unix", path="@krn\\x1b")


def test_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", 53))
        row = rows(sock)[inode(sock)]
        assert (row.protocol, row.state, str(row.peer)) == ("udp", "connected", "127.0.0.1:53")


@given(st.binary(max_size=300))
def test_tcp_info_of_any_length(raw: bytes) -> None:
    info = sock_diag.tcp_info(raw)
    assert (info is None) == (len(raw) < 104)


def test_an_old_kernels_short_tcp_info_leaves_the_rest_unknown() -> None:
    info = sock_diag.tcp_info(bytes([1]) + bytes(103))
    assert info is not None
    assert (info.state, info.bytes_received, info.unsent, info.rwnd_limited_ms) == ("established", None, None, None)
