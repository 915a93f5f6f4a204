"""Wrong tokens, expired certificates and missing files: refused, and the message says which."""

import datetime

import pytest

from tests.collector_config.conftest import MakeCollector, MakeService
from tests.collector_config.credentials import Secrets
from tests.collector_config.reading import counted
from tests.collector_config.running import Collector, until

pytestmark = [pytest.mark.slow, pytest.mark.component("otelcol")]

YESTERDAY = datetime.timedelta(days=-1)
WRONG = "wrong-token-0123"


def with_token(secrets: Secrets, token: str | None, protocol: str = "grpc") -> dict[str, str]:
    """Return the variables of a service that sends to a gateway itself."""
    authorization = {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {token}"} if token else {}
    return {
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(secrets.authority.certificate_file),
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        **authorization,
    }


@pytest.mark.parametrize(
    ("protocol", "token"), [("grpc", WRONG), ("http/protobuf", WRONG), ("http/protobuf", None)]
)
def test_a_service_with_a_wrong_token(
    service: MakeService,
    secrets: Secrets,
    store: Collector,
    gateway: Collector,
    protocol: str,
    token: str | None,
) -> None:
    """Nothing gets through; the verdict has the server's answer and the setting, and no token."""
    gateway.start()
    url = f"https://{gateway.grpc if protocol == 'grpc' else gateway.http}"
    refused = service("refused", url, with_token(secrets, token, protocol))
    status, reason = refused.record(3)["otlp"]
    arrived = counted(store.page(), "skill_executions_total")
    good = secrets.token.read_text().strip()
    taken = service("taken", url, with_token(secrets, good, protocol)).record(5)["otlp"]

    assert status == "failed"
    assert reason is not None
    assert reason.startswith("UNAUTHENTICATED: " if protocol == "grpc" else "HTTP 401: ")
    assert reason.endswith("; check OTEL_EXPORTER_OTLP_HEADERS")
    assert WRONG not in refused.log()
    assert arrived == 0
    assert taken == ["delivered", None]
    assert counted(store.page(), "skill_executions_total") == 5


def test_an_agent_with_a_wrong_token(
    collector: MakeCollector,
    service: MakeService,
    secrets: Secrets,
    store: Collector,
    gateway: Collector,
) -> None:
    """It says what is dropped and why; once its token file is right, the next flush says it all,
    without a restart."""
    gateway.start()
    token = secrets.token.with_name("agents-token")
    token.write_text(WRONG)
    env = {"OTELCOL_GATEWAY_ENDPOINT": gateway.http, "OTELCOL_TOKEN_FILE": str(token)}
    agent = collector("agent", env=env).start()
    desk = service("desk", agent.grpc)
    desk.record(3)
    until(lambda: agent.said("Dropping data", "Unauthenticated", '"metrics"'), agent.log)
    arrived = counted(store.page(), "skill_executions_total")
    token.write_text(secrets.token.read_text())
    until(lambda: len(agent.said("refresh token")) > 1, agent.log)
    desk.record(2)
    until(lambda: counted(store.page(), "skill_executions_total") == 5, agent.log)

    (said, *_) = agent.said("Dropping data", "Unauthenticated")
    assert '"otlp_http/gateway"' in said
    assert "does not match expected scheme or token" in said
    assert WRONG not in agent.log()
    assert arrived == 0


def test_a_token_is_changed_without_a_gap(
    service: MakeService, secrets: Secrets, gateway: Collector
) -> None:
    """A gateway takes each of several tokens, and finds new ones without a restart."""
    gateway.start()
    env = with_token(secrets, "the-next-token-16")
    refused = service("early", f"https://{gateway.grpc}", env).record(1)["otlp"]
    secrets.token.write_text(secrets.token.read_text() + "the-next-token-16\n")
    until(lambda: len(gateway.said("refresh token")) > 1, gateway.log)
    verdicts = [
        service(token, f"https://{gateway.grpc}", with_token(secrets, token)).record(1)["otlp"]
        for token in secrets.token.read_text().split()
    ]

    assert refused[0] == "failed"
    assert verdicts == [["delivered", None]] * 2


def test_an_expired_certificate(
    collector: MakeCollector,
    service: MakeService,
    secrets: Secrets,
    store: Collector,
    gateway: Collector,
) -> None:
    """Services and agents say that it expired; with a new one, all that the agent kept arrives."""
    secrets.authority.certify(secrets.cert, secrets.key, ends_in=YESTERDAY)
    gateway.start()
    agent = collector("agent", env={"OTELCOL_GATEWAY_ENDPOINT": gateway.http}).start()
    service("desk", agent.grpc).record(3)
    until(lambda: agent.said("Will retry", "certificate has expired"), agent.log)
    good = secrets.token.read_text().strip()
    direct = {**with_token(secrets, good), "OTEL_EXPORTER_OTLP_TIMEOUT": "2s"}
    status, reason = service("direct", f"https://{gateway.grpc}", direct).record(1)["otlp"]
    gateway.stop()
    arrived = counted(store.page(), "skill_executions_total")
    secrets.authority.certify(secrets.cert, secrets.key)
    gateway.start()
    until(lambda: counted(store.page(), "skill_executions_total") == 3, agent.log)

    assert status == "failed"
    assert "certificate has expired" in str(reason)
    assert arrived == 0


@pytest.mark.parametrize("name", ["agent", "gateway"])
@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_token_file_that_has_no_token(
    collector: MakeCollector, secrets: Secrets, name: str, content: str | None
) -> None:
    """The collector does not start, and names the file."""
    secrets.token.unlink()
    if content is not None:
        secrets.token.write_text(content)
    said = collector(name).refusal().splitlines()[-1]

    assert f'failed to read credentials file "{secrets.token}"' in said
    assert ("no such file" if content is None else "is empty") in said


@pytest.mark.parametrize("name", ["agent", "gateway"])
def test_a_token_of_everybody_is_not_noticed(
    collector: MakeCollector, secrets: Secrets, name: str
) -> None:
    """A limit, as docs/collector.md has it: the collector does not look at the file's mode."""
    secrets.token.chmod(0o644)

    assert collector(name).start().said("token", "mode") == []


@pytest.mark.parametrize(
    ("name", "variable", "said"),
    [
        ("agent", "OTELCOL_CA_FILE", 'failed to start "otlp_http/gateway" exporter'),
        ("gateway", "OTELCOL_CERT_FILE", 'failed to start "otlp" receiver'),
        ("gateway", "OTELCOL_KEY_FILE", 'failed to start "otlp" receiver'),
        ("agent-kafka", "OTELCOL_KAFKA_PASSWORD_FILE", "unable to read the file"),
        ("gateway-kafka", "OTELCOL_KAFKA_PASSWORD_FILE", "unable to read the file"),
    ],
)
def test_a_file_that_is_missing(
    collector: MakeCollector, name: str, variable: str, said: str
) -> None:
    """The collector does not start, and names the file and, of certificates, what needs it."""
    refusal = collector(name, env={variable: "/nowhere/file"}).refusal()

    assert said in refusal
    assert "/nowhere/file: no such file or directory" in refusal


def test_without_any_variable_a_gateway_does_not_start(
    collector: MakeCollector, secrets: Secrets
) -> None:
    """There is no token by default, and so no open gateway."""
    gateway = collector("gateway")
    for variable in secrets.env:
        del gateway.env[variable]

    assert 'failed to read credentials file "/etc/otelcol/token"' in gateway.refusal()


def test_a_plain_connection_to_a_gateway(service: MakeService, gateway: Collector) -> None:
    """Who speaks no TLS is not answered."""
    gateway.start()
    brief = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1s"}
    status, reason = service("desk", f"http://{gateway.grpc}", brief).record(1)["otlp"]

    assert status == "failed"
    assert "UNAVAILABLE" in str(reason)
