"""`prometheus.yml` in front of Prometheus: it holds, a slip in it is refused, and it scrapes."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.collector_config.scraped import service, started

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "collector-config" / "prometheus"
DOCS = REPOSITORY / "docs"
TOKEN = "0123456789abcdef0123456789abcdef"  # of this test
SLOW_S = 300

Component = Callable[[str], str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the configuration, with a token."""
    copy = shutil.copytree(FOLDER, tmp_path / "prometheus")
    secret = copy / "secrets" / "metrics.token"
    secret.parent.mkdir()
    secret.touch(mode=0o600)
    secret.write_text(f"{TOKEN}\n")
    return copy


def check(promtool: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the configuration with all that it names."""
    command = [promtool, "check", "config", "prometheus.yml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def change(folder: Path, old: str, new: str) -> None:
    """Change one text of the configuration."""
    path = folder / "prometheus.yml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.component("promtool3")
def test_prometheus_3_takes_the_configuration(component: Component, folder: Path) -> None:
    """With its rules, its targets and its token."""
    checked = check(component("promtool3"), folder)

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("name", ["alertmanagers", "collectors", "services"])
def test_nothing_is_asked_before_it_is_named(name: str) -> None:
    """A fresh start has no target that is not there, and so no critical alert of one."""
    assert yaml.safe_load((FOLDER / "targets" / f"{name}.yml").read_text()) == []


@pytest.mark.component("promtool")
def test_prometheus_2_takes_all_but_otlp(component: Component, folder: Path) -> None:
    """What an older Prometheus does not know is one block, and the rest holds for it too."""
    configuration = yaml.safe_load((folder / "prometheus.yml").read_text())
    del configuration["otlp"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))

    checked = check(component("promtool"), folder)

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.component("promtool3")
@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("credentials_file:", "credential_file:", "credential_file"),
        ("translation_strategy: Under", "translation_strategy: under", "translation strategy"),
        ("rule_files:", "rules_files:", "rules_files"),
        ("secrets/metrics.token", "secrets/metric.token", "metric.token"),
    ],
)
def test_a_slip_is_refused_by_its_name(
    component: Component, folder: Path, old: str, new: str, named: str
) -> None:
    """The check says which key or file is wrong."""
    change(folder, old, new)

    checked = check(component("promtool3"), folder)

    assert checked.returncode != 0
    assert named in checked.stdout + checked.stderr


def test_what_is_promoted_is_the_same_in_all_instances() -> None:
    """A promoted label stays in sums over instances, so it must not tell them apart."""
    configuration: Any = yaml.safe_load((FOLDER / "prometheus.yml").read_text())

    promoted = configuration["otlp"]["promote_resource_attributes"]
    assert [key for key in promoted if re.match(r"service|host|k8s|process|container", key)] == []


def test_the_window_for_late_points_is_the_same_wherever_it_is_named() -> None:
    """A page that names a shorter one would have agents' backlogs refused that we take here."""
    configuration: Any = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    pages = "".join(page.read_text() for page in DOCS.rglob("*.md"))

    named = re.findall(r"out.of.order.time.window[:=] *(\w+)", pages)
    assert set(named) == {configuration["storage"]["tsdb"]["out_of_order_time_window"]}


@pytest.mark.slow
@pytest.mark.timeout(SLOW_S)
@pytest.mark.component("prometheus3")
def test_prometheus_3_scrapes_with_the_token_and_loads_the_rules(
    component: Component, folder: Path
) -> None:
    """The configuration as it stands, with the port of a service that asks for a token."""
    program = component("prometheus3")
    change(folder, "15s", "1s")
    change(folder, "10s", "1s")
    with service(bearer_token_file=str(folder / "secrets" / "metrics.token")) as port:
        target = [{"targets": [f"localhost:{port}"], "labels": {"job": "shop"}}]
        (folder / "targets" / "services.yml").write_text(yaml.safe_dump(target))
        flags = ("--web.enable-otlp-receiver", "--enable-feature=exemplar-storage")
        with started(program, folder, *flags) as prometheus:
            missing = prometheus.wait_for('up{job="shop"} == 1', "job:llm_cost:rate1h")
            loaded = prometheus.ask("rules")["groups"]

    assert missing == []
    assert {Path(group["file"]).name for group in loaded} == {"alerts.yml", "recording.yml"}
    assert [rule for group in loaded for rule in group["rules"] if rule.get("lastError")] == []
