"""The token, the password and the certificates of agents and gateways."""

from dataclasses import dataclass
from pathlib import Path

from tests.collector_config.certificates import Authority

__all__ = ["TOKEN", "Secrets", "make_secrets"]

TOKEN = "0123456789abcdef"
"""What every secret is."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What agent and gateway share, and the variables that say where it is."""

    authority: Authority
    token: Path
    cert: Path
    key: Path
    env: dict[str, str]


def make_secrets(folder: Path) -> Secrets:
    """Make a token, a password, an authority and a certificate for the gateway in a new folder."""
    folder.mkdir()
    token, cert, key = folder / "token", folder / "gateway.crt", folder / "gateway.key"
    password = folder / "kafka-password"
    token.write_text(f"{TOKEN}\n")
    password.write_text(TOKEN)
    for file in (token, password):
        file.chmod(0o600)
    authority = Authority.create(folder)
    authority.certify(cert, key)
    env = {
        "OTELCOL_TOKEN_FILE": token,
        "OTELCOL_CA_FILE": authority.certificate_file,
        "OTELCOL_CERT_FILE": cert,
        "OTELCOL_KEY_FILE": key,
        "OTELCOL_KAFKA_PASSWORD_FILE": password,
    }
    return Secrets(authority, token, cert, key, {name: str(path) for name, path in env.items()})
