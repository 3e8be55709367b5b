"""The house's rules, checked on the source: who imports whom, where third-party packages come in, sizes, mirrors."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from systrace.calls import errnos
from systrace.calls.numbers import NAMES, SOCKETCALLS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "systrace"
TESTS = ROOT / "tests"

FOUNDATION = frozenset(
    "model look masking messages errors registry dataclass annotations calls idle_limits keepalive words story shell outputs "
    "settings units compiled _scanner traffic observations course".split()
)
STAGES: dict[str, set[str]] = {  # stage -> what it may import beside the foundation and itself
    "parser": set(),
    "streams": set(),
    "decoders": set(),
    "bodies": set(),
    "rules": {"bodies"},
    "compare": set(),
    "reporters": {"compare"},
    "sources": set(),
    "serverlogs": {"sources"},
    "tracers": set(),
    "kernel": set(),
    "probes": {"decoders"},
    "cloud": set(),
    "telemetry": set(),
    "pipeline": {"parser", "streams", "decoders", "rules", "serverlogs"},
    "fleet": {"pipeline", "sources", "reporters"},
    "capture": {"pipeline", "tracers", "kernel", "reporters", "rules", "probes", "telemetry"},
    "commands": set(
        "pipeline fleet capture compare sources tracers kernel probes cloud reporters rules telemetry".split()
    ),
    "__main__": {"commands"},
    "__init__": {"pipeline"},
}
# The only places that know a third-party package, all of them imported inside functions but for the marked ones.
DOORS = {
    "typer": ("systrace/commands/",),
    "rich": ("systrace/commands/reading/progress.py",),
    "tabulate": ("systrace/reporters/",),
    "psutil": ("systrace/kernel/",),
    "ptrace": ("systrace/tracers/embedded_worker/",),  # a process of its own: python-ptrace is GPL-2.0-only
    "hpack": ("systrace/decoders/parts/hpack_fields.py",),
    "cryptography": ("systrace/decoders/parts/tls", "systrace/decoders/protocols/tls", "systrace/probes/kinds/tls.py"),
    "brotli": ("systrace/messages/codings.py",),
    # zstd of a body, and of a compressed log: two readers of one format
    "backports": ("systrace/messages/codings.py", "systrace/sources/logfile.py"),
    "compression": ("systrace/messages/codings.py", "systrace/sources/logfile.py"),
    "jinja2": ("systrace/reporters/html/page.py",),
    "duckdb": ("systrace/fleet/sql.py",),
    "distributed": ("systrace/commands/reading/fleet.py",),
    "boto3": ("systrace/cloud/aws/live.py", "systrace/fleet/objects.py"),
    "botocore": ("systrace/cloud/aws/live.py", "systrace/fleet/objects.py"),
}
EAGER = {"typer", "ptrace"}  # every command is a typer command; the worker is nothing but ptrace

# What breaks a rule and is known. These lists only shrink: mend something, and take it off.
STRAY_IMPORTS = {
    ("commands", "decoders"),  # TLS keys that a job writes are read while it runs
    ("capture", "parser"),  # the tracers are told which calls the parser knows, and when a record is whole
    ("tracers", "sources"),  # the old name of what reads saved logs, for scripts of others
}
LONG_FILE, LONG_FUNCTION = 400, 50  # lines: what is longer is reported by `python tests/test_architecture.py`
TOO_LONG = 1.2  # times that: fails, unless it is here
LONG_ON_PURPOSE = {
    "systrace/model.py": "THE nouns are in one file",
    "systrace/commands/parse.py parse": "a line or two for each option",
    "systrace/commands/run.py run": "a line or two for each option",
    "systrace/parser/records.py read": "the hot loop: a call per line would cost a third of the speed",
}
UNMIRRORED_IN = {  # stage -> modules that only the tests of others reach
    "decoders": "code_replies dialogue parts.http1_heads parts.http1_side parts.tls_cipher parts.tls_hello "
    "parts.tls_secrets parts.tls_suites",
    "kernel": "addresses clock gather netns",
    "parser": "leader names",
    "reporters": "shapes.shape words.blocks words.endings",
    "rules": "advice.clients case.stalls look.wording verdict.outcome verdict.recovery",
    "streams": "connecting descriptors evidence lookup processes snapshots sockets states tracker "
    "transcript transfers waiting waits",
}
# Where names of calls stand in a row beside systrace/calls, and why.
OWN_ROWS = {
    "systrace/parser/syscalls/": "handlers, under the names that they are for",
    "systrace/tracers/embedded_worker/decode/": "the same for printing",
    "systrace/tracers/embedded_worker/inject.py": "the calls that it makes itself",
    "systrace/tracers/embedded_worker/plan.py": "by which argument a filter stops at each",
    "systrace/tracers/ebpf_worker/interest.py": "what the kernel's half records of each",
    "systrace/tracers/ebpf_worker/descriptors.py": "what the descriptor is that each makes",
    "systrace/parser/calls.py": "how many arguments strace prints before the kernel's answer: a number for each",
}
UNMIRRORED = {f"systrace.{stage}.{name}" for stage, names in UNMIRRORED_IN.items() for name in names.split()}


@dataclass(frozen=True)
class Import:
    """One import of one module: `systrace.model`, `typer`."""

    path: str  # relative to the project
    line: int
    module: str
    eager: bool  # runs when the importing module is imported
    relative: bool


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), str(path))


def sources(folder: Path = PACKAGE) -> list[Path]:
    """All Python files below a folder."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


@cache
def imports(path: Path) -> list[Import]:
    """What a file imports; under `if TYPE_CHECKING` counts as imported, but not at start."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[Import]:
    name = path.relative_to(ROOT).as_posix()
    lazy: set[ast.AST] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            lazy.update(ast.walk(node))
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, node.lineno, alias.name, node not in lazy, False)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module == "systrace":  # from systrace import model: the module, not the package
                for alias in node.names:
                    yield Import(name, node.lineno, f"systrace.{alias.name}", node not in lazy, bool(node.level))
            else:
                yield Import(name, node.lineno, module, node not in lazy, bool(node.level))


def all_imports() -> list[Import]:
    """Of the whole package."""
    return [each for path in sources() for each in imports(path)]


def stage_of(path: str) -> str:
    """`systrace/parser/leader.py` -> parser, `systrace/pipeline.py` -> pipeline."""
    return path.split("/")[1].removesuffix(".py")


# ------------------------------------------------------------------------------------------------------------ imports


def test_stages_know_the_foundation_and_themselves() -> None:
    """And nothing else but what the picture in systrace/__init__.py allows."""
    broken: list[str] = []
    for each in all_imports():
        parts = each.module.split(".")
        if parts[0] != "systrace" or each.module == "systrace.__version__":
            continue
        here, there = stage_of(each.path), parts[1] if len(parts) > 1 else "__init__"
        allowed = {here} if here in FOUNDATION else FOUNDATION | {here} | STAGES[here]
        if here in FOUNDATION:
            allowed |= FOUNDATION
        if there not in allowed and (here, there) not in STRAY_IMPORTS:
            broken.append(f"{each.path}:{each.line} imports {each.module}")
    assert not broken, "\n".join(broken)


def test_the_foundation_imports_nothing_but_the_standard_library() -> None:
    """Third-party packages stay out of what everybody imports; content codings are looked for when one is to be undone."""
    known = {"systrace", *sys.stdlib_module_names}
    found = [
        each for each in all_imports() if stage_of(each.path) in FOUNDATION and each.module.split(".")[0] not in known
    ]
    assert {each.path for each in found} == {"systrace/messages/codings.py"}


def test_imports_are_absolute() -> None:
    """So that a file can be read, and moved, by itself."""
    assert not [each for each in all_imports() if each.relative]


def test_third_party_packages_have_one_door() -> None:
    """Each is known in one place, and costs nothing until it is used there."""
    broken: list[str] = []
    for each in all_imports():
        package = each.module.split(".")[0]
        if package == "systrace" or package in sys.stdlib_module_names:
            continue
        if not each.path.startswith(DOORS.get(package, ("nowhere",))):
            broken.append(f"{each.path}:{each.line} imports {package}, whose door is {DOORS.get(package)}")
        elif each.eager and package not in EAGER:
            broken.append(f"{each.path}:{each.line} imports {package} before it is needed")
    assert not broken, "\n".join(broken)


# --------------------------------------------------------------------------------------------------- one table of calls


def rows_of_words(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Three strings or more in a row, as a literal of any kind, in one string, or as choices of a regular expression."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
            items = node.keys if isinstance(node, ast.Dict) else node.elts
            yield node.lineno, [str(item.value) for item in items if isinstance(item, ast.Constant)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            yield node.lineno, text.split()
            for choices in re.findall(r"[\w\\*?]+(?:\|[\w\\*?]+){2,}", text):  # recv\w*|p?poll|accept4?
                yield node.lineno, re.sub(r"\\w\*|\?", "", choices).split("|")


def test_calls_stand_in_one_table() -> None:
    """Whoever must know which calls read, wait or fork asks systrace.calls; errors by their meaning are there, too."""
    names = {name for table in NAMES.values() for name in table.values()} | {*SOCKETCALLS.values(), "pread", "pwrite"}
    kinds = {value for value in vars(errnos).values() if isinstance(value, frozenset)}
    broken: list[str] = []
    for path in sources():
        where = path.relative_to(ROOT).as_posix()
        if where.startswith(("systrace/calls/", *OWN_ROWS)):
            continue
        for line, row in rows_of_words(path):
            if len(row) >= 3 and names.issuperset(row):
                broken.append(f"{where}:{line} lists calls: {' '.join(row)}")
            if frozenset(row) in kinds:
                broken.append(f"{where}:{line} repeats a kind of errors: {' '.join(row)}")
    assert not broken, "\n".join(broken)


def test_nobody_guesses_what_a_message_is() -> None:
    """`isinstance` says of which kind it is; the type checker cannot follow `hasattr` and `getattr`."""
    guesses = [
        f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}"
        for stage in ("messages", "bodies", "decoders", "streams", "rules", "reporters")
        for path in sources(PACKAGE / stage)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"hasattr", "getattr"}
    ]
    assert not guesses, "\n".join(guesses)


# -------------------------------------------------------------------------------------------------------------- sizes


def file_sizes() -> dict[str, int]:
    """Lines of every Python file of the project that are more than they should be."""
    paths = [*sources(), *sources(TESTS), *sources(ROOT / "scripts")]
    sizes = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in paths}
    return {name: size for name, size in sizes.items() if size > LONG_FILE}


def function_sizes() -> dict[str, int]:
    """The same for functions, by file and name."""
    sizes: dict[str, int] = {}
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > LONG_FUNCTION:
                    sizes[f"{path.relative_to(ROOT).as_posix()} {node.name}"] = size
    return sizes


def test_nothing_is_too_long() -> None:
    """More lines than a reader keeps in mind need a reason in the list above."""
    files = {name: size for name, size in file_sizes().items() if size > LONG_FILE * TOO_LONG}
    functions = {name: size for name, size in function_sizes().items() if size > LONG_FUNCTION * TOO_LONG}
    assert not {name: size for name, size in (files | functions).items() if name not in LONG_ON_PURPOSE}


# ------------------------------------------------------------------------------------------------------------ mirrors


def unmirrored() -> set[str]:
    """Modules that no test is named after and no test imports.

    Plug-ins have the contracts of tests/test_plugins.py; modules of a sub-package are its inner parts, tested through
    the sub-package by files named after it.
    """
    names = {path.stem.removeprefix("test_") for path in sources(TESTS) if path.name.startswith("test_")}
    used = {each.module for path in sources(TESTS) for each in imports(path)}
    for path in sources(TESTS):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module:
                used |= {f"{node.module}.{alias.name}" for alias in node.names}
    missing: set[str] = set()
    for path in sources():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        inner = [parent.name for parent in path.parents if PACKAGE in parent.parents and parent.parent != PACKAGE]
        known = path.stem in names or module in used or any(name.startswith(tuple(inner)) for name in names if inner)
        if not (path.stem.startswith("__") or known or is_plug_in(path)):
            missing.add(module)
    return missing


def is_plug_in(path: Path) -> bool:
    """It enters something into a registry by a decorator."""
    decorators = {"rule", "syscall", "note", "decoder", "reporter", "tracer", "probe", "outlet", "style"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for each in node.decorator_list:
                name = each.func if isinstance(each, ast.Call) else each
                if isinstance(name, ast.Name) and name.id in decorators:
                    return True
    return False


def test_tests_mirror_the_tree() -> None:
    """Every module that is no plug-in has a test of its name, or one that imports it."""
    missing = unmirrored()
    assert not missing - UNMIRRORED, "\n".join(sorted(missing - UNMIRRORED))


# ---------------------------------------------------------------------------------------------------------- committed


def test_nothing_committed_names_a_place_outside() -> None:
    """No home directory, no package index: the project is the same wherever it is checked out."""
    foreign = [b"/" + b"root/.", b"/" + b"home/", b"pypi" + b".org", b"index" + b"-url", b"python" + b"hosted"]
    hits: list[str] = []
    for name in ("pyproject.toml", "requirements.lock", "README.md", "CHANGELOG.md", ".ci/run"):
        text = (ROOT / name).read_bytes()
        hits += [f"{name}: {word.decode()}" for word in foreign if word in text]
    for path in [*sources(), *sorted((ROOT / "scripts").iterdir())]:
        if path.is_file():
            hits += [f"{path.name}: {word.decode()}" for word in foreign[2:] if word in path.read_bytes()]
    assert not hits


def test_the_lock_has_a_hash_for_everything_and_no_address() -> None:
    """Each requirement is pinned and checked; where it comes from is the machine's own business."""
    entries = [entry for entry in (ROOT / "requirements.lock").read_text().split("\n") if not entry.startswith("    #")]
    pinned = [line for line in entries if line and not line.startswith((" ", "#"))]
    joined = "\n".join(entries).replace("\\\n", "")
    assert all("==" in line for line in pinned)
    assert all("--hash=sha256:" in line for line in joined.splitlines() if line)
    assert "://" not in joined
    assert {"typer", "pytest", "hatchling", "mypy", "ruff"} <= {line.split("==")[0] for line in pinned}


def figures() -> str:
    """What is long, what has no test of its own, and what of the lists above is mended by now: questions, no verdicts."""
    sizes = file_sizes() | function_sizes()
    mended = (set(LONG_ON_PURPOSE) - set(sizes)) | (UNMIRRORED - unmirrored())
    long = [f"{size:5} lines  {name}" for name, size in sorted(sizes.items(), key=lambda item: -item[1])]
    return "\n".join([*long, f"no test of their own: {len(unmirrored())}", f"take off the lists: {sorted(mended)}", ""])


if __name__ == "__main__":
    sys.stdout.write(figures())
