"""systrace as a library, and as what is installed."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import systrace

ROOT = Path(__file__).resolve().parents[1]
REFUSED = [
    b"9 1700000001.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>\n",
    b'9 1700000001.000100 connect(3, {sa_family=AF_INET, sin_port=htons(5432), sin_addr=inet_addr("192.0.2.7")}, 16)'
    b" = -1 ECONNREFUSED (Connection refused) <0.000400>\n",
    b"9 1700000001.001000 +++ exited with 1 +++\n",
]


def test_every_exported_name_is_there() -> None:
    """And no other."""
    for name in systrace.__all__:
        assert getattr(systrace, name).__module__.startswith("systrace.")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        systrace.nonsense  # noqa: B018


def test_analyze_answers_from_lines() -> None:
    """The example of the package's docstring."""
    analysis = systrace.analyze([systrace.Input("job.strace", REFUSED)])
    assert isinstance(analysis, systrace.Analysis)
    assert (analysis.verdict.cause, analysis.verdict.peer) == ("connect-refused", "192.0.2.7:5432")
    assert [line.line for line in analysis.findings[0].lines] == [2]


def test_the_wheel_has_all_that_is_read_at_run_time(tmp_path: Path) -> None:
    """Data files, schemas and the marker of typed packages; no tests, no caches."""
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    compiled = "systrace/_scanner.abi3.so" in names  # where a compiler is
    tag = f"cp311-abi3-{sysconfig.get_platform().replace('-', '_')}" if compiled else "py3-none-any"
    assert wheel.name == f"systrace-{systrace.__version__}-{tag}.whl"
    data = {path.relative_to(ROOT).as_posix() for path in (ROOT / "systrace").rglob("*.toml")}
    data |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "systrace").rglob("*.json")}
    assert len(data) >= 3
    assert data | {"systrace/py.typed", "systrace/rules/README.md", "systrace/DECISIONS.md"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    manual = f"systrace-{systrace.__version__}.data/data/share/man/man1/"
    own = [name for name in names if ".dist-info/" not in name and not name.startswith(manual)]
    assert {name.split("/")[0] for name in own} == {"systrace"}
    assert "systrace/tracers/ebpf_worker/capture.bpf.o" in names
    assert not [name for name in names if name.endswith((".pyc", ".c", ".h"))]
