"""samples/recipes: each by a tool of its own world, and run where that can be done."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from systrace.tracers.waiting import tracer_of
from tests.fleet.logs import fleet
from tests.telemetry.test_emf import check
from tests.telemetry.test_metrics import samples

RECIPES = Path(__file__).resolve().parents[1] / "samples" / "recipes"
ENTRYPOINT = RECIPES / "docker" / "entrypoint.sh"
BIN = Path(sys.executable).parent
SCRIPT = "#!/bin/sh\necho out; echo err >&2; exit ${1:-7}\n"
real = pytest.mark.real
untraced = pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children")


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Skip where it is not installed."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program}: apt-get install {package}")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with systrace and a job that fails."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "systrace").write_text(f'#!/bin/sh\nexec {BIN}/python -m systrace "$@"\n')
    (folder / "nightly_export.sh").write_text(SCRIPT)
    for each in folder.iterdir():
        each.chmod(0o755)
    return folder


def lint(template: dict[str, Any], tmp_path: Path) -> None:
    """By cfn-lint, with the service's own schemas of resources."""
    path = tmp_path / "template.json"
    path.write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"It": template}}))
    argv = [str(BIN / "cfn-lint"), "--", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_every_recipe_is_in_the_table() -> None:
    """And is tested here."""
    listed = re.findall(r"^\| \[`([^`]+)`\]\(([^)]+)\)", (RECIPES / "README.md").read_text(), re.MULTILINE)
    there = {path.relative_to(RECIPES).as_posix() for path in RECIPES.rglob("*") if path.is_file()} - {"README.md"}
    assert {name for name, _link in listed} == {link for _name, link in listed} == there


def test_options_are_those_of_systrace() -> None:
    """Each word that begins with -- behind a `systrace COMMAND`."""
    for path in RECIPES.rglob("*"):
        for command, words in re.findall(
            r"systrace (run|attach|alarms|parse|query) ([^\n]*)", path.read_text() if path.is_file() else ""
        ):
            argv = [sys.executable, "-m", "systrace", command, "--help"]
            known = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", words.partition(" -- ")[0]):
                assert re.search(rf"(?<!\S){option}\b", known), f"{path.name}: {command} has no {option}"


# --------------------------------------------------------------------------------------------------------------- cron


def crontab() -> tuple[dict[str, str], str]:
    """The variables, and the one command."""
    lines = [line for line in (RECIPES / "cron" / "crontab").read_text().splitlines() if line and line[0] != "#"]
    variables = dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))
    (entry,) = [line for line in lines if not re.match(r"\w+=", line)]
    *times, command = entry.split(None, 5)
    assert len(times) == 5
    assert all(re.fullmatch(r"[\d*/,-]+", each) for each in times)
    return variables, command


def test_the_crontab_is_one() -> None:
    """Five fields and a command without a percent sign, which crontab(5) takes for a newline."""
    variables, command = crontab()
    assert variables["SHELL"] == "/bin/sh"
    assert "%" not in command


@pytest.mark.skipif(shutil.which("crontab") is None, reason="no crontab: apt-get install cron")
def test_crontab_accepts_it() -> None:
    """Where crontab can check a file without installing it (-n in Debian, -T in cronie)."""
    for option in ("-n", "-T"):
        argv = ["crontab", option, RECIPES / "cron" / "crontab"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if "invalid option" not in done.stderr and "unrecognized" not in done.stderr:
            assert done.returncode == 0, done.stderr
            return
    pytest.skip("this crontab has no way to check a file")


@real
@untraced
def test_the_command_runs_as_cron_runs_it(programs: Path, tmp_path: Path) -> None:
    """By /bin/sh, with the environment of crontab(5) and nothing else, and what it prints would be mailed."""
    variables, command = crontab()
    for place in ("/var/spool/systrace", "/var/lib/node_exporter"):
        (tmp_path / Path(place).name).mkdir()
        command = command.replace(place, str(tmp_path / Path(place).name))
    command = command.replace("/usr/local/bin/nightly_export.sh", f"{programs}/nightly_export.sh")
    environment = {"LOGNAME": "root", "HOME": str(tmp_path), **variables, "PATH": f"{programs}:/usr/bin:/bin"}
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout) == (7, "out\n"), done.stderr
    assert "FAILED: " in done.stderr
    found = samples((tmp_path / "node_exporter" / "nightly_export.prom").read_text())
    assert found["failed"][0]["job"] == "nightly_export"
    assert len(list((tmp_path / "systrace").iterdir())) == 1


# ------------------------------------------------------------------------------------------------------------ systemd


@needs("systemd-analyze", "systemd")
def test_systemd_accepts_the_drop_in(programs: Path, tmp_path: Path) -> None:
    """Beside a service that it changes; programs are looked for, so they are here."""
    units, drop_ins = tmp_path / "units", tmp_path / "units" / "nightly_export.service.d"
    drop_ins.mkdir(parents=True)
    service = f"[Unit]\nDescription=Nightly export\n[Service]\nType=oneshot\nExecStart={programs}/nightly_export.sh\n"
    (units / "nightly_export.service").write_text(service)
    text = (RECIPES / "systemd" / "systrace.conf").read_text().replace("/usr/local/bin", str(programs))
    (drop_ins / "systrace.conf").write_text(text)

    def verified() -> tuple[int, list[str]]:
        environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:", "SYSTEMD_LOG_LEVEL": "warning"}
        argv = ["systemd-analyze", "verify", "--man=no", "nightly_export.service"]
        done = subprocess.run(argv, env=environment, cwd=units, capture_output=True, text=True, check=False)
        return done.returncode, [
            line for line in done.stderr.splitlines() if str(tmp_path) in line or "nightly" in line
        ]

    assert verified() == (0, [])
    (drop_ins / "systrace.conf").write_text(text.replace("KillMode=mixed", "KillMode=maybe"))  # it is read at all
    assert "maybe" in "".join(verified()[1])


# -------------------------------------------------------------------------------------------------------------- fleet


@needs("systemd-analyze", "systemd")
def test_systemd_accepts_the_units_that_ship(tmp_path: Path) -> None:
    """With a program that is there: rsync may not be."""
    for name in ("systrace-ship.service", "systrace-ship.timer"):
        text = (RECIPES / "fleet" / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/bin/rsync", "/bin/true").replace("%H/", "h/"))
    argv = ["systemd-analyze", "verify", "--man=no", "systrace-ship.service", "systrace-ship.timer"]
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "SYSTEMD_LOG_TARGET": "console"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, "systrace-ship" in done.stderr) == (0, False), done.stderr


@needs("crontab", "cron")
def test_the_collectors_crontab_is_one() -> None:
    argv = ["crontab", "-n", str(RECIPES / "fleet" / "crontab")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_the_collector_runs_reads_what_is_new(programs: Path, tmp_path: Path) -> None:
    """Under /bin/sh; the mail is what it prints."""
    pytest.importorskip("duckdb")
    fleet(tmp_path / "traces")
    lines = (RECIPES / "fleet" / "crontab").read_text().splitlines()
    hourly, weekly = (line.split(" ", 5)[5].replace("/srv", str(tmp_path)) for line in lines if line[:1].isdecimal())
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    for count in (12, 0):
        done = subprocess.run(["sh", "-c", hourly], capture_output=True, text=True, check=False, env=environment)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert f"{count} read now" in (tmp_path / "page.txt").read_text()
    done = subprocess.run(["sh", "-c", weekly], capture_output=True, text=True, check=True, env=environment)
    assert "192.0.2.1:443" in done.stdout
    assert "connect-refused" in done.stdout


# ------------------------------------------------------------------------------------------------------------- docker


@needs("shellcheck", "shellcheck")
def test_shellcheck_accepts_the_entrypoint() -> None:
    """And sh."""
    subprocess.run(["sh", "-n", ENTRYPOINT], check=True)
    subprocess.run(["shellcheck", ENTRYPOINT], check=True)
    assert os.access(ENTRYPOINT, os.X_OK)


@real
@untraced
@pytest.mark.parametrize("status", [0, 7])
def test_the_entrypoint_runs_the_job(programs: Path, status: int) -> None:
    """Its output and its status, and one event on standard error; without systrace the job alone."""
    command = [str(ENTRYPOINT), str(programs / "nightly_export.sh"), str(status)]
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "JOB": "nightly export"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (status, b"out\n"), done.stderr
    (line,) = [each for each in done.stderr.splitlines(keepends=True) if each.startswith(b"{")]
    assert (check(line)["Job"], check(line)["ExitStatus"]) == ("nightly export", status)
    (programs / "systrace").unlink()
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (status, b"out\n")
    assert done.stderr.splitlines()[1:] == [b"err"]


def test_the_entrypoint_wants_a_command() -> None:
    """In a line."""
    done = subprocess.run([ENTRYPOINT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (127, "", 1)


# ---------------------------------------------------------------------------------------------------------------- AWS


def task_definition() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECIPES / "ecs" / "task-definition.json").read_text())
    return found


def capitalized(value: Any, keep: bool = False) -> Any:
    """The API's names as CloudFormation has them; keys of maps (options of a log driver) are the user's own."""
    if isinstance(value, dict):
        return {
            key if keep else key[0].upper() + key[1:]: capitalized(each, keep=key == "options")
            for key, each in value.items()
        }
    return [capitalized(each) for each in value] if isinstance(value, list) else value


def test_cfn_lint_accepts_the_task_definition(tmp_path: Path) -> None:
    """As a resource of the same content: names, values, and which Fargate takes."""
    properties = capitalized(task_definition())
    lint({"Type": "AWS::ECS::TaskDefinition", "Properties": properties}, tmp_path)
    broken = properties | {"Cpu": "3"}
    with pytest.raises(AssertionError, match="'3'"):
        lint({"Type": "AWS::ECS::TaskDefinition", "Properties": broken}, tmp_path)


def test_botocore_accepts_the_task_definition() -> None:
    """As the call's own parameters."""
    loaders = pytest.importorskip("botocore.loaders", reason="no botocore: pip install botocore")
    model = pytest.importorskip("botocore.model")
    validate = pytest.importorskip("botocore.validate")
    service = model.ServiceModel(loaders.Loader().load_service_model("ecs", "service-2"))
    shape = service.operation_model("RegisterTaskDefinition").input_shape
    report = validate.ParamValidator().validate(task_definition(), shape)
    assert not report.has_errors(), report.generate_report()


@real
@untraced
def test_the_task_runs(programs: Path) -> None:
    """Entry point and command as a container has them: not by a shell."""
    (container,) = task_definition()["containerDefinitions"]
    assert container["linuxParameters"]["capabilities"]["add"] == ["SYS_PTRACE"]
    argv = [*container["entryPoint"], *container["command"]]
    environment = {"PATH": f"{programs}:/usr/bin:/bin"}
    done = subprocess.run(argv, env=environment, cwd=programs, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (7, b"out\n"), done.stderr
    (line,) = [each for each in done.stderr.splitlines(keepends=True) if each.startswith(b"{")]
    assert check(line)["Job"] == "nightly_export"


def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((RECIPES / "ssm" / "document.yaml").read_text())
    return found


def command_of(document: dict[str, Any], **given: str) -> str:
    """What the agent gives to sh, with parameters in place, each allowed by its pattern or its list."""
    parameters = {name: given.get(name, each.get("default")) for name, each in document["parameters"].items()}
    for name, value in parameters.items():
        known = document["parameters"][name]
        assert value in known.get("allowedValues", [value])
        assert re.fullmatch(known.get("allowedPattern", ".*"), value)
    (step,) = document["mainSteps"]
    text = "\n".join(step["inputs"]["runCommand"])
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: parameters[found[1]], text)


def test_cfn_lint_accepts_the_document(tmp_path: Path) -> None:
    """Its content has a schema of its own there."""
    properties = {"DocumentType": "Command", "Content": document()}
    lint({"Type": "AWS::SSM::Document", "Properties": properties}, tmp_path)
    broken = document() | {"schemaVersion": "9"}
    with pytest.raises(AssertionError, match="E3051 '9' is not one of"):
        lint({"Type": "AWS::SSM::Document", "Properties": properties | {"Content": broken}}, tmp_path)


def test_the_document_has_the_fields_that_are_documented() -> None:
    """The schema of cfn-lint goes no deeper. Systems Manager's guide: data elements of schema 2.2, aws:runShellScript."""
    found = document()
    assert set(found) == {"schemaVersion", "description", "parameters", "mainSteps"}
    for name, each in found["parameters"].items():
        assert re.fullmatch(r"\w+", name)
        assert set(each) <= {"type", "description", "default", "allowedValues", "allowedPattern"}
        assert all(isinstance(value, str) for value in (each["type"], each.get("default", "")))
    (step,) = found["mainSteps"]
    assert set(step) == {"action", "name", "precondition", "inputs"}
    assert step["precondition"] == {"StringEquals": ["platformType", "Linux"]}
    assert set(step["inputs"]) == {"timeoutSeconds", "runCommand"}
    used = set(re.findall(r"\{\{ (\w+) \}\}", step["inputs"]["runCommand"][0]))
    assert used == set(found["parameters"])


@needs("shellcheck", "shellcheck")
def test_shellcheck_accepts_the_command_of_the_document() -> None:
    """For either choice; the agent runs it by sh."""
    for trace in ("yes", "no"):
        text = command_of(document(), Name="job.sh", Trace=trace)
        argv = ["shellcheck", "--shell=sh", "--exclude=SC2050", "-"]  # a constant in `[`: it is a parameter's value
        subprocess.run(argv, input=text, text=True, check=True)


@pytest.mark.parametrize("name", ["x'; reboot; '", "", "a b", "$(x)", "a\nb"])
def test_the_document_takes_no_command_for_a_name(name: str) -> None:
    """Parameters are put into the text as they are."""
    with pytest.raises(AssertionError):
        command_of(document(), Name=name)


@real
@untraced
@pytest.mark.parametrize("trace", ["yes", "no"])
def test_the_document_runs(programs: Path, trace: str) -> None:
    """On a job that waits: its verdict is printed, and the command has succeeded."""
    name = f"hangs{os.getpid()}.sh"
    (programs / name).write_text("#!/bin/sh\nread word\n")
    (programs / name).chmod(0o755)
    reader, writer = os.pipe()
    with subprocess.Popen([programs / name], stdin=reader) as hanging:
        try:
            command = command_of(document(), Name=name, Trace=trace, Seconds="1")
            environment = {"PATH": f"{programs}:/usr/bin:/bin"}
            done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
        finally:
            os.close(reader)
            os.close(writer)
        hanging.wait(timeout=30)
    assert done.returncode == 0, done.stderr
    assert name in done.stdout
    gone = command_of(document(), Name=name)
    assert subprocess.run(["sh", "-c", gone], env=environment, capture_output=True, check=False).returncode == 2


# --------------------------------------------------------------------------------------------------------- Kubernetes

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "nightly", "namespace": "default"},
    "spec": {"containers": [{"name": "job", "image": "example/job:1"}]},
}


def container() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((RECIPES / "kubernetes" / "container.yaml").read_text())
    return found


def test_the_schema_of_pods_accepts_the_container() -> None:
    """With no field that Kubernetes does not know, as an ephemeral container of a pod."""
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="no kubernetes-validate: pip install kubernetes-validate"
    )
    debugger = {"name": "debugger", "image": "example/systrace:1", "targetContainerName": "job", **container()}
    pod = POD | {"spec": {**POD["spec"], "ephemeralContainers": [debugger]}}
    kubernetes.validate(pod, kubernetes.latest_version(), strict=True)
    pod["spec"]["ephemeralContainers"][0] |= {"securityContexts": {}}
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(pod, kubernetes.latest_version(), strict=True)


def _has_custom() -> bool:
    if shutil.which("kubectl") is None:
        return False
    return (
        "--custom" in subprocess.run(["kubectl", "debug", "--help"], capture_output=True, text=True, check=False).stdout
    )


@contextmanager
def cluster() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """As much of an API server as `kubectl debug` asks for: its URL, and the patches that it got."""
    patches: list[dict[str, Any]] = []
    verbs = ["get", "patch"]
    pods = {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "verbs": verbs,
        "shortNames": ["po"],
    }
    answers: dict[str, dict[str, Any]] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [pods]},
        "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
        "/api/v1/namespaces/default/pods/nightly": POD,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            self._say(200 if answer else 404, answer or {"kind": "Status", "apiVersion": "v1", "code": 404})

        def do_PATCH(self) -> None:
            assert self.path.partition("?")[0].endswith("/pods/nightly/ephemeralcontainers")
            patches.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._say(200, POD)

        def _say(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", patches
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.skipif(not _has_custom(), reason="no kubectl with `debug --custom` (1.31)")
def test_kubectl_makes_an_ephemeral_container_of_it(tmp_path: Path) -> None:
    """The command of the recipe, without --attach, against a stub of the API."""
    text = (RECIPES / "kubernetes" / "container.yaml").read_text()
    shown = re.search(r"kubectl (debug POD (?:.|\n)*?--for 60s)", text)
    assert shown is not None
    words = re.sub(r"\\?\n#", " ", shown[1]).split()
    put = {
        "POD": "nightly",
        "--image=IMAGE-WITH-SYSTRACE": "--image=example/systrace:1",
        "--target=CONTAINER": "--target=job",
    }
    path = RECIPES / "kubernetes" / "container.yaml"
    words = [put.get(word, word.replace("container.yaml", str(path))) for word in words if word != "--attach"]
    with cluster() as (url, patches):
        argv = ["kubectl", "--server", url, "--cache-dir", str(tmp_path / "cache"), *words]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": os.devnull}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    (made,) = patches[0]["spec"]["ephemeralContainers"]
    assert (made["image"], made["targetContainerName"]) == ("example/systrace:1", "job")
    assert "SYS_PTRACE" in made["securityContext"]["capabilities"]["add"]
    assert (made.get("command") or made["args"]) == words[words.index("--") + 1 :]
