"""The containers of `docker-compose.yml`: what the file promises, and the same processes at work.

No Docker runs in these tests: the file is read by Docker Compose's own loader, and what it starts
is started by hand. Grafana is not.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack.composition import COMPOSE, PROJECT, services

CHAIN = ("agent", "gateway", "prometheus")
SECRETS = PROJECT / "collector-config" / "compose" / "secrets.sh"


@pytest.fixture
def declared() -> dict[str, dict[str, Any]]:
    """The services of the file, by name."""
    read: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return read


@pytest.fixture
def loaded(component: Callable[[str], str]) -> Callable[[Path], "subprocess.CompletedProcess[str]"]:
    """Read a file as Docker Compose does."""
    loader = component("compose")
    return lambda file: subprocess.run([loader, file], capture_output=True, text=True, check=False)


def test_docker_compose_takes_the_file(
    loaded: Callable[[Path], "subprocess.CompletedProcess[str]"],
) -> None:
    """Its schema and its references hold, without a warning."""
    done = loaded(COMPOSE)

    assert (done.returncode, done.stderr) == (0, "")
    assert "target: collector" in done.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("cap_drop:", "cap_dorp:"), ("completed_successfully", "completed_succesfully")],
)
def test_a_slip_in_it_is_refused(
    right: str,
    wrong: str,
    tmp_path: Path,
    loaded: Callable[[Path], "subprocess.CompletedProcess[str]"],
) -> None:
    """With the place of the word that nobody knows."""
    slip = tmp_path / "docker-compose.yml"
    slip.write_text(COMPOSE.read_text().replace(right, wrong))
    done = loaded(slip)

    assert re.search("failed to load project: .*(cap_dorp|condition)", done.stdout + done.stderr)


def test_containers_can_do_little(declared: dict[str, dict[str, Any]]) -> None:
    """None is privileged, gains privileges or writes outside its volumes; ports are this machine's
    alone."""
    for name, each in declared.items():
        assert not each.get("privileged"), name
        assert each["cap_drop"] == ["ALL"], name
        assert each.get("cap_add", []) == (["CHOWN"] if name == "secrets" else []), name
        assert each["security_opt"] == ["no-new-privileges:true"], name
        assert each["read_only"], name
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", [])), name
        assert "docker.sock" not in str(each), name


def test_every_service_is_asked_how_it_is(declared: dict[str, dict[str, Any]]) -> None:
    """But the one that only makes secrets, and ends."""
    assert {name for name, each in declared.items() if "healthcheck" not in each} == {"secrets"}


def test_no_image_is_built_twice(declared: dict[str, dict[str, Any]]) -> None:
    """Two builds of one tag at a time fail now and then; who has no build waits for who has."""
    built = {name: each["image"] for name, each in declared.items() if "build" in each}
    others = {
        name: each
        for name, each in declared.items()
        if "build" not in each and each["image"] in built.values()
    }

    assert len(set(built.values())) == len(built) == 2
    for name, each in others.items():
        (builder,) = (other for other, image in built.items() if image == each["image"])
        assert builder in each["depends_on"], name


def test_images_have_a_version(declared: dict[str, dict[str, Any]]) -> None:
    """A tag of numbers, or they are built here from images that have one."""
    bases = re.findall(r"^FROM (\S+:\S+)", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    images = {each["image"] for each in declared.values()}
    images -= {each["image"] for each in declared.values() if "build" in each}

    assert (len(bases), len(images)) == (4, 3)
    for image in [*bases, *images]:
        assert re.search(r":v?\d+\.\d+\.\d+", image), image


def test_the_versions_are_those_of_the_tests(declared: dict[str, dict[str, Any]]) -> None:
    """Collector and Prometheus of the containers are the releases that the tests build."""
    manifest = (PROJECT / "collector-config" / "builder.yaml").read_text()
    built = re.search(r"^  version: (\S+)$", manifest, re.MULTILINE)
    module = (PROJECT / "tests/programs/prometheus/go.mod").read_text()
    library = re.search(r"prometheus/prometheus v0\.(\d)(\d\d)\.(\d+) ", module)
    assert built is not None
    assert library is not None
    major, minor, patch = library.groups()

    assert f"opentelemetry-collector-contrib:{built[1]} " in (PROJECT / "Dockerfile").read_text()
    assert declared["prometheus"]["image"] == f"prom/prometheus:v{major}.{int(minor)}.{patch}"


def test_no_secret_stands_in_a_variable(declared: dict[str, dict[str, Any]]) -> None:
    """Tokens, keys and passwords are named by their files."""
    secret = re.compile("TOKEN|KEY|PASSWORD|SECRET")
    named = {
        value
        for each in declared.values()
        for variable, value in each.get("environment", {}).items()
        if secret.search(variable)
    }

    assert len(named) == 4
    assert all(value.startswith("/run/stack/") for value in named)


def test_all_paths_are_there(tmp_path: Path, declared: dict[str, dict[str, Any]]) -> None:
    """What a container is given of the project exists, as does what its command reads."""
    started, left_out = services(tmp_path)

    assert {each.name for each in started} | set(left_out) == set(declared)
    assert set(left_out) == {"grafana"}
    read = [
        word.partition("=")[2] or word.removeprefix("file:")
        for each in started
        for word in each.command[1:]
        if word.endswith((".yaml", ".yml", ".sh"))
    ]
    assert len(read) == 4
    assert all(Path(path).is_file() for path in read)
    volumes = yaml.safe_load(COMPOSE.read_text())["volumes"]
    assert {path.name for path in (tmp_path / "volumes").iterdir()} == set(volumes) - {"grafana"}


@pytest.mark.component("openssl")
def test_secrets_are_made_once_and_for_their_readers(
    tmp_path: Path, component: Callable[[str], str]
) -> None:
    """The gateway's certificate is good for its name, no secret is readable by others, and what
    runs out can be renewed."""
    openssl = component("openssl")
    subprocess.run([SECRETS, tmp_path], check=True)
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    subprocess.run([SECRETS, tmp_path], check=True)
    checked = subprocess.run(
        [openssl, "verify", "-verify_hostname", "gateway", "-CAfile", tmp_path / "agent/ca.crt",
         tmp_path / "gateway/gateway.crt"],
        capture_output=True,
        check=False,
    )  # fmt: skip

    after = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    subprocess.run([SECRETS, tmp_path, "renew"], check=True)

    assert before == after
    assert (tmp_path / "grafana/password").read_text() == after[tmp_path / "grafana/password"]
    assert (tmp_path / "agent/token").read_text() != after[tmp_path / "agent/token"]
    assert checked.returncode == 0, checked.stderr
    assert (tmp_path / "agent/token").read_text() == (tmp_path / "gateway/token").read_text()
    assert len((tmp_path / "agent/token").read_text().strip()) == 64
    assert all(path.stat().st_mode & 0o077 == 0 for path in before)
    assert not list(tmp_path.rglob("ca.key"))


def test_the_image_is_given_all_that_the_package_is_built_from() -> None:
    """What pyproject.toml names is copied into the image, and `.dockerignore` lets it in."""
    pyproject = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    wheel = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]
    named = {
        "pyproject.toml",
        pyproject["project"]["readme"],
        *pyproject["project"]["license-files"],
    }
    named |= {package.partition("/")[0] for package in wheel["packages"]}
    dockerfile = (PROJECT / "Dockerfile").read_text()
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
    let_in = re.findall(r"^!(\S+)$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE)

    assert {word for words in copies for word in words.split()} == named
    assert set(let_in) == named


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the stack in a network of its own, check it, and end it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.stack", "--check", "--apart", "--folder", folder, *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(done.stderr)
    return done


@pytest.fixture
def components(component: Callable[[str], str]) -> None:
    """What the stack is made of is there."""
    for name in ("openssl", "otelcol", "prometheus3", "nats-server"):
        component(name)


def test_nothing_listens_beyond_this_machine(tmp_path: Path) -> None:
    """Started by hand, a service that listens everywhere in its container listens on loopback."""
    started, _ = services(tmp_path)
    said = [word for each in started for word in (*each.command, *each.environment.values())]

    assert "0.0.0.0" not in " ".join(said)
    assert "--web.listen-address=127.0.0.1:9090" in said


@pytest.mark.slow
@pytest.mark.usefixtures("components")
@pytest.mark.timeout(300)
def test_what_the_demo_counts_arrives_behind_the_whole_chain(tmp_path: Path) -> None:
    """With the configuration files of the containers, over agent and gateway, with token and TLS,
    Prometheus has every total of the demo's archive; nobody logs a warning."""
    done = run(tmp_path)

    assert done.returncode == 0, done.stderr
    assert re.search(r"^\d{3} totals of the demo's archive are in Prometheus", done.stdout, re.M)
    logs = "".join((tmp_path / name / "output.log").read_text() for name in CHAIN)
    warnings = re.findall(
        r"^.*(?:\twarn\t|\terror\t|level=WARN|level=ERROR).*$", logs, re.MULTILINE
    )
    assert [line for line in warnings if "signal=terminated" not in line] == []


@pytest.mark.slow
@pytest.mark.usefixtures("components")
@pytest.mark.timeout(300)
def test_with_another_token_nothing_arrives(tmp_path: Path) -> None:
    """The control: the gateway lets nobody in whose token it does not know; the check says so."""
    secrets = tmp_path / "volumes" / "secrets"
    secrets.mkdir(parents=True)
    subprocess.run([SECRETS, secrets], check=True)
    (secrets / "agent" / "token").write_text("of another gateway\n")
    done = run(tmp_path, "--patience", "25")

    assert done.returncode == 1
    assert "nothing of the demo arrives in Prometheus" in done.stderr
    assert "401" in (tmp_path / "agent" / "output.log").read_text()
