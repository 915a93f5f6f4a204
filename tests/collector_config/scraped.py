"""A service that records everything, and a Prometheus that scrapes it and evaluates the rules."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.collector_config.running import DEADLINE_S, asked, free_port, until

REPOSITORY = Path(__file__).parents[2]
RULES = REPOSITORY / "collector-config" / "prometheus" / "rules"


class Prometheus:
    """The API of a Prometheus that runs at a URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **form: str) -> Any:
        """Return the data of an answer; an error of the query is a `RuntimeError`."""
        body = urllib.parse.urlencode(form).encode() or None  # without one it is a GET
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", body)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{form}: {error.read().decode()}") from error

    def series(self, query: str) -> list[Any]:
        """Return the series that a query gives now, without those that are not a number."""
        found = self.ask("query", query=query)["result"]
        return [series for series in found if series["value"][1] != "NaN"]

    def wait_for(self, *queries: str) -> list[str]:
        """Ask until each query has given a series; return those that have not in time."""
        missing = list(queries)

        def found() -> bool:
            missing[:] = [query for query in missing if not self.series(query)]
            return not missing

        with contextlib.suppress(AssertionError):
            until(found, str)
        return missing


@contextmanager
def running(program: str, folder: Path) -> Iterator[Prometheus]:
    """Start both; Prometheus scrapes and evaluates each second."""
    with service() as port:
        configuration = {
            "global": {
                "scrape_interval": "1s",
                "scrape_timeout": "1s",
                "evaluation_interval": "1s",
            },
            "rule_files": [f"{RULES}/*.yml"],
            "scrape_configs": [
                {"job_name": "shop", "static_configs": [{"targets": [f"localhost:{port}"]}]}
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        with started(program, folder) as prometheus:
            yield prometheus


@contextmanager
def service(**settings: str) -> Iterator[int]:
    """Start the service, with settings of its page, and give the page's port."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    env |= {f"OTEL_EXPORTER_PROMETHEUS_{key.upper()}": value for key, value in settings.items()}
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name("everything.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(DEADLINE_S)


@contextmanager
def started(program: str, folder: Path, *flags: str) -> Iterator[Prometheus]:
    """Start a Prometheus with the configuration in a folder."""
    log = folder / "prometheus.log"
    command = [program, f"--config.file={folder / 'prometheus.yml'}", "--log.level=warn", *flags]
    command += [f"--storage.tsdb.path={folder / 'data'}"]
    with free_port() as port, open(log, "wb") as output:
        command += [f"--web.listen-address=127.0.0.1:{port}"]
        server = subprocess.Popen(command, stdout=output, stderr=output)
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: _is_ready(url), log.read_text)
            yield Prometheus(url)
        finally:
            server.terminate()
            server.wait(DEADLINE_S)


def _is_ready(url: str) -> bool:
    try:
        asked(f"{url}/-/ready")
    except OSError as error:  # it does not listen yet, or answers 503
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        return False
    return True
