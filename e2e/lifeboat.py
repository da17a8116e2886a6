# SPDX-License-Identifier: Apache-2.0
"""The sidecar as a person uses it: a policy, a directory of secrets, and the command line."""

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import host
from azure import AzureServer
from postgres import Postgres
from s3 import REGION, S3Server, S3Store

PASSWORD = "the sidecar's own password"


@dataclass(frozen=True)
class Failure:
    """What a command says when it fails, the same on stderr and with `-o json`."""
    kind: str
    message: str

    def names(self, *texts: object) -> None:
        """The message has all these texts: the field, the value, the remedy."""
        missing = [str(text) for text in texts if str(text) not in self.message]
        assert not missing, f"{missing} missing in: {self.message}"


class Lifeboat:
    """A policy below `home` that backs up into the directory `home`/bucket until it is told otherwise. Change `spec`
    and the files in `secrets` at will: the policy is written anew for each command."""

    def __init__(self, home: Path, program: Path, name: str = "shop", namespace: str = "default"):
        self.home = home if home.exists() else host.make_directory(home, 0o755)
        self.program = program
        self.name, self.namespace = name, namespace
        self.policy = self.home / "policy.yaml"
        self.secrets = host.make_directory(self.home / "secrets")
        self.bucket = host.make_directory(self.home / "bucket")
        self.add_secret("password", PASSWORD)
        self.add_secret("k1", new_key())
        self.spec = {
            "connection": {"passwordKey": "password"},
            "regions": [{"name": "here", "file": {"path": str(self.bucket)}}],
            "encryption": {"keys": ["k1"]},
        }

    def add_secret(self, key: str, value: str) -> None:
        path = self.secrets / key
        path.write_text(value + "\n")
        path.chmod(0o600)
        host.own(path)

    def add_directory(self, name: str) -> Path:
        """One more region, a directory."""
        path = host.make_directory(self.home / name)
        self.spec["regions"].append({"name": name, "file": {"path": str(path)}})
        return path

    def use_s3(self, server: S3Server, bucket: str, virtual_host: bool = False) -> None:
        """One region, in an S3 bucket."""
        self.spec["regions"] = []
        self.add_s3("s3", server, bucket, virtual_host)

    def add_s3(self, name: str, server: S3Store, bucket: str, virtual_host: bool = False) -> None:
        """One more region, in an S3 bucket. Only an S3Server has virtual hosts."""
        self.add_secret(f"{name}.access-key-id", server.access_key)
        self.add_secret(f"{name}.secret-access-key", server.secret_key)
        self.add_secret(f"{name}.ca.crt", server.ca.read_text())
        self.spec["regions"].append({"name": name, "s3": {
            "bucket": bucket, "prefix": "some/where", "region": REGION, "credentials": name, "caKey": f"{name}.ca.crt",
            "endpoint": server.host_endpoint if virtual_host else server.endpoint, "pathStyle": not virtual_host}})

    def use_azure(self, server: AzureServer, container: str, **rest) -> None:
        """One region, in a container of Azure; with the account's key unless `rest` says otherwise."""
        self.add_secret("azure.account-key", server.key)
        self.add_secret("azure.ca.crt", server.ca.read_text())
        self.spec["regions"] = [{"name": "azure", "azure": {
            "container": container, "account": server.account, "prefix": "some/where", "endpoint": server.endpoint,
            "caKey": "azure.ca.crt", **(rest or {"credentials": "azure"})}}]

    def take_time(self) -> None:
        """Seconds even for an empty cluster, so that a test comes in time for the middle of a backup."""
        self.spec |= {"compression": {"level": 19}, "parallelism": {"workers": 1}}

    # Commands

    def write_policy(self) -> None:
        """JSON is YAML."""
        document = {"apiVersion": "lifeboat.dev/v1alpha1", "kind": "BackupPolicy",
                    "metadata": {"name": self.name, "namespace": self.namespace}, "spec": self.spec}
        self.policy.write_text(json.dumps(document, indent=2))

    def argv(self, command: str, *arguments) -> list:
        self.write_policy()
        return [self.program, command, "-f", self.policy, "--secrets", self.secrets, *arguments]

    def run(self, command: str, *arguments, **options) -> subprocess.CompletedProcess:
        """Options are those of host.run."""
        return host.run(self.argv(command, *arguments), **options)

    def json(self, command: str, *arguments, **options):
        return json.loads(self.run(command, "-o", "json", *arguments, **options).stdout)

    def failure(self, command: str, *arguments, **options) -> Failure:
        """Runs a command that has to fail: exit status 1, and the same error wherever one looks."""
        done = self.run(command, "-o", "json", *arguments, check=False, **options)
        return failure_of(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def running(self, command: str, *arguments, **options) -> Iterator[subprocess.Popen]:
        """The command in the background; `outcome` waits for its end."""
        with host.running(self.argv(command, "-o", "json", *arguments), text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **options) as process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGCONT)  # in case a test has paused it and failed

    def backup(self, server: Postgres, *arguments, **options) -> dict:
        """The manifest."""
        return self.json("backup", *at(server), *arguments, **options)

    def list(self) -> list[dict]:
        return self.json("list")

    def restore(self, to: Path, *arguments, **options) -> dict:
        return self.json("restore", "--to", to, *arguments, **options)

    # What lies in the bucket

    def repository(self) -> Path:
        """The one repository in the directory."""
        [found] = (self.bucket / f"{self.namespace}.{self.name}").iterdir()
        return found

    def objects(self) -> dict[str, tuple[int, int, int]]:
        """Every file of the directory with what changes when somebody writes to it."""
        return {str(path.relative_to(self.bucket)): (path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_size)
                for path in self.bucket.rglob("*") if path.is_file()}


def at(server: Postgres) -> list:
    """The options that say where the server is."""
    return ["--host", server.home, "--port", str(server.port)]


def wait_until_nobody_answers(copy: Postgres) -> None:
    """What answered the wal-fetch of a server that has ended ends by itself, but later."""
    socket = copy.data / "pg_wal" / "lifeboat.socket"
    host.wait_until(lambda: not socket.exists(), "what answers wal-fetch has ended with the server")


def new_key() -> str:
    """As `openssl rand -base64 32` prints it."""
    return base64.b64encode(os.urandom(32)).decode()


def failure_of(status: int, stdout: str, stderr: str) -> Failure:
    assert status == 1, f"exit status {status}\n{stdout}{stderr}"
    assert stdout, f"no JSON on stdout, but on stderr:\n{stderr}"
    on_stdout = documents(stdout)[-1]["error"]
    on_stderr = documents(stderr)[-1]
    assert on_stderr["level"] == "error"
    assert (on_stdout["kind"], on_stdout["message"]) == (on_stderr["kind"], on_stderr["error"])
    print(on_stdout["message"])
    return Failure(on_stdout["kind"], on_stdout["message"])


def documents(text: str) -> list:
    """The JSON documents that stand one after the other in text."""
    found, rest = [], text.lstrip()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return found


def outcome(process: subprocess.Popen, timeout_s: float = 300) -> subprocess.CompletedProcess:
    stdout, stderr = process.communicate(timeout=timeout_s)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def wait_for(process: subprocess.Popen, condition: Callable[[], bool], what: str) -> None:
    """Waits closely for a moment in the life of a running command."""
    deadline = time.monotonic() + host.PATIENCE_S
    while not condition():
        assert process.poll() is None, f"ended before {what}: {outcome(process)}"
        assert time.monotonic() < deadline, f"waited {host.PATIENCE_S} s in vain until {what}"
        time.sleep(0.002)


@contextmanager
def paused(process: subprocess.Popen) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def peak_memory_bytes(process: subprocess.Popen) -> int:
    """Waits for the end; its peak as the kernel counts it. (rusage would count what Python had before exec.)"""
    peak = 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = int(line.split()[1]) * 1024
        time.sleep(0.01)
    return peak
