"""OpenSMTPD and Dovecot, asked by Python's own clients."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.messages.replies import Greeting, Reply, Request, ServerError
from systrace.model import Message
from tests.decoders.relay import Relay
from tests.decoders.servers import alone, decoded, directory, free_port, needs, run, serving

pytestmark = pytest.mark.real

MAIL = "Subject: report\r\n\r\n" + "".join(f"line {n}\r\n..dots\r\n" for n in range(500))


def errors(messages: list[Message]) -> list[ServerError]:
    """All refusals."""
    return [message for message in messages if isinstance(message, ServerError)]


def unanswered(messages: list[Message]) -> list[str]:
    """Requests whose answer is missing."""
    return [message.summary for message in messages if isinstance(message, Request) and message.unanswered]


@pytest.fixture(name="certificate", scope="module")
def make_certificate() -> Iterator[Path]:
    """A directory with key.pem and cert.pem."""
    with directory() as home:
        argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        argv += ["-days", "2", "-subj", "/CN=mail.example"]
        made = run(*argv, "-keyout", f"{home}/key.pem", "-out", f"{home}/cert.pem")
        assert made.returncode == 0, made.stderr
        Path(home, "key.pem").chmod(0o600)
        yield home


@pytest.fixture(name="smtp", scope="module")
def start_opensmtpd(certificate: Path) -> Iterator[int]:
    """OpenSMTPD that takes mail for mail.example only, and throws it away; its control socket allows one at a time."""
    with directory() as home, alone("smtpd"):
        port = free_port()
        Path(home, "conf").write_text(
            f'pki mail cert "{certificate}/cert.pem"\npki mail key "{certificate}/key.pem"\n'
            f"smtp max-message-size 100000\nlisten on 127.0.0.1 port {port} tls pki mail hostname mail.example\n"
            'action "drop" mda "/bin/cat >/dev/null" virtual { "@" = "nobody" }\n'
            'match from any for domain "mail.example" action "drop"\n'
        )
        Path(home, "conf").chmod(0o600)
        with serving(["smtpd", "-d", "-f", f"{home}/conf"], port, home / "log"):
            yield port


@pytest.fixture(name="dovecot", scope="module")
def start_dovecot(certificate: Path) -> Iterator[tuple[int, int]]:
    """Ports of POP3 and IMAP of a Dovecot with one user and one mail."""
    with directory() as home:
        pop, imap = free_port(), free_port()
        Path(home, "users").write_text(f"job:{{PLAIN}}s3cret-word:65534:65534::{home}/job::\n")
        new = Path(home, "job/mail/new")
        new.mkdir(parents=True)
        Path(new, "1.report").write_bytes(MAIL.encode())
        run("chown", "-R", "nobody", f"{home}/job")
        Path(home, "conf").write_text(
            f"protocols = imap pop3\nbase_dir = {home}/run\nstate_dir = {home}/state\nlisten = 127.0.0.1\n"
            f"log_path = {home}/log\nssl = yes\nssl_cert = <{certificate}/cert.pem\nssl_key = <{certificate}/key.pem\n"
            f"disable_plaintext_auth = no\nmail_location = maildir:{home}/job/mail\n"
            "first_valid_uid = 1\nfirst_valid_gid = 1\n"
            f"auth_failure_delay = 0\nprotocol imap {{\n}}\nprotocol pop3 {{\n}}\n"
            f"passdb {{\n driver = passwd-file\n args = {home}/users\n}}\n"
            f"userdb {{\n driver = passwd-file\n args = {home}/users\n}}\n"
            f"service imap-login {{\n inet_listener imap {{\n port = {imap}\n }}\n"
            " inet_listener imaps {\n port = 0\n }\n}\n"
            f"service pop3-login {{\n inet_listener pop3 {{\n port = {pop}\n }}\n"
            " inet_listener pop3s {\n port = 0\n }\n}\n"
        )
        with serving(["dovecot", "-F", "-c", f"{home}/conf"], imap, home / "out"):
            yield pop, imap


@needs("smtpd", "openssl")
class TestSmtp:
    """What smtplib reports is what we decode."""

    @pytest.mark.parametrize("step", [0, 1])
    def test_a_mail(self, smtp: int, step: int) -> None:
        with Relay(smtp) as relay:
            with smtplib.SMTP("127.0.0.1", relay.port, "job.example", 30) as client:
                client.sendmail("job@job.example", ["box@mail.example"], MAIL)
            messages = decoded(relay.conversation(), "smtp", step)
        assert not errors(messages)
        assert not unanswered(messages)
        summaries = [message.summary for message in messages]
        assert f"mail of {len(MAIL)} bytes" in summaries
        assert summaries[-1].startswith("221 ")
        greeting = next(message for message in messages if isinstance(message, Greeting))
        assert greeting.text.startswith("mail.example ESMTP OpenSMTPD")

    def test_refused_recipient(self, smtp: int) -> None:
        with Relay(smtp) as relay, smtplib.SMTP("127.0.0.1", relay.port, "job.example", 30) as client:
            with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
                client.sendmail("job@job.example", ["box@elsewhere.example"], MAIL)
            client.quit()
            (error,) = errors(decoded(relay.conversation(), "smtp"))
        ((code, text),) = caught.value.recipients.values()
        assert (error.code, error.text) == (str(code), text.decode())
        assert error.request is not None
        assert error.request.verb == "RCPT"

    def test_refused_mail(self, smtp: int) -> None:
        with Relay(smtp) as relay, smtplib.SMTP("127.0.0.1", relay.port, "job.example", 30) as client:
            client.ehlo()
            client.esmtp_features.clear()  # so that the size is not told beforehand
            with pytest.raises(smtplib.SMTPDataError) as caught:
                client.sendmail("job@job.example", ["box@mail.example"], "x" * 70 + "\r\n" + MAIL * 20)
            with contextlib.suppress(smtplib.SMTPServerDisconnected):
                client.quit()
            found = errors(decoded(relay.conversation(), "smtp"))
        assert found[0].code == str(caught.value.smtp_code)
        assert found[0].request is not None
        assert found[0].request.verb == "mail"

    def test_starttls(self, smtp: int) -> None:
        context = ssl._create_unverified_context()
        with Relay(smtp) as relay:
            client = smtplib.SMTP("127.0.0.1", relay.port, "job.example", 30)
            with contextlib.suppress(
                ssl.SSLError
            ):  # some builds fail after OpenSSL's change of engines: not our matter
                client.starttls(context=context)
            client.close()
            messages = decoded(relay.conversation(), "smtp", handed_over=True)
        assert messages[-1].summary.startswith("220 ")
        assert isinstance(messages[-1], Reply)
        assert messages[-1].request is not None
        assert messages[-1].request.summary == "STARTTLS"


@needs("dovecot", "openssl")
class TestPop:
    """What poplib reports is what we decode."""

    @pytest.mark.parametrize("step", [0, 1])
    def test_a_mail(self, dovecot: tuple[int, int], step: int) -> None:
        with Relay(dovecot[0]) as relay:
            client = poplib.POP3("127.0.0.1", relay.port, 30)
            client.user("job")
            client.pass_("s3cret-word")
            _, _, octets = client.retr(1)
            client.list()
            client.list(1)
            client.quit()
            messages = decoded(relay.conversation(), "pop", step)
        assert not errors(messages)
        assert not unanswered(messages)
        retrieved = next(m for m in messages if isinstance(m, Reply) and m.request and m.request.verb == "RETR")
        assert retrieved.received_length == retrieved.declared_length == octets == len(MAIL)
        assert not any("s3cret" in message.summary for message in messages)

    def test_a_wrong_password(self, dovecot: tuple[int, int]) -> None:
        with Relay(dovecot[0]) as relay:
            client = poplib.POP3("127.0.0.1", relay.port, 30)
            client.user("job")
            with pytest.raises(poplib.error_proto) as caught:
                client.pass_("wrong")
            client.quit()
            (error,) = errors(decoded(relay.conversation(), "pop"))
        assert f"-ERR {error.text}" == caught.value.args[0].decode()

    def test_a_mail_that_breaks_off(self, dovecot: tuple[int, int]) -> None:
        with Relay(dovecot[0]) as relay:
            client = poplib.POP3("127.0.0.1", relay.port, 30)
            client.user("job")
            client.pass_("s3cret-word")
            client.retr(1)
            client.quit()
            said = relay.conversation()
        at = next(i for i, (client_, data, _) in enumerate(said) if not client_ and b"Subject" in data)
        start = said[at][1].index(b"Subject")
        last = decoded([*said[:at], (False, said[at][1][: start + 20], 0)], "pop")[-1]
        assert isinstance(last, Reply)
        assert (last.complete, last.received_length, last.declared_length) == (False, 20, len(MAIL))

    def test_stls(self, dovecot: tuple[int, int]) -> None:
        with Relay(dovecot[0]) as relay:
            client = poplib.POP3("127.0.0.1", relay.port, 30)
            client.stls(ssl._create_unverified_context())
            client.quit()
            messages = decoded(relay.conversation(), "pop", handed_over=True)
        assert messages[-1].summary.startswith("+OK Begin TLS")


@needs("dovecot", "openssl")
class TestImap:
    """What imaplib reports is what we decode."""

    @pytest.mark.parametrize("step", [0, 1])
    def test_a_mail(self, dovecot: tuple[int, int], step: int) -> None:
        with Relay(dovecot[1]) as relay:
            client = imaplib.IMAP4("127.0.0.1", relay.port, 30)
            client.login("job", "s3cret-word")
            client.select("INBOX")
            client.fetch("1", "(BODY.PEEK[] FLAGS)")
            client.append("INBOX", "", None, MAIL.encode())
            client.logout()
            messages = decoded(relay.conversation(), "imap", step)
        assert not errors(messages)
        assert not unanswered(messages)
        verbs = [message.verb for message in messages if isinstance(message, Request)]
        assert verbs == ["CAPABILITY", "LOGIN", "SELECT", "FETCH", "APPEND", "LOGOUT"]
        assert not any("s3cret" in message.summary for message in messages)

    def test_refusals(self, dovecot: tuple[int, int]) -> None:
        with Relay(dovecot[1]) as relay:
            client = imaplib.IMAP4("127.0.0.1", relay.port, 30)
            with pytest.raises(imaplib.IMAP4.error) as caught:
                client.login("job", "wrong")
            client.login("job", "s3cret-word")
            status, said = client.select("NOWHERE")
            client.logout()
            found = errors(decoded(relay.conversation(), "imap"))
        assert [error.code for error in found] == ["NO", status]
        assert found[0].text == caught.value.args[0].decode()
        assert said[0] is not None
        assert found[1].text == said[0].decode()

    def test_starttls(self, dovecot: tuple[int, int]) -> None:
        with Relay(dovecot[1]) as relay:
            client = imaplib.IMAP4("127.0.0.1", relay.port, 30)
            client.starttls(ssl._create_unverified_context())
            client.logout()
            messages = decoded(relay.conversation(), "imap", handed_over=True)
        assert messages[-1].summary.startswith("OK Begin TLS")
