"""`make stack`: what `docker-compose.yml` starts, as processes of this machine, with the same
configuration files. Runs until Ctrl-C; with `--check` it stops the demo as soon as Prometheus has
its numbers, and compares what Prometheus says with what the demo archived.

Ends with 1 when a process does not come up or a total differs, and with 77 where the kernel gives
no network of its own (`--apart`).
"""

import argparse
import contextlib
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from tests.collector_config.naming import differences
from tests.collector_config.prometheus3 import query
from tests.collector_config.running import asked
from tests.collector_config.totals import archived, counting
from tests.conftest import INSTALL, located
from tests.stack.composition import Service, services
from tests.torture.mounts import unshare

PATIENCE_S: Final = 120.0
"""How long all of it may take to come up, and the totals to arrive."""
END_S: Final = 15.0
EXIT_NOT_RUN: Final = 77
PROMETHEUS: Final = "http://127.0.0.1:9090"
_NEW_USER: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000


class StackError(Exception):
    """The stack does not run, or its numbers are wrong; the text is for the terminal."""


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make stack ARGS=", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare the demo's totals, and end")
    parser.add_argument("--folder", type=Path, help="where its files go, and stay")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="in seconds")
    parser.add_argument(
        "--apart", action="store_true", help="with a loopback of its own, where no port is taken"
    )
    asked_for = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    if asked_for.apart:
        try:
            _apart()
        except OSError as error:
            print(f"not run: no network of its own: {error}", file=sys.stderr)
            return EXIT_NOT_RUN
    with contextlib.ExitStack() as stack:
        folder = asked_for.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="otel-metrics-stack-"))
        )
        try:
            running = stack.enter_context(_running(folder, asked_for.patience))
            if asked_for.check:
                _check(running["demo"], folder, asked_for.patience)
            else:
                print("Ctrl-C ends it.", flush=True)
                while all(process.poll() is None for process in running.values()):
                    time.sleep(1)
                raise StackError("a process ended")
        except (StackError, OSError, subprocess.TimeoutExpired) as error:
            print(error, file=sys.stderr)
            print(_last_words(folder), file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


@contextlib.contextmanager
def _running(folder: Path, patience_s: float) -> Iterator[Mapping[str, "subprocess.Popen[bytes]"]]:
    """Start everything, each when the one before is healthy, and end them from the last one on."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    started, left_out = services(folder)
    try:
        deadline = time.monotonic() + patience_s
        for service in started:
            process = _start(service)
            if service.is_task:
                if process.wait(patience_s) != 0:
                    raise StackError(f"{service.name} ended with {process.returncode}")
                continue
            running[service.name] = process
            if service.health is not None:
                _await(service, process, service.health, deadline)
        for name, why in left_out.items():
            print(f"{name:<11} not run: {why}", flush=True)
        yield running
    finally:
        for process in reversed(running.values()):
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(service: Service) -> "subprocess.Popen[bytes]":
    program, *arguments = service.command
    path = located(program)
    if path is None:
        raise StackError(f"{program} is not installed: {INSTALL[program]}")
    service.folder.mkdir(parents=True, exist_ok=True)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    with _log(service.folder).open("wb") as log:
        return subprocess.Popen(
            [path, *arguments],
            cwd=service.folder,
            env={**clean, **service.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is ours alone: who sends ends before who takes
        )


def _await(service: Service, process: "subprocess.Popen[bytes]", url: str, deadline: float) -> None:
    """Wait until a service is healthy, as its container's check would find it."""
    while process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            asked(url)
            print(f"{service.name:<11} {url}", flush=True)
            return
        if time.monotonic() > deadline:
            raise StackError(f"{service.name}: not healthy at {url}")
        time.sleep(0.1)
    raise StackError(f"{service.name} ended with {process.returncode}")


def _check(demo: "subprocess.Popen[bytes]", folder: Path, patience_s: float) -> None:
    """End the demo, and wait until Prometheus has every total that it archived."""
    deadline = time.monotonic() + patience_s
    while not query(PROMETHEUS, "skill_executions_total > 50"):
        if demo.poll() is not None or time.monotonic() > deadline:
            raise StackError("nothing of the demo arrives in Prometheus")
        time.sleep(0.5)
    demo.send_signal(signal.SIGINT)
    demo.wait(patience_s)
    wanted = archived(folder / "volumes" / "archive")
    while missing := differences(
        wanted, counting(lambda expression: query(PROMETHEUS, expression))
    ):
        if time.monotonic() > deadline:
            raise StackError("\n".join(missing))
        time.sleep(0.5)
    print(f"{len(wanted)} totals of the demo's archive are in Prometheus, exactly")


def _apart() -> None:
    """Give this process a network of its own, with a loopback that is up."""
    unshare(_NEW_NETWORK | (0 if os.geteuid() == 0 else _NEW_USER))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sh", b"lo", 1)  # SIOCSIFFLAGS, IFF_UP
        fcntl.ioctl(any_socket, 0x8914, up)


def _last_words(folder: Path) -> str:
    """Return the end of each log."""
    logs = ((log.parent.name, log.read_text(errors="replace")) for log in folder.glob("*/*.log"))
    return "\n".join(f"== {name}\n" + "\n".join(log.splitlines()[-10:]) for name, log in logs)


def _log(folder: Path) -> Path:
    return folder / "output.log"


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
