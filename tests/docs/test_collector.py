"""The page on collectors: its variables are those of the configurations, its commands are taken."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.docs.links import broken

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/collector.md").read_text()
FILES = {
    file.name: file.read_text()
    for file in (REPOSITORY / "collector-config").glob("*.yaml")
    if file.name != "builder.yaml"
}
VARIABLE = re.compile(r"\$\{env:(OTELCOL_\w+):-([^}]*)\}")
STARTS = sorted(set(re.findall(r"^\$ (otelcol .*)$", PAGE, re.MULTILINE)))


def test_every_variable_is_there_with_its_default() -> None:
    """The table names each variable of the configurations, and each value that it has by itself."""
    found = {pair for text in FILES.values() for pair in VARIABLE.findall(text)}
    rows = re.findall(r"^\| (`OTELCOL_[^|]*) \| ([^|]*) \|", PAGE, re.MULTILINE)
    named = {name for names, _ in rows for name in re.findall(r"OTELCOL_\w+", names)}

    assert named == {name for name, _ in found}
    for name, default in found:
        (shown,) = (defaults for names, defaults in rows if f"`{name}`" in names)
        assert f"`{default}`" in shown or default in shown, name


def test_every_configuration_is_there() -> None:
    """The table at the top has each file, and no other."""
    assert set(re.findall(r"collector-config/([\w-]+\.yaml)\)", PAGE)) == set(FILES)


@pytest.mark.slow
@pytest.mark.component("otelcol")
@pytest.mark.parametrize("command", STARTS)
def test_the_collector_takes_every_command(
    component: Callable[[str], str], command: str, tmp_path: Path
) -> None:
    """Each start of a collector is valid as it stands, from the project's folder."""
    password = tmp_path / "password"
    password.write_text("x")
    program, *words = shlex.split(command)
    checked = subprocess.run(
        [component(program), "validate", *words],
        cwd=REPOSITORY,
        env={"OTELCOL_KAFKA_PASSWORD_FILE": str(password)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.component("promtool")
def test_prometheus_takes_its_scrape_configuration(
    component: Callable[[str], str], tmp_path: Path
) -> None:
    """The block with `scrape_configs` is one."""
    (block,) = re.findall(r"```yaml\n(scrape_configs:.*?)```", PAGE, re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(block)
    checked = subprocess.run(
        [component("promtool"), "check", "config", "--syntax-only", "prometheus.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert (checked.returncode, checked.stderr) == (0, "")
    assert yaml.safe_load(block)["scrape_configs"][0]["honor_labels"] is True


def test_every_link_leads_somewhere() -> None:
    """To a heading of the page, or to a file and a heading there."""
    assert broken(PAGE) == []
