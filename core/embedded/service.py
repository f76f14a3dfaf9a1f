"""The whole service by one command: broker, database, API, dashboard, and a worker per device."""

import fcntl
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError

from core import keys
from core.database.migrate import upgrade
from core.database.sessions import make_engine
from core.embedded.broker import broker_command, wait_for_broker
from core.embedded.devices import devices
from core.embedded.parts import Part
from core.settings import Settings

READY_WITHIN_S = 120.0
LOOK_S = 0.2
WORKER = "worker"


class ServiceError(RuntimeError):
    """The service cannot start; the message says what to change."""


class Service:
    """`run` returns when a signal has come and every part has ended."""

    def __init__(self, settings: Settings) -> None:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.settings = settings.model_copy(update={"port": settings.port or _free_port(settings)})
        self.devices = devices(settings.device)
        self.parts: list[Part] = []
        self._stopping = threading.Event()

    @property
    def url(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.settings.host, self.settings.host)
        return f"http://{host}:{self.settings.port}"

    def run(self) -> None:
        lock = _only_one(self.settings.data_dir)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stopping.set())
        try:
            self._start()
            self._announce()
            while not self._stopping.wait(LOOK_S):
                self._keep_parts()
        finally:
            self._stop()
            os.close(lock)

    def _start(self) -> None:
        if not self.settings.redis_url:
            self._start_part(self._broker())
            wait_for_broker(self.settings.broker_socket)
        _migrate(self.settings)
        self._start_part(self._api())
        for device in self.devices:
            self._start_part(self._worker(device))
        self._wait_until_ready()

    def _start_part(self, part: Part) -> None:
        part.start()
        self.parts.append(part)

    def _broker(self) -> Part:
        folder = self.settings.data_dir / "broker"
        command = broker_command(self.settings.broker_socket, folder)
        return Part("broker", command, os.environ, self._log("broker"))

    def _api(self) -> Part:
        command = [
            *(sys.executable, "-m", "uvicorn", "api.app:create_app", "--factory"),
            *("--host", self.settings.host, "--port", str(self.settings.port)),
            *("--log-level", self.settings.log_level.lower(), "--timeout-graceful-shutdown", "5"),
        ]
        environment = self._environment(bootstrap_key=bootstrap_key(self.settings))
        return Part("api", command, environment, self._log("api"))

    def _worker(self, device: str) -> Part:
        return Part(
            f"{WORKER} on {device}",
            [sys.executable, "-m", "worker"],
            self._environment(device=device, bootstrap_key=""),
            self._log(f"worker-{device.replace(':', '-')}"),
            stop_within_s=self.settings.handover_s + 10,
        )

    def _environment(self, **changed: str) -> dict[str, str]:
        return os.environ | self.settings.model_copy(update=changed).as_environment()

    def _log(self, name: str) -> Path:
        return self.settings.data_dir / "logs" / f"{name}.log"

    def _wait_until_ready(self) -> None:
        """Until the API answers; a part that dies before that will not do better again."""
        deadline = time.monotonic() + READY_WITHIN_S
        while not _answers(f"{self.url}/healthz") and not self._stopping.wait(LOOK_S / 4):
            for part in self.parts:
                if part.exit_code is not None:
                    raise ServiceError(f"the {part.name} did not start:\n{part.last_words()}")
            if time.monotonic() > deadline:
                raise ServiceError(f"the API gave no answer at {self.url}")

    def _keep_parts(self) -> None:
        for part in self.parts:
            if part.keep():
                print(
                    f"the {part.name} has ended ({part.exit_code}); starting it again", flush=True
                )

    def _stop(self) -> None:
        """Workers first, all at once: their jobs are handed over while the rest is still there."""
        for part in self.parts:
            if part.name.startswith(WORKER):
                part.ask_to_stop()
        for part in reversed(self.parts):
            part.stop()

    def _announce(self) -> None:
        data = self.settings.data_dir
        key = "as given" if self.settings.bootstrap_key else f"in {_key_file(self.settings)}"
        print(
            "Rankwise is up.",
            f"  API        {self.url}/v1",
            f"  Dashboard  {self.url}/dashboard",
            f"  Key        {key}",
            f"  Device     {', '.join(self.devices)}",
            f"  Data       {data}, logs in {data / 'logs'}",
            "Ctrl-C stops it; running jobs go on at the next start.",
            sep="\n",
            flush=True,
        )


def bootstrap_key(settings: Settings) -> str:
    """The admin key of a new installation: as set, or made once and kept in a private file."""
    if settings.bootstrap_key:
        return settings.bootstrap_key
    file = _key_file(settings)
    with suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(keys.generate() + "\n")
    return file.read_text().strip()


def _key_file(settings: Settings) -> Path:
    return settings.data_dir / "bootstrap-key"


def _migrate(settings: Settings) -> None:
    engine = make_engine(settings)
    upgrade(engine)
    engine.dispose()


def _only_one(data_dir: Path) -> int:
    descriptor = os.open(data_dir / "service.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ServiceError(f"a service is already running on {data_dir}") from None
    return descriptor


def _free_port(settings: Settings) -> int:
    with socket.socket() as probe:
        probe.bind((settings.host, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
