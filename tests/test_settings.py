"""Defaults from files and the environment: which counts, and what is passed over with one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace import settings as module
from systrace.settings import NAMES, Settings, settings, user_file
from tests.commands.conftest import NOBODY
from tests.commands.jobs import JOB, SYSTRACE, environment, parsed, unharmed

ALL = """
save-dir = "/var/spool/x"
keep = "30d,2G"
limits = "/etc/limits.toml"
tracer = "embedded"
quiet = true
mask = ["order-\\\\d+", "x"]
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No setting of this machine or of whoever runs the tests counts."""
    for name in NAMES:
        monkeypatch.delenv(f"SYSTRACE_{name.replace('-', '_').upper()}", raising=False)
    monkeypatch.setattr(module, "HOST", tmp_path / "host.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config").mkdir()
    settings.cache_clear()
    yield
    settings.cache_clear()


def found(host: str = "", user: str = "", **variables: str) -> Settings:
    """What is in force with these files and variables."""
    settings.cache_clear()
    for path, text in ((module.HOST, host), (user_file(), user)):
        path.unlink(missing_ok=True)
        if text:
            path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(f"SYSTRACE_{name}", value)
        return settings()


def test_nothing_set_is_nothing_in_force() -> None:
    none = found()
    assert (none.found, none.complaints, none.quiet, none.masks, none.text("tracer")) == ({}, [], False, [], None)


@pytest.mark.parametrize("where", ["host", "user"])
def test_all_that_a_file_may_say(where: str) -> None:
    known = found(**{where: ALL})
    assert known.complaints == []
    assert known.text("save-dir") == "/var/spool/x"
    assert (known.text("keep"), known.text("limits"), known.text("tracer")) == (
        "30d,2G",
        "/etc/limits.toml",
        "embedded",
    )
    assert (known.quiet, known.masks) == (True, ["order-\\d+", "x"])
    assert known.found["keep"].source == str(module.HOST if where == "host" else user_file())


def test_who_counts_before_whom() -> None:
    both = found(host='tracer = "strace"\nkeep = "1"', user='tracer = "embedded"', KEEP="3")
    assert (both.text("tracer"), both.text("keep")) == ("embedded", "3")
    assert both.found["keep"].source == "SYSTRACE_KEEP"
    assert found(host="quiet = true", user="quiet = false").quiet is False


@pytest.mark.parametrize(
    ("text", "quiet"),
    [("1", True), ("yes", True), ("TRUE", True), ("on", True), ("0", False), ("", False), ("No", False)],
)
def test_yes_and_no_in_a_variable(text: str, quiet: bool) -> None:
    known = found(user=f"quiet = {str(not quiet).lower()}", QUIET=text)
    assert (known.quiet, known.complaints) == (quiet, [])


def test_an_empty_variable_says_nothing() -> None:
    assert found(user='keep = "1"', KEEP="").text("keep") == "1"
    assert found(MASK="order-\\d+").masks == ["order-\\d+"]


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("no toml at all", "is not used: "),
        ("quiet = 3", "quiet is ignored: it takes true or false"),
        ("tracer = 3", "tracer is ignored: it takes a text"),
        ('mask = "x"', "mask is ignored: it takes a list of patterns"),
        ("mask = [1]", "mask is ignored: it takes a list of patterns"),
        ("colour = 1", "there is no setting 'colour': it is ignored"),
        ("\x00", "is not used: "),
        (f"keep = {'[' * 100_000}", "is not used: "),
    ],
)
def test_nonsense_is_one_line_and_the_rest_counts(user: str, said: str) -> None:
    known = found(host='keep = "7"', user=user)
    (complaint,) = known.complaints
    assert said in complaint
    assert str(user_file()) in complaint
    assert known.text("keep") == "7"


def test_names_may_be_spelled_with_underscores() -> None:
    assert found(user='save_dir = "/x"').text("save-dir") == "/x"


def test_a_quiet_that_is_neither_is_said() -> None:
    known = found(QUIET="perhaps")
    assert known.complaints == ["SYSTRACE_QUIET: quiet is ignored: it takes true or false"]


def test_what_others_may_write_is_not_used() -> None:
    user_file().write_text('keep = "1"')
    user_file().chmod(0o666)
    settings.cache_clear()
    assert (settings().text("keep"), settings().complaints) == (
        None,
        [f"{user_file()} is not used: others may write it"],
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_what_belongs_to_somebody_else_is_not_used() -> None:
    user_file().write_text('keep = "1"')
    os.chown(user_file(), NOBODY, NOBODY)
    settings.cache_clear()
    assert settings().text("keep") is None
    assert len(settings().complaints) == 1


def test_what_is_no_file_is_said_and_not_waited_for() -> None:
    user_file().mkdir()
    settings.cache_clear()
    assert settings().complaints == [f"{user_file()} is not used: Is a directory"]
    user_file().rmdir()
    os.mkfifo(user_file())
    settings.cache_clear()
    assert settings().complaints == [f"{user_file()} is not used: it is no file"]
    user_file().unlink()
    user_file().symlink_to("/dev/zero")
    settings.cache_clear()
    assert settings().complaints == [f"{user_file()} is not used: it is no file"]


# ----------------------------------------------------------------------------------------------------------- real jobs


def job(tmp_path: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A real run with a file and variables of its own."""
    env = {**environment(XDG_CONFIG_HOME=str(tmp_path / "config")), **variables}
    words = [*SYSTRACE, "run", *options, *JOB]
    return subprocess.run(words, input=b"word\n", capture_output=True, check=False, timeout=60, env=env)


@pytest.mark.real
def test_a_run_takes_its_defaults_from_them(tmp_path: Path) -> None:
    user_file().write_text(f'save-dir = "{tmp_path}/saved"\ntracer = "embedded"\nkeep = "2"\n')
    for _turn in range(3):
        unharmed(job(tmp_path))
    paths = list((tmp_path / "saved").iterdir())
    assert len(paths) == 2
    for path in paths:
        assert "embedded tracer" in parsed(path)


@pytest.mark.real
def test_an_option_counts_first(tmp_path: Path) -> None:
    user_file().write_text(f'save-dir = "{tmp_path}/saved"\ntracer = "embedded"\n')
    done = job(tmp_path, "--save", str(tmp_path / "t"), "--tracer", "strace", SYSTRACE_TRACER="embedded")
    unharmed(done)
    assert not (tmp_path / "saved").exists()
    if shutil.which("strace"):
        assert b'"tracer": "strace"' in (tmp_path / "t").read_bytes().partition(b"\n")[0]


@pytest.mark.real
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SYSTRACE_TRACER", "dtrace", "there is no tracer 'dtrace'"),
        ("SYSTRACE_KEEP", "some", "--keep some: write a number"),
        ("SYSTRACE_SAVE_DIR", "/proc/nowhere/x", "nothing is saved"),
        ("SYSTRACE_SAVE_DIR", "/dev/null", "nothing is saved"),
        ("SYSTRACE_LIMITS", "/nowhere/limits.toml", "your own idle limits are not used"),
        ("SYSTRACE_QUIET", "perhaps", "it takes true or false"),
    ],
)
def test_nonsense_in_a_file_or_variable_stops_no_job(variable: str, value: str, said: str, tmp_path: Path) -> None:
    lines = unharmed(job(tmp_path, **{variable: value}))
    assert sum(said in line for line in lines) == 1, lines


@pytest.mark.real
@pytest.mark.parametrize("text", ["nonsense", "tracer = 3", "\x00\x01", "keep = 'some'", "tracer = '\x7f'"])
def test_nonsense_in_the_file_is_one_line(text: str, tmp_path: Path) -> None:
    user_file().write_text(text)
    lines = unharmed(job(tmp_path))
    assert len(lines) == 1


@pytest.mark.real
def test_without_a_home(tmp_path: Path) -> None:
    env = {name: value for name, value in environment().items() if name not in ("HOME", "XDG_CONFIG_HOME")}
    for variables in (
        env,
        {**env, "HOME": ""},
        {**env, "HOME": "/proc/nowhere"},
        {**env, "XDG_CONFIG_HOME": "relative"},
    ):
        done = subprocess.run(
            [*SYSTRACE, "run", *JOB], input=b"word\n", capture_output=True, check=False, timeout=60, env=variables
        )
        assert unharmed(done) == []


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a mount namespace needs root")
def test_the_hosts_file(tmp_path: Path) -> None:
    """/etc/systrace.toml, in a mount namespace with an /etc of its own."""
    script = (
        "mount -t overlay -o lowerdir=/etc,upperdir=$1/upper,workdir=$1/work none /etc 2>/dev/null || "
        "{ cp -a /etc/. $1/etc && mount --bind $1/etc /etc; } || exit 99\n"
        'echo "save-dir = \\"$1/saved\\"" > /etc/systrace.toml\nshift\nexec "$@"'
    )
    for name in ("upper", "work", "etc"):
        (tmp_path / name).mkdir()
    words = ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", str(tmp_path), *SYSTRACE, "run"]
    env = environment(XDG_CONFIG_HOME=str(tmp_path / "config"))
    done = subprocess.run([*words, *JOB], input=b"word\n", capture_output=True, check=False, timeout=60, env=env)
    unharmed(done)
    assert len(list((tmp_path / "saved").iterdir())) == 1
    assert not Path("/etc/systrace.toml").exists()


def test_no_start_waits_for_toml() -> None:
    """tomllib is read where there is a file."""
    script = "import sys\nfrom systrace.settings import settings\nsettings()\nprint('tomllib' in sys.modules)"
    env = environment(XDG_CONFIG_HOME="/nowhere")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=env)
    assert done.stdout == (b"True\n" if Path("/etc/systrace.toml").exists() else b"False\n")
