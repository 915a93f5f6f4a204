"""From the operator's file to a program, and back to the audit."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_metrics.remediation.configuration import ConfigurationProblems, read
from otel_metrics.remediation.model import Outcome
from tests.otel_metrics.remediation.desks import PLAYBOOKS, Desk, request

WAIT_S = 60.0


@pytest.fixture
def bound(
    desk: Desk, file: Callable[[str], Path], tmp_path: Path
) -> Callable[[str], Callable[..., Outcome]]:
    """Return what binds shift-load to the text of a shell script, and then what asks for a run."""

    def bind(script: str) -> Callable[..., Outcome]:
        program = tmp_path / "shift"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        step = f'program: {{path: {program}, arguments: ["${{share}}"], timeout: {WAIT_S:.0f}s}}'
        path = file(
            "enabled: true\n"
            f"stop_file: {desk.stop_file}\n"
            f"programs: [{program}]\n"
            "policy: [{tier: 2, decision: run}]\n"
            f"playbooks: {{shift-load: {{enabled: true, steps: [{{{step}}}]}}}}\n"
        )
        desk.file = lambda: read(path, playbooks=PLAYBOOKS)
        return desk.engine.handle

    return bind


def test_a_program_of_the_file_runs_and_its_output_is_in_the_audit(
    desk: Desk, bound: Callable[[str], Callable[..., Outcome]]
) -> None:
    """Exit code, output and hash stand beside its argv and the hash of the file."""
    outcome = bound('echo "share $1"; exit 4')(request(parameters={"share": 7}))
    said = desk.audit.lines()[-1]["attributes"]

    assert outcome.result == "failed"
    assert (said["remediation.exit_code"], said["remediation.output"]) == (4, "share 7\n")
    assert said["remediation.plan"].endswith('shift","7"]]')
    assert len(said["remediation.configuration.sha256"]) == 64
    assert desk.faults() == []


def test_a_program_is_told_what_it_is_done_to(
    desk: Desk, tmp_path: Path, file: Callable[[str], Path]
) -> None:
    """`${resource}` is the target of the request, among those that the file lists."""
    program = tmp_path / "shift"
    program.write_text('#!/bin/sh\necho "$1" > "$0.told"\n')
    program.chmod(0o700)
    text = (
        f"enabled: true\nstop_file: {desk.stop_file}\nprograms: [{program}]\n"
        "policy: [{tier: 2, decision: run}]\n"
        "playbooks: {shift-load: {enabled: true, TARGETS"
        f'steps: [{{program: {{path: {program}, arguments: ["${{resource}}"]}}}}]}}}}\n'
    )
    listed = file(text.replace("TARGETS", "targets: [web-1, web-2], "))
    desk.file = lambda: read(listed, playbooks=PLAYBOOKS)
    outcome = desk.engine.handle(request())
    open_ = file(text.replace("TARGETS", ""))
    with pytest.raises(ConfigurationProblems) as refused:
        read(open_, playbooks=PLAYBOOKS)

    assert (outcome.result, Path(f"{program}.told").read_text()) == ("succeeded", "web-1\n")
    assert "${resource} may be any resource that is known; list `targets`" in str(refused.value)


def test_the_kill_switch_ends_a_program_that_runs(
    desk: Desk, bound: Callable[[str], Callable[..., Outcome]]
) -> None:
    """M8: it is ended within two seconds of the file's appearance, and that is its result."""
    handle = bound(f"touch {desk.folder}/running; sleep 600")
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(handle(request())))
    thread.start()
    deadline = time.monotonic() + WAIT_S
    while not (desk.folder / "running").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    desk.stop_file.touch()
    began_s = time.monotonic()
    thread.join(WAIT_S)

    assert [each.result for each in outcomes] == ["stopped"]
    assert time.monotonic() - began_s < WAIT_S / 2  # two seconds on a machine that has time
    assert desk.audit.told()[-1] == ("result", "stopped")
