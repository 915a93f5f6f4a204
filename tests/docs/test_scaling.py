"""The page on fleets: its files parse, name what there is and fit together; its program runs."""

import configparser
import itertools
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_metrics.autoconfig.environment import VARIABLES
from tests.docs.links import DOCS, broken
from tests.e2e.conftest import Archived, Collector, archived, collector
from tests.e2e.processes import Program

__all__ = ["archived", "collector"]

PAGE = (DOCS / "scaling.md").read_text()
CONFIGURATIONS = DOCS.parent / "collector-config"
REQUIRED = {
    "StatefulSet": {"selector", "template", "serviceName"},
    "Deployment": {"selector", "template"},
    "DaemonSet": {"selector", "template"},
    "Service": {"selector", "ports"},
    "PodMonitor": {"selector", "podMetricsEndpoints"},
}
"""What Kubernetes requires in a `spec`, or does not work without."""


def blocks(language: str) -> list[str]:
    """Return the page's blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def documents() -> Iterator[dict[str, Any]]:
    """Yield each document of the page's YAML."""
    for block in blocks("yaml"):
        yield from yaml.safe_load_all(block)


MANIFESTS = [document for document in documents() if "kind" in document]
WORKLOADS = [each for each in MANIFESTS if "template" in each["spec"]]
OVERLAYS = [document for document in documents() if "kind" not in document]
BY_NAME = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in MANIFESTS}


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    """Return the specification of a workload's pods."""
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def variables(container: dict[str, Any]) -> dict[str, str]:
    """Return a container's variables that have a value."""
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def seconds(duration: str) -> int:
    """Return a duration as the variables write it."""
    assert duration.endswith("s")
    return int(duration[:-1])


def test_every_link_leads_somewhere() -> None:
    """To a heading of the page, or to a file beside it."""
    assert broken(PAGE) == []


def test_every_variable_exists() -> None:
    """Those of the bundle are in its list, those of the collector in its configurations."""
    named = set(re.findall(r"\bOTEL_[A-Z][A-Z_]+\b", PAGE))
    configurations = "".join(file.read_text() for file in CONFIGURATIONS.glob("*.yaml"))
    of_collector = set(re.findall(r"\bOTELCOL_[A-Z][A-Z_]+\b", PAGE))

    assert named - {each.name for each in VARIABLES} == set()
    assert of_collector - set(re.findall(r"env:(OTELCOL_\w+)", configurations)) == set()
    assert len(named) > 10
    assert len(of_collector) > 5


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: each["kind"])
def test_every_manifest_has_what_its_kind_needs(manifest: dict[str, Any]) -> None:
    """Version, name, and the keys without which the API refuses it or nothing happens."""
    assert {"apiVersion", "kind", "metadata", "spec"} == manifest.keys()
    assert manifest["metadata"]["name"]
    assert REQUIRED[manifest["kind"]] <= manifest["spec"].keys()


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda each: each["kind"])
def test_every_workload_fits_together(workload: dict[str, Any]) -> None:
    """Its selector finds its pods, every mount has a volume and every volume a mount, images are
    pinned, and nothing runs as root but what hands a folder over."""
    spec = pod(workload)
    volumes = {each["name"] for each in spec["volumes"]}
    volumes |= {
        each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", [])
    }
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    mounted = {mount["name"] for each in containers for mount in each["volumeMounts"]}
    (main,) = spec["containers"]
    secured = {**spec.get("securityContext", {}), **main["securityContext"]}

    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert workload["spec"]["selector"]["matchLabels"] == labels
    assert mounted == volumes
    assert all(re.search(r":\d+\.\d", each["image"]) for each in containers)
    assert (secured["runAsNonRoot"], secured["readOnlyRootFilesystem"]) == (True, True)


def test_every_service_finds_its_pods() -> None:
    """By a label that they have, at ports that they name, and not at that of their own metrics."""
    for (kind, name), spec in BY_NAME.items():
        if kind == "Service":
            (workload,) = (each for each in WORKLOADS if each["metadata"]["name"] == name)
            (container,) = pod(workload)["containers"]
            ports = {each["name"]: each["containerPort"] for each in container["ports"]}

            assert spec["selector"] == workload["spec"]["selector"]["matchLabels"]
            del ports["telemetry"]
            assert {each["name"]: each["port"] for each in spec["ports"]} == ports


@pytest.mark.parametrize(
    ("workload", "file"),
    [
        (BY_NAME["DaemonSet", "otel-agent"], "agent"),
        (BY_NAME["Deployment", "otel-gateway"], "gateway"),
    ],
    ids=["agent", "gateway"],
)
def test_a_collector_finds_its_files(workload: dict[str, Any], file: str) -> None:
    """Each file and folder that its configuration reads is named, in a volume that is mounted."""
    (container,) = workload["template"]["spec"]["containers"]
    mounts = tuple(f"{each['mountPath']}/" for each in container["volumeMounts"])
    read = set(
        re.findall(r"OTELCOL_\w+_(?:FILE|FOLDER)", (CONFIGURATIONS / f"{file}.yaml").read_text())
    )
    named = {
        name: value
        for name, value in variables(container).items()
        if name.endswith(("_FILE", "_FOLDER"))
    }

    assert named.keys() == read - {"OTELCOL_SCRAPE_TOKEN_FILE"}
    assert all(f"{value}/".startswith(mounts) for value in named.values())
    assert container["args"] == [f"--config=file:/conf/{file}.yaml"]


@pytest.mark.parametrize("kind", ["DaemonSet", "Deployment"])
def test_a_collector_is_scraped_and_has_a_limit(kind: str) -> None:
    """Its own metrics are at the port that the monitor names, on every address of the pod, and Go
    knows of 80 % of the memory that the pod has at most."""
    (name,) = (name for of, name in BY_NAME if of == kind)
    monitor = BY_NAME["PodMonitor", "otelcol"]
    (container,) = BY_NAME[kind, name]["template"]["spec"]["containers"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    (expression,) = monitor["selector"]["matchExpressions"]
    limit = mebibytes(container["resources"]["limits"]["memory"])

    assert name in expression["values"]
    assert {each["name"]: each["containerPort"] for each in container["ports"]}[
        endpoint["port"]
    ] == 8888
    assert variables(container)["OTELCOL_TELEMETRY_HOST"] == "0.0.0.0"
    assert mebibytes(variables(container)["GOMEMLIMIT"]) <= limit * 0.8


def mebibytes(size: str) -> int:
    """Return a size as Kubernetes or Go writes it."""
    number, unit = re.fullmatch(r"(\d+)([MG])iB?", size).groups()  # type: ignore[union-attr]  # fails then
    return int(number) * {"M": 1, "G": 1024}[unit]


def test_a_pod_has_time_to_end() -> None:
    """Its grace period is longer than preStop, gunicorn's time and the exit together."""
    spec = BY_NAME["StatefulSet", "desk"]["template"]["spec"]
    (container,) = spec["containers"]
    (graceful,) = re.findall(r"--graceful-timeout=(\d+)", " ".join(container["command"]))
    before = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    exit_s = seconds(variables(container)["OTEL_PYTHON_METRICS_EXIT_TIMEOUT"])

    assert exit_s < int(graceful)
    assert before + int(graceful) + exit_s < spec["terminationGracePeriodSeconds"]


def test_the_page_of_a_pod_is_scraped() -> None:
    """At the port's name, with the token that the pod has."""
    monitor = BY_NAME["PodMonitor", "desk"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    service = BY_NAME["StatefulSet", "desk"]
    spec = service["template"]["spec"]
    (container,) = spec["containers"]
    secrets = [each["secret"]["secretName"] for each in spec["volumes"] if "secret" in each]

    assert monitor["selector"] == service["selector"]
    assert endpoint["port"] in [each["name"] for each in container["ports"]]
    assert [endpoint["authorization"]["credentials"]["name"]] == secrets
    assert (
        variables(container)["OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE"]
        in (spec["initContainers"][0]["command"])
    )


@pytest.mark.component("otelcol")
def test_what_is_laid_over_a_gateway_is_valid(
    component: Callable[[str], str], tmp_path: Path
) -> None:
    """By the collector itself, where it has the exporter; a typo would be refused."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    (overlay,) = (each for each in OVERLAYS if "prometheus_remote_write" in each["exporters"])
    typo = json.loads(json.dumps(overlay).replace('"headers"', '"header"'))

    def status(changes: dict[str, Any]) -> int:
        file = tmp_path / "overlay.yaml"
        file.write_text(yaml.safe_dump(changes))
        files = [
            CONFIGURATIONS / "gateway.yaml",
            CONFIGURATIONS / "gateway-remote-write.yaml",
            file,
        ]
        command = [component("otelcol"), "validate", *(f"--config=file:{each}" for each in files)]
        env = {**os.environ, "OTELCOL_TOKEN_FILE": str(token)}
        return subprocess.run(command, env=env, capture_output=True, check=False).returncode

    assert (status(overlay), status(typo)) == (0, 1)


UNIT_KEYS = {
    "Unit": {"Description", "After", "Wants"},
    "Service": {
        "Environment",
        "EnvironmentFile",
        "ExecStart",
        "KillMode",
        "MemoryMax",
        "NoNewPrivileges",
        "PrivateTmp",
        "ProtectHome",
        "ProtectSystem",
        "Restart",
        "RestartSec",
        "StateDirectory",
        "StateDirectoryMode",
        "TimeoutStopSec",
        "User",
    },
    "Install": {"WantedBy"},
}
"""The keys of systemd.unit(5), systemd.service(5) and systemd.exec(5) that the page uses."""


@pytest.mark.parametrize("unit", blocks("ini"))
def test_every_unit_parses(unit: str) -> None:
    """With sections and keys that systemd knows, and time to end after what its programs take."""
    parsed = configparser.RawConfigParser(strict=False)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation says
    parsed.read_string(unit)
    taken = [int(each) for each in re.findall(r"(?:EXIT_TIMEOUT|graceful-timeout)=(\d+)", unit)]

    assert parsed.sections() == list(UNIT_KEYS)
    assert all(set(parsed[name]) <= keys for name, keys in UNIT_KEYS.items())
    assert sum(taken) < parsed.getint("Service", "TimeoutStopSec")


CALLS = """
import sys
for line in sys.stdin:
    print(handler({"expected": "urgent"}, None), flush=True)
"""


@pytest.mark.slow
def test_the_function_of_the_page_delivers_what_each_call_recorded(
    collector: Collector, tmp_path: Path
) -> None:
    """Also when its process was frozen between two calls, and never ends."""
    (function,) = blocks("python")
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    program = Program(tmp_path, f"{function}print('ready', flush=True){CALLS}", env=env, talks=True)
    program.await_ready()
    stdin, stdout = program.process.stdin, program.process.stdout
    assert stdin is not None
    assert stdout is not None
    delivered = []
    for _ in range(3):
        stdin.write("\n")
        stdin.flush()
        assert stdout.readline() == "urgent\n"
        program.send(signal.SIGSTOP)
        delivered.append(collector.total("skill.outcomes"))
        program.send(signal.SIGCONT)
    program.kill()

    assert delivered == [1, 2, 3]
    assert collector.event_names().count("skill.outcome") == 3


RECORD = """
import otel_metrics
from otel_metrics import skills
telemetry = otel_metrics.configure()
with skills.execution("triage"):
    pass
"""


@pytest.mark.slow
def test_an_archive_outlives_the_modes_that_a_kubelet_gives_it(
    archived: Archived, tmp_path: Path
) -> None:
    """With the page's `DIR_MODE` the next pod goes on in a volume that its `fsGroup` may write in;
    without it, the control, the archive is refused with the reason."""
    (container,) = pod(WORKLOADS[0])["containers"]
    mode = variables(container)["OTEL_EXPORTER_NDJSON_DIR_MODE"]
    env = {**os.environ, "OTEL_METRICS_EXPORTER": "ndjson"}

    def start(**more: str) -> str:
        command = [sys.executable, "-c", RECORD]
        done = subprocess.run(
            command, cwd=tmp_path, env={**env, **more}, check=True, capture_output=True, text=True
        )
        return done.stderr

    logs = [start(OTEL_EXPORTER_NDJSON_DIR_MODE=mode)]
    _as_a_kubelet(archived.root)
    logs.append(start(OTEL_EXPORTER_NDJSON_DIR_MODE=mode))
    _as_a_kubelet(archived.root)
    refused = start()

    assert logs == ["", ""]
    assert archived.total("skill.executions") == 2
    assert "others may write in it" in refused


def _as_a_kubelet(volume: Path) -> None:
    """Let the group read and write everything, and own what is made from now on."""
    for path in itertools.chain([volume], volume.rglob("*")):
        extra = 0o070 | stat.S_ISGID if path.is_dir() else 0o060
        path.chmod(stat.S_IMODE(path.stat().st_mode) | extra)
