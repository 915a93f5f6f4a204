"""The steps `compose` and `kubernetes`, up to the argv: a program that prints it back stands for
the tools."""

from collections.abc import Callable
from pathlib import Path

import pytest

from otel_metrics.remediation.configuration import ConfigurationProblems
from otel_metrics.remediation.model import Step, Value
from tests.otel_metrics.remediation.payloads import PAYLOADS


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """A program that prints its arguments, one a line."""
    path = tmp_path / "tool"
    path.write_text("#!/bin/sh\nexec printf '%s\\n' \"$@\"\n")
    path.chmod(0o700)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A compose file, or a kubeconfig."""
    path = tmp_path / "target.yaml"
    path.write_text("services: {}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def compose(step: Callable[..., Step], tool: Path, target: Path) -> Callable[[str], Step]:
    """Return what reads a `compose` step with these replicas."""
    return lambda replicas: step(
        f"compose: {{program: {tool}, file: {target}, project: shop, service: worker, "
        f"replicas: {replicas}}}",
        f"programs: [{tool}]",
    )


def test_a_compose_service_is_scaled(
    compose: Callable[[str], Step], tool: Path, target: Path
) -> None:
    """What is planned is what is run."""
    step = compose('"${workers}"')
    expected = [
        *("compose", "--file", str(target), "--project-name", "shop", "up", "--detach"),
        *("--no-recreate", "--scale", "worker=3", "--", "worker"),
    ]

    found = step.run({"workers": 3}, run_id="r1", stopped=lambda: False)
    assert step.plan({"workers": 3}) == (str(tool), *expected)
    assert (found.verdict, found.output.splitlines()) == ("succeeded", expected)


def test_a_kubernetes_workload_is_scaled(
    step: Callable[..., Step], tool: Path, target: Path
) -> None:
    """With the context and the credentials that the operator named, none of the environment's."""
    found = step(
        f"kubernetes: {{program: {tool}, kubeconfig: {target}, context: arn:aws:eks/shop, "
        "namespace: shop, resource: deployment/worker, replicas: 4}",
        f"programs: [{tool}]",
    )
    expected = [
        *("--kubeconfig", str(target), "--context", "arn:aws:eks/shop", "--namespace", "shop"),
        *("scale", "--replicas=4", "--", "deployment/worker"),
    ]

    result = found.run({}, run_id="r1", stopped=lambda: False)
    assert found.plan({}) == (str(tool), *expected)
    assert (result.verdict, result.output.splitlines()) == ("succeeded", expected)


def test_no_payload_is_a_number_of_replicas(compose: Callable[[str], Step]) -> None:
    """The only value that goes into the command is digits."""
    step = compose('"${workers}"')

    payloads: tuple[Value, ...] = (*PAYLOADS, "--help", -1, 1_001, 3.5, True, "3", "\u0663")
    for payload in payloads:
        with pytest.raises(ValueError, match="workers"):
            step.plan({"workers": payload})
        assert step.run({"workers": payload}, run_id="r", stopped=lambda: False).verdict == "failed"


def test_a_file_that_changed_hands_is_not_used(
    compose: Callable[[str], Step], tool: Path, target: Path
) -> None:
    """Whoever writes a compose file runs what he likes."""
    step = compose("2")
    target.chmod(0o666)

    found = step.run({}, run_id="r1", stopped=lambda: False)
    assert (found.verdict, found.detail) == (
        "failed",
        f"{tool}: not started: others may write {target} (mode 0666); chmod go-w {target}",
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("compose: {project: shop, service: w, replicas: 1}", "program: '/usr/bin/docker' is not"),
        ("compose: {service: w, replicas: 1}", "project: is missing; write its name"),
        ("compose: {project: --help, service: w, replicas: 1}", "project: '--help' is no such"),
        ("compose: {project: shop, service: '${target}', replicas: 1}", "service: '${target}' is"),
        ("compose: {project: shop, service: w}", "replicas: is missing; write a whole number"),
        ("compose: {project: shop, service: w, replicas: '${target}'}", "replicas: is no number"),
        ("compose: {project: shop, service: w, replicas: '${x}'}", "replicas: there is no param"),
        ("compose: {project: shop, service: w, replicas: 1001}", "replicas: '1001' is none"),
        ("compose: {file: /nowhere, project: a, service: w}", "file: /nowhere cannot be read"),
        ("kubernetes: {context: -x, namespace: a}", "context: '-x' is no such name"),
        ("kubernetes: {context: a, namespace: A}", "namespace: 'A' is no such name"),
        ("kubernetes: {resource: pod/x, replicas: 1}", "resource: 'pod/x' is no such name"),
        ("kubernetes: {resource: deployment/x y}", "resource: 'deployment/x y' is no such name"),
    ],
)
def test_what_cannot_be_scaled_is_refused(
    step: Callable[..., Step], written: str, expected: str
) -> None:
    """Names are fixed and plain; a number is one."""
    with pytest.raises(ConfigurationProblems) as refused:
        step(written)

    assert f".{expected}" in str(refused.value)
