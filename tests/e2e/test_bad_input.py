"""Bad input: a clear word, nothing lost beside it, and the service runs on."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Archived, Run

pytestmark = pytest.mark.slow

GOOD = """
import otel_metrics
from otel_metrics import instruments, skills, sovereignty
telemetry = otel_metrics.configure()
skills.record_outcome("triage", execution_id="1", decision="a", expected_decision="a")
"""


def lines(stderr: str) -> list[str]:
    """Return the log lines."""
    return [line for line in stderr.splitlines() if line.strip()]


def test_an_unknown_exporter_is_named_with_what_was_meant(run: "Run", archived: "Archived") -> None:
    """A typo costs that exporter only."""
    done = run(GOOD, env={"OTEL_METRICS_EXPORTER": "ndjson,promethues"})

    (line,) = lines(done.stderr)
    assert "OTEL_METRICS_EXPORTER=ndjson,promethues" in line
    assert "did you mean 'prometheus'?" in line
    assert archived.total("skill.outcomes") == 1


def test_a_port_that_is_taken_costs_the_page_only(run: "Run", archived: "Archived") -> None:
    """One line names the port and what to do; the archive goes on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = run(GOOD, env={"OTEL_EXPORTER_PROMETHEUS_PORT": port})

    (line,) = lines(done.stderr)
    assert port in line
    assert "OTEL_EXPORTER_PROMETHEUS_PORT" in line
    assert archived.total("skill.outcomes") == 1


def test_an_archive_that_cannot_be_written_costs_the_archive_only(
    run: "Run", tmp_path: Path
) -> None:
    """The path is a file: one line an archive says so, and the page works."""
    (tmp_path / "telemetry").write_text("not a folder")
    done = run(
        GOOD
        + """
import urllib.request
port = telemetry.metrics_port
page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
print([line for line in page.splitlines() if line.startswith("skill_outcomes_total")])
print(telemetry.flush(5).ndjson.status)
"""
    )

    assert "skill_outcomes_total" in done.stdout
    assert done.stdout.endswith("failed\n")
    assert 1 <= len(lines(done.stderr)) <= 4
    assert "telemetry" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_malformed_catalog_leaves_the_built_in_one(
    run: "Run", tmp_path: Path, archived: "Archived"
) -> None:
    """File, line and remedy are said; what the built-in catalog has is recorded."""
    (tmp_path / "mine.yaml").write_text(
        "file_format: definition/2\nmetrics:\n  - name: shop.sales\n    instrument: countr\n"
    )
    done = run(GOOD, env={"OTEL_PYTHON_METRICS_CATALOG": "mine.yaml"})

    assert "mine.yaml:4" in done.stderr
    assert "counter" in done.stderr
    assert archived.total("skill.outcomes") == 1


def test_a_bad_argument_raises(run: "Run") -> None:
    """What the code itself says must hold: a typo in a keyword or a value is an error."""
    done = run("import otel_metrics; otel_metrics.configure(ndjson_pth='x')", status=1)
    assert "no keyword 'ndjson_pth'; did you mean 'ndjson_path'?" in done.stderr

    done = run("import otel_metrics; otel_metrics.configure(ndjson_sync='sometimes')", status=1)
    assert "ndjson_sync=sometimes: " in done.stderr
    assert "interval, always, never" in done.stderr
    assert "instead" not in done.stderr


BAD_CALLS = """
import math
class Hostile:
    def __repr__(self): raise RuntimeError
    __str__ = __hash__ = __eq__ = __repr__
sovereignty.record("decision_rule_hitt")
sovereignty.record("decision_rule_hit", {"object": Hostile(), "deep": {"x": Hostile()}})
sovereignty.record("decision_rule_hit", {"text": "x" * 10_000_000})
counter = instruments.metric("skill.executions")
for value in (math.nan, math.inf, -1, True, "1", None, 10**400):
    counter.add(value, {"gen_ai.skill.name": "x"})
counter.add(1, {"gen_ai.skill.name": "y" * 10_000_000})
counter.add(1, {"gen_ai.skill.name": "z"})
"""


def test_bad_calls_cost_only_themselves(run: "Run", archived: "Archived") -> None:
    """No call raises; what can be kept is kept, what cannot is counted and said once a kind."""
    done = run(GOOD + BAD_CALLS, env={"OTEL_METRICS_EXPORTER": "ndjson"})

    rejected = archived.totals("metric.rejected")
    hits = archived.events("sovereignty.decision_rule_hit")
    assert archived.total("sovereignty.events") == 2
    assert archived.total("skill.executions") == 2
    assert sum(rejected.values()) == 8
    assert len(hits) == 2
    assert len(str(hits[1])) < 1_000_000
    assert "perception_cache_hit" in done.stderr
    assert len(lines(done.stderr)) <= 6


def test_the_archive_is_not_for_everyone(run: "Run", tmp_path: Path) -> None:
    """Folders are 0750 and files 0640, whatever the umask."""
    run("import os; os.umask(0)\n" + GOOD, env={"OTEL_METRICS_EXPORTER": "ndjson"})

    modes = {
        oct(os.stat(os.path.join(folder, name)).st_mode & 0o777)
        for folder, _, names in os.walk(tmp_path / "telemetry" / "metrics")
        for name in names
    }
    folders = {
        oct(os.stat(folder).st_mode & 0o777)
        for folder, _, _ in os.walk(tmp_path / "telemetry" / "metrics")
    }
    assert modes <= {"0o640", "0o440"}
    assert folders == {"0o750"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_open_page_without_auth_stays_closed(
    run: "Run", archived: "Archived", host: str
) -> None:
    """An address beyond this machine is refused in one line; the service runs."""
    done = run(GOOD, env={"OTEL_EXPORTER_PROMETHEUS_HOST": host})

    (line,) = lines(done.stderr)
    assert f"OTEL_EXPORTER_PROMETHEUS_HOST={host}" in line
    assert archived.total("skill.outcomes") == 1


def test_an_open_page_asked_for_in_code_raises(run: "Run") -> None:
    """What the code itself asks for is refused where it is written."""
    code = "import otel_metrics; otel_metrics.configure(prometheus_host='0.0.0.0')"
    done = run(code, status=1)

    assert "OTEL_EXPORTER_PROMETHEUS_HOST=0.0.0.0" in done.stderr


def test_a_token_that_can_be_guessed_closes_the_page(
    run: "Run", tmp_path: Path, archived: "Archived"
) -> None:
    """One line says why and what to do, without the token; the service runs."""
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text("hunter2")
    done = run(GOOD, env={"OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE": str(file)})

    (line,) = lines(done.stderr)
    assert f"OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE={file}: the token in line 1" in line
    assert "hunter2" not in line
    assert archived.total("skill.outcomes") == 1


def test_a_file_of_secrets_named_in_code_must_be_usable(run: "Run") -> None:
    """What the code itself names is looked into where it is written."""
    code = "import otel_metrics; otel_metrics.configure(prometheus_basic_auth_file='/absent')"
    done = run(code, status=1)

    assert "OTEL_EXPORTER_PROMETHEUS_BASIC_AUTH_FILE=/absent: No such file" in done.stderr


def test_a_broken_configuration_file_is_one_line(
    run: "Run", tmp_path: Path, archived: "Archived"
) -> None:
    """The file and what is wrong are said without a stack; the other variables are used."""
    (tmp_path / "otel.yaml").write_text('file_format: "1.1"\nmeter_provider: {readers: 7}\n')
    done = run(GOOD, env={"OTEL_CONFIG_FILE": "otel.yaml"})

    assert "OTEL_CONFIG_FILE=otel.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert archived.total("skill.outcomes") == 1


def test_what_a_misspelt_variable_holds_is_not_logged(run: "Run") -> None:
    """It may be a secret."""
    done = run(GOOD, env={"OTEL_EXPORTER_PROMETHEUS_BEARER": "hunter2hunter2"})

    assert "OTEL_EXPORTER_PROMETHEUS_BEARER" in done.stderr
    assert "hunter2" not in done.stderr


def test_a_key_that_others_can_read_closes_the_archive_with_one_line(
    run: "Run", tmp_path: Path
) -> None:
    """The service runs to its end; an argument raises instead."""
    key = tmp_path / "seal.key"
    key.write_text("ab" * 32)
    key.chmod(0o644)
    code = (
        "import otel_metrics\n"
        "from otel_metrics import skills\n"
        "telemetry = otel_metrics.configure()\n"
        "skills.record_outcome('triage', decision=1, expected_decision=1)\n"
        "print(telemetry.flush(timeout=5))\n"
    )

    done = run(code, env={"OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE": str(key)})
    assert len(done.stderr.splitlines()) == 1
    assert "others may read or change it (mode 0644); chmod it to 0600" in done.stderr
    assert "failed" in done.stdout
    assert not (tmp_path / "telemetry").exists()

    call = f"otel_metrics.configure(ndjson_seal_key_file={str(key)!r})"
    wrong = run(f"import otel_metrics\n{call}", status=1)
    assert "ConfigurationError" in wrong.stderr
