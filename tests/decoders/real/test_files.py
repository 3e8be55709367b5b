"""vsftpd and OpenSSH's server, asked by Python's ftplib, and by ssh."""

from __future__ import annotations

import contextlib
import ftplib
import io
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.messages.replies import FtpReply, FtpRequest, Greeting, Request, ServerError
from systrace.model import Message
from tests.decoders.relay import Relay
from tests.decoders.servers import decoded, directory, free_port, needs, run, serving

pytestmark = pytest.mark.real


@pytest.fixture(name="ftp", scope="module")
def start_vsftpd() -> Iterator[int]:
    """vsftpd for anonymous users, with one file of 20,000 bytes, at most three clients."""
    with directory() as home:
        port = free_port()
        for name in ("files", "empty"):
            Path(home, name).mkdir(mode=0o755)
        Path(home, "files/report.csv").write_bytes(b"x" * 20_000)
        values = {
            "listen": "YES", "listen_address": "127.0.0.1", "listen_port": port, "background": "NO",
            "anonymous_enable": "YES", "local_enable": "NO", "write_enable": "NO", "anon_root": f"{home}/files",
            "secure_chroot_dir": f"{home}/empty", "max_clients": 3, "seccomp_sandbox": "NO", "ftp_username": "daemon",
            "nopriv_user": "nobody", "ftpd_banner": "Files of the job", "connect_from_port_20": "NO",
            "pasv_enable": "YES", "port_enable": "YES",
        }  # fmt: skip
        Path(home, "conf").write_text("".join(f"{key}={value}\n" for key, value in values.items()))
        with serving(["vsftpd", f"{home}/conf"], port, home / "log"):
            yield port


@pytest.fixture(name="ssh", scope="module")
def start_sshd() -> Iterator[int]:
    """OpenSSH's server, which refuses the second connection that is not logged in."""
    with directory() as home:
        port = free_port()
        made = run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{home}/key")
        assert made.returncode == 0, made.stderr
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        Path(home, "conf").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/key\nMaxStartups 2:100:2\nPidFile none\nUsePAM no\n"
            "PasswordAuthentication no\nCiphers aes256-gcm@openssh.com\n"
        )
        with serving(["sshd", "-D", "-e", "-f", f"{home}/conf"], port, home / "log"):
            yield port


def errors(messages: list[Message]) -> list[ServerError]:
    """All refusals."""
    return [message for message in messages if isinstance(message, ServerError)]


def unanswered(messages: list[Message]) -> list[str]:
    """Requests whose answer is missing."""
    return [message.summary for message in messages if isinstance(message, Request) and message.unanswered]


@needs("vsftpd")
class TestFtp:
    """What ftplib reports is what we decode, and where it connects to is what we say."""

    @pytest.mark.parametrize("passive", [True, False])
    @pytest.mark.parametrize("step", [0, 1])
    def test_a_file(self, ftp: int, passive: bool, step: int) -> None:
        got = io.BytesIO()
        with Relay(ftp) as relay:
            with ftplib.FTP(timeout=30) as client:
                client.connect("127.0.0.1", relay.port)
                client.set_pasv(passive)
                client.login(passwd="s3cret@job.example")
                channel, _ = client.ntransfercmd("RETR report.csv")
                with channel:
                    far, near = channel.getpeername(), channel.getsockname()
                    for data in iter(lambda: channel.recv(65536), b""):
                        got.write(data)
                client.voidresp()
                client.quit()
            messages = decoded(relay.conversation(), "ftp", step)
        assert len(got.getvalue()) == 20_000
        assert not errors(messages)
        assert not unanswered(messages)
        assert not any("s3cret" in message.summary for message in messages)
        arranged = [m.data for m in messages if isinstance(m, FtpReply | FtpRequest) and m.data is not None]
        assert [(end.host, end.port) for end in arranged] == [far if passive else near]

    def test_refusals(self, ftp: int) -> None:
        with Relay(ftp) as relay, ftplib.FTP(timeout=30) as client:
            client.connect("127.0.0.1", relay.port)
            with pytest.raises(ftplib.error_perm) as login:
                client.login("job", "wrong")
            client.login()
            with pytest.raises(ftplib.error_perm) as file:
                client.retrbinary("RETR nope.csv", lambda _: None)
            client.quit()
            found = errors(decoded(relay.conversation(), "ftp"))
        assert [f"{error.code} {error.text}" for error in found] == [str(login.value), str(file.value)]

    def test_too_many_clients(self, ftp: int) -> None:
        with contextlib.ExitStack() as held:
            for _ in range(3):
                held.enter_context(socket.create_connection(("127.0.0.1", ftp))).recv(10)
            with Relay(ftp) as relay:
                client = ftplib.FTP(timeout=30)
                with pytest.raises(ftplib.error_temp) as refused:
                    client.connect("127.0.0.1", relay.port)
                client.close()
                said = relay.said[-1]
        text = str(refused.value)
        assert text.startswith("421 ")
        (error,) = errors(decoded_as_ftp(said))
        assert f"{error.code} {error.text}" == text


def decoded_as_ftp(said: list[tuple[bool, bytes, int]]) -> list[Message]:
    """A bare 421 may be SMTP's as well: only the port tells, so that the decoder is not asked to recognise it."""
    return decoded([(False, b"220 FTP server\r\n", 0), *said], "ftp")


@needs("sshd", "ssh", "ssh-keygen")
class TestSsh:
    """What ssh reports is what we decode."""

    @staticmethod
    def ssh(port: int, *options: str) -> str:
        """What ssh says on standard error; nobody can log in."""
        words = [word for option in ("BatchMode=yes", "StrictHostKeyChecking=no", *options) for word in ("-o", option)]
        files = ["-o", "UserKnownHostsFile=/dev/null", "-F", "none"]
        return run("ssh", "-v", *words, *files, "-p", str(port), "127.0.0.1", "true").stderr

    @pytest.mark.parametrize("step", [0, 1])
    def test_banners_and_keys(self, ssh: int, step: int) -> None:
        with Relay(ssh) as relay:
            said = self.ssh(relay.port)
            messages = decoded(relay.conversation(), "ssh", step)
        assert not errors(messages)
        banners = [message.text for message in messages if isinstance(message, Greeting)]
        assert len(banners) == 2
        for banner in banners:
            assert banner.partition("-")[2].partition("-")[2] in said
        offers = [message.summary for message in messages if message.summary.startswith("offers ")]
        assert len(offers) == 2
        assert any(offer.endswith("aes256-gcm@openssh.com") for offer in offers)
        assert sum("new keys" in message.summary for message in messages) == 2
        assert all(message.complete for message in messages)

    def test_nothing_in_common(self, ssh: int) -> None:
        with Relay(ssh) as relay:
            said = self.ssh(relay.port, "Ciphers=aes128-ctr")
            found = errors(decoded(relay.conversation(), "ssh"))
        assert re.search("no matching cipher found", said)
        assert found[0].text == "no common cipher"

    def test_too_many_start_ups(self, ssh: int) -> None:
        with contextlib.ExitStack() as held:
            for _ in range(2):
                held.enter_context(socket.create_connection(("127.0.0.1", ssh))).recv(4)
            with Relay(ssh) as relay:  # nothing is sent: an unread banner would turn the refusal into a reset
                with socket.create_connection(("127.0.0.1", relay.port), 30) as client:
                    while client.recv(100):
                        pass
                messages = decoded(relay.conversation(), "ssh")
        (error,) = errors(messages)
        assert error.text == "Exceeded MaxStartups"
        assert messages == [error]
