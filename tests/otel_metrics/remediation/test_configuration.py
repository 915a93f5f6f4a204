"""The operator's file: what it comes to, and what is refused with its line."""

import contextlib
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_metrics.remediation.actions.program import ProgramStep
from otel_metrics.remediation.configuration import ConfigurationProblems, read
from otel_metrics.remediation.model import Binding, Configuration, Limits, Rule, Verification
from tests.otel_metrics.remediation.conftest import PLAYBOOKS

Configured = Callable[[str], Configuration]

FILE = """
enabled: true
programs: [/usr/bin/true]
limits: {runs_per_hour: 6, circuit_pause: 10m}
policy:
  - {tier: 1, decision: run}
  - {metric: "infra.*", actor: alertmanager, decision: ask}
playbooks:
  shift-load:
    enabled: true
    risk: high
    steps:
      - program: {path: /usr/bin/true, arguments: ["--to", "${target}"], timeout: 5s}
    rollback:
      - program: {path: /usr/bin/true}
    parameters: {target: standby, workers: 3}
    targets: [host-1]
    cooldown: 90s
    runs_per_hour: 2
    idempotent: true
    verification: {band: warning, within: 1m}
"""


def test_a_file_says_everything(configured: Configured) -> None:
    """Each key has its effect, and what is not said has its default."""
    target = PLAYBOOKS["shift-load"].parameters[0]
    true = "/usr/bin/true"

    found = configured(FILE)
    assert found == Configuration(
        path=found.path,
        sha256=hashlib.sha256(FILE.encode()).hexdigest(),
        enabled=True,
        stop_file="/run/shop/stop",
        limits=Limits(runs_per_hour=6, circuit_pause_s=600),
        policy=(
            Rule(decision="run", tier=1),
            Rule(decision="ask", metric="infra.*", actor="alertmanager"),
        ),
        bindings={
            "shift-load": Binding(
                playbook="shift-load",
                enabled=True,
                risk="high",
                steps=(ProgramStep(path=true, arguments=("--to", target), timeout_s=5),),
                rollback=(ProgramStep(path=true, arguments=(), timeout_s=60),),
                parameters={"target": "standby", "workers": 3},
                targets=frozenset({"host-1"}),
                cooldown_s=90,
                runs_per_hour=2,
                idempotent=True,
                verification=Verification(
                    metric="infra.cpu_utilization", band="warning", within_s=60
                ),
            )
        },
    )


def test_nothing_runs_by_default(configured: Configured) -> None:
    """A file that binds a playbook and says no more makes dry runs, and gently."""
    found = configured(
        "programs: [/usr/bin/true]\n"
        "playbooks: {shift-load: {steps: [{program: {path: /usr/bin/true}}]}}"
    )
    binding = found.bindings["shift-load"]
    assert (found.enabled, binding.enabled, found.policy) == (False, False, ())
    assert (binding.cooldown_s, binding.runs_per_hour, binding.idempotent) == (600, 3, False)
    assert binding.verification == Verification(
        metric="infra.cpu_utilization", band="good", within_s=300
    )


def test_a_kill_switch_lies_where_nobody_else_can_remove_it(
    configured: Configured, tmp_path: Path
) -> None:
    """And where it can be thrown: in a folder that is there."""
    folder = tmp_path / "run"
    with pytest.raises(ConfigurationProblems, match=f"stop_file: {folder} cannot be read: No such"):
        configured(f"stop_file: {folder}/stop")
    folder.mkdir()
    assert configured(f"stop_file: {folder}/stop").stop_file == f"{folder}/stop"

    folder.chmod(0o777)

    with pytest.raises(ConfigurationProblems, match=f"stop_file: others may write {folder} "):
        configured(f"stop_file: {folder}/stop")


def test_an_empty_file_binds_nothing(configured: Configured) -> None:
    """It is a start, and no fault."""
    assert configured("").bindings == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("enabld: true", "1: enabld: is no known key; did you mean 'enabled'?"),
        ("enabled: yes", "1: enabled: is 'yes', a text; write true or false"),
        (
            "enabled: true\nenabled: true",
            ("2: the key 'enabled' is there twice (first on line 1); keep one of both"),
        ),
        ("policy: &all []", "1: policy: the anchor &all; write the value out where it is used"),
        ("stop_file: stop", "1: stop_file: 'stop' is no absolute path; begin it with /"),
        (
            "limits: {runs_per_hour: 0}",
            ("1: limits.runs_per_hour: '0' is none; write a whole number from 1 to 100,000"),
        ),
        (
            "limits: {circuit_pause: soon}",
            ("1: limits.circuit_pause: 'soon' is no time; write one such as 30s, 10m or 1h"),
        ),
        (
            "limits: {approval_expires: 30d}",
            ("1: limits.approval_expires: '30d' is out of bounds; write 1s to 604800s"),
        ),
        ("programs: [1]", "1: programs[0]: is no text; put it in quotation marks"),
        ("programs: [scale]", "1: programs[0]: 'scale' is no absolute path; begin it with /"),
        (
            "programs:\n  - /bin/true\n  - /bin/sh",
            (
                "3: programs[1]: '/bin/sh' is a shell; "
                "put what it shall do into a script of its own, and list that"
            ),
        ),
        ("hosts: [a b]", "1: hosts[0]: is no URL of printable ASCII; percent-encode what is not"),
        (
            "notify: {url: 'https://a.example/'}",
            (
                "1: notify.secret_file: is missing; "
                "name the file of the secret that signs the call\n"
                "1: notify.url: a.example:443 is not in `hosts`; add 'a.example:443' to `hosts`"
            ),
        ),
        ("- a", "1: is a list; make it a mapping of keys and values"),
    ],
)
def test_what_is_wrong_is_refused_with_line_and_remedy(
    configured: Configured, text: str, expected: str
) -> None:
    """Typos, wrong types, numbers without bounds, what strict YAML does not have."""
    with pytest.raises(ConfigurationProblems) as refused:
        configured(text)

    said = str(refused.value).replace(refused.value.problems[0].file + ":", "")
    assert said == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            "{decision: run}",
            (
                "would run scale-nodes (high risk) without approval; "
                "write ask, or add tier: 1 or tier: 2 to the rule"
            ),
        ),
        (
            "{tier: 3, decision: run}",
            (
                "would run scale-nodes (high risk) without approval; "
                "write ask, or add tier: 1 or tier: 2 to the rule"
            ),
        ),
        (
            "{playbook: scale-*, decision: run}",
            (
                "would run scale-nodes (high risk) without "
                "approval; write ask, or add tier: 1 or tier: 2 to the rule"
            ),
        ),
        (
            "{actor: root, decision: run}",
            (
                "would run scale-nodes (high risk) without approval; "
                "write ask, or add tier: 1 or tier: 2 to the rule"
            ),
        ),
        ("{tier: 1, decision: runn}", "'runn' is not one of run, ask, refuse; did you mean 'run'?"),
        ("{tier: 1}", "is missing; add decision: one of run, ask, refuse"),
        (
            "{tier: 1, risk: high, decision: ask}",
            "is of no playbook; let tier, risk and playbook agree",
        ),
    ],
)
def test_a_policy_cannot_do_without_approvals(
    configured: Configured, rule: str, expected: str
) -> None:
    """No rule lets a playbook of high risk run unasked, and no typo goes by."""
    with pytest.raises(ConfigurationProblems) as refused:
        configured(f"policy:\n  - {rule}")

    assert str(refused.value).partition("policy[0].decision: ")[2] == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            "{playbok: scale-nodes, decision: ask}",
            "playbok: is no known key; did you mean 'playbook'?",
        ),
        (
            "{playbook: scale-node, decision: ask}",
            "playbook: there is no playbook 'scale-node'; did you mean 'scale-nodes'?",
        ),
        (
            "{metric: infra.cpu_utilisation, tier: 1, decision: run}",
            (
                "metric: there is no metric 'infra.cpu_utilisation'; "
                "did you mean 'infra.cpu_utilization'?"
            ),
        ),
        (
            "{metric: i*a, decision: ask}",
            "metric: 'i*a' has a * within; write it at the end, or not at all",
        ),
        ("{tier: 5, decision: ask}", "tier: '5' is none; write a whole number from 1 to 4"),
    ],
)
def test_a_rule_names_what_there_is(configured: Configured, rule: str, expected: str) -> None:
    """A rule that never matches would leave a decision to the next one."""
    with pytest.raises(ConfigurationProblems) as refused:
        configured(f"policy:\n  - {rule}")

    assert str(refused.value).partition("policy[0].")[2] == expected


def test_a_playbook_of_raised_risk_is_no_longer_run_by_rule(configured: Configured) -> None:
    """What an operator says of the risk holds for the policy too."""
    with pytest.raises(ConfigurationProblems, match=r"would run shift-load \(high risk\)"):
        configured(FILE.replace("{tier: 1, decision", "{playbook: shift-load, decision"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("shift-load:", "shift-lod:"),
            "playbooks.shift-lod: is no playbook of the catalog; did you mean 'shift-load'?",
        ),
        (
            ("risk: high", "risk: low"),
            (
                "playbooks.shift-load.risk: low is below what the catalog "
                "says (medium); write medium or a higher one, or leave it out"
            ),
        ),
        (
            ("- program: {path: /usr/bin/true}", "- progam: {path: /usr/bin/true}"),
            "playbooks.shift-load.rollback[0].progam: is no known key; did you mean 'program'?",
        ),
        (
            ("- program: {path: /usr/bin/true}", "- {}"),
            ("playbooks.shift-load.rollback[0]: has 0 kinds; give it exactly one of "),
        ),
        (("standby", "'a\\0b'"), None),
        (
            ("{target: standby, workers: 3}", "{target: 7}"),
            "playbooks.shift-load.parameters.target: '7' is a int; give a text",
        ),
        (
            ("{target: standby, workers: 3}", "{workers: 51}"),
            "playbooks.shift-load.parameters.workers: '51' is above 50; give at most 50",
        ),
        (
            ("{target: standby, workers: 3}", "{traget: standby}"),
            "playbooks.shift-load.parameters.traget: is no known key; did you mean 'target'?",
        ),
        (
            ("${target}", "${tagret}"),
            (
                "playbooks.shift-load.steps[0].program.arguments[1]: "
                "there is no parameter 'tagret'; did you mean 'target'?"
            ),
        ),
        (
            ("${target}", "--to=${target}"),
            (
                "playbooks.shift-load.steps[0].program.arguments[1]: "
                "'--to=${target}' has a placeholder within a text; "
                "make ${parameter} an item of its own"
            ),
        ),
        (
            ("    parameters: {target: standby, workers: 3}\n", ""),
            (
                "playbooks.shift-load.parameters: target, workers: has no default, and a "
                "recommendation gives no value; give it a value here"
            ),
        ),
        (
            ("[host-1]", "[]"),
            (
                "playbooks.shift-load.targets: has none; "
                "list ids of resources, or leave it out for any"
            ),
        ),
        (
            ("cooldown: 90s", "cooldown: [90s]"),
            ("cooldown: \"['90s']\" is no time; write one such as 30s, 10m or 1h"),
        ),
        (
            ("band: warning", "band: goood"),
            (
                "playbooks.shift-load.verification.band: 'goood' is "
                "not one of good, warning, critical; did you mean 'good'?"
            ),
        ),
        (
            ("band: warning", "metric: infra.cpu"),
            (
                "playbooks.shift-load.verification.metric: "
                "there is no metric 'infra.cpu'; see `otel-metrics catalog list`"
            ),
        ),
    ],
)
def test_a_binding_says_only_what_its_playbook_has(
    configured: Configured, change: tuple[str, str], expected: str | None
) -> None:
    """Names, values and placeholders are checked when the file is read."""
    text = FILE.replace(*change)
    if expected is None:  # a backslash and a zero: no NUL, and allowed
        assert configured(text).bindings["shift-load"].parameters["target"] == "a\\0b"
        return
    with pytest.raises(ConfigurationProblems) as refused:
        configured(text)

    assert expected in str(refused.value)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=5,
)


def test_a_ledger_lies_where_nobody_else_can_put_one(
    file: Callable[[str], Path], tmp_path: Path
) -> None:
    """Who can write it can approve. One that is not there yet is made, closed to others."""
    path, folder = file("enabled: true\n"), tmp_path / "ledgers"
    read(path, playbooks=PLAYBOOKS, ledger_folder=str(folder))
    folder.mkdir(mode=0o700)
    read(path, playbooks=PLAYBOOKS, ledger_folder=str(folder))

    folder.chmod(0o777)

    with pytest.raises(ConfigurationProblems) as refused:
        read(path, playbooks=PLAYBOOKS, ledger_folder=str(folder))
    assert str(refused.value) == (
        f"{path}: the ledger's folder, where who can write can approve: others may write {folder} "
        f"(mode 0777); chmod go-w {folder}"
    )


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(value=ANY, choice=st.randoms(use_true_random=False))
def test_a_file_is_read_or_refused(
    configured: Configured, value: object, choice: random.Random
) -> None:
    """Whatever stands in place of any of its parts, at most problems come of it."""
    whole = yaml.safe_load(FILE)
    part: Any = whole
    while True:
        key = choice.choice(list(part) if isinstance(part, dict) else range(len(part)))
        if isinstance(part[key], dict | list) and part[key] and choice.random() < 0.8:
            part = part[key]
            continue
        part[key] = value
        break
    with contextlib.suppress(ConfigurationProblems):
        configured(json.dumps(whole))


@given(data=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_are_a_file_or_refused(file: Callable[[str], Path], data: bytes) -> None:
    """No content of a file raises anything else."""
    path = file("")
    path.write_bytes(data)

    with contextlib.suppress(ConfigurationProblems):
        read(path, playbooks=PLAYBOOKS)


def test_every_problem_is_told_at_once(configured: Configured) -> None:
    """Nobody corrects a file line by line, one start of the service each."""
    with pytest.raises(ConfigurationProblems) as refused:
        configured("enabld: true\npolicy:\n  - {tier: 9, decision: ask}\nlimits: {x: 1}\n")

    assert [problem.line for problem in refused.value.problems] == [1, 3, 4]


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("usr/bin/true", "'usr/bin/true' is no absolute path; begin it with /"),
        ("/usr/bin/tru", "'/usr/bin/tru' is not in `programs`; did you mean '/usr/bin/true'?"),
        ("/bin/sh", "'/bin/sh' is not in `programs`; add it to `programs`"),
    ],
)
def test_only_listed_programs_are_bound(
    configured: Configured, program: str, expected: str
) -> None:
    """The list in the same file is what may be started, to the character."""
    with pytest.raises(ConfigurationProblems) as refused:
        configured(FILE.replace("path: /usr/bin/true}", f"path: {program}}}"))

    assert str(refused.value).endswith(f"rollback[0].program.path: {expected}")


def test_a_program_that_others_may_change_is_not_bound(
    configured: Configured, tmp_path: Path
) -> None:
    """Whoever may write it would run what he likes as the service."""
    program = tmp_path / "scale"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o775)

    with pytest.raises(ConfigurationProblems) as refused:
        configured(FILE.replace("/usr/bin/true", str(program)))

    assert f"others may write {program} (mode 0775); chmod go-w {program}" in str(refused.value)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_change_is_not_read(file: Callable[[str], Path], mode: int) -> None:
    """It names programs that the service starts."""
    path = file("")
    path.chmod(mode)

    with pytest.raises(ConfigurationProblems) as refused:
        read(path, playbooks={})

    assert str(refused.value) == (
        f"{path}: others may write {path} (mode {mode:04o}); chmod go-w {path}"
    )
