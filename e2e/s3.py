# SPDX-License-Identifier: Apache-2.0
"""A throw-away S3 server (versitygw over a directory) with TLS from a certificate authority of its own.

As a program: `s3.py COMMAND...` runs a command that finds such a server, with an empty bucket, in its environment:
LIFEBOAT_TEST_S3_ENDPOINT, _HOST_ENDPOINT (for virtual-host style), _CA (file), _BUCKET, _LOCKED_BUCKET (with Object
Lock), _ACCESS_KEY, _SECRET_KEY.
"""

import datetime
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import botocore.config

import host
from certificates import Authority

REGION = "us-east-1"
DOMAIN = "s3.localhost"  # names below localhost need no name server: libcurl itself knows what they mean
ALTERNATIVE_NAMES = ("IP:127.0.0.1", "DNS:localhost", f"DNS:{DOMAIN}", f"DNS:*.{DOMAIN}")


class S3Store:
    """What one has to know of an S3 server to use it."""

    def __init__(self, endpoint: str, ca: Path, access_key: str, secret_key: str):
        self.endpoint, self.ca = endpoint, ca
        self.access_key, self.secret_key = access_key, secret_key

    def client(self):
        """A boto3 client, to look at buckets and to damage them."""
        config = botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
        return boto3.client("s3", endpoint_url=self.endpoint, verify=str(self.ca), region_name=REGION, config=config,
                            aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key)

    def make_bucket(self, name: str, locked: bool = False) -> str:
        """`locked`: with Object Lock, so that objects may have a retention."""
        self.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=locked)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        return list(self.marks(bucket, prefix))

    def marks(self, bucket: str, prefix: str = "") -> dict[str, tuple]:
        """Each key with what changes when somebody writes to its object."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {found["Key"]: (found["ETag"], found["LastModified"], found["Size"])
                for page in pages for found in page.get("Contents", [])}

    def read(self, bucket: str, key: str) -> bytes:
        return self.client().get_object(Bucket=bucket, Key=key)["Body"].read()

    def shorten_retention(self, bucket: str, key: str, until: datetime.datetime) -> None:
        """To a moment that is to come; an administrator may do so in governance mode."""
        self.client().put_object_retention(Bucket=bucket, Key=key, BypassGovernanceRetention=True,
                                           Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until})

    def answers(self) -> bool:
        try:
            self.client().list_buckets()
        except botocore.exceptions.EndpointConnectionError:
            return False
        return True


def gateway(home: Path, address: str, *options) -> list:
    """The command of an S3 server at address:port whose buckets are the directories in `home`/objects; it finds its
    keys in its environment and its certificate in `home`."""
    return [host.tools() / "versitygw" / "bin" / "versitygw", "--port", address, "--region", REGION, "--keep-alive",
            "--cert", home / "server.crt", "--key", home / "server.key", *options, "posix", home / "objects"]


def gateway_environment(store: S3Store) -> dict[str, str]:
    return {"ROOT_ACCESS_KEY_ID": store.access_key, "ROOT_SECRET_ACCESS_KEY": store.secret_key}


class S3Server(S3Store):
    def __init__(self, home: Path, access_key: str = "lifeboat-access", secret_key: str = "lifeboat-secret"):
        self.home = home if home.exists() else host.make_directory(home, 0o755)
        self.port = host.free_port()
        super().__init__(f"https://127.0.0.1:{self.port}", home / "ca.crt", access_key, secret_key)
        self.objects = home / "objects"  # <bucket>/<key> are plain files
        self.log = home / "log"
        self._process: subprocess.Popen | None = None

    @property
    def host_endpoint(self) -> str:
        """The endpoint below which every bucket has a host name of its own (virtual-host style)."""
        return f"https://{DOMAIN}:{self.port}"

    def start(self) -> "S3Server":
        """Also starts again, on the same port and objects, after `end`."""
        if not self.objects.exists():
            host.make_directory(self.objects)
            Authority(self.home, "Lifeboat test CA").issue("server", "/CN=Lifeboat test S3", *ALTERNATIVE_NAMES)
        argv = gateway(self.home, f"127.0.0.1:{self.port}", "--virtual-domain", f"{DOMAIN}:{self.port}")
        with open(self.log, "a") as log:
            self._process = host.spawn(argv, env=gateway_environment(self), stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log)
        try:
            host.wait_until(self._answers, "the S3 server answers")
        except BaseException:
            self.end()
            raise
        return self

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It takes connections, as the kernel does, and answers nothing while the block runs."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        if self._process is not None:
            host.end(self._process)
            self._process = None

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"the S3 server ended by itself:\n{self.log.read_text()}")
        return self.answers()


def main(argv: list[str]) -> int:
    with host.workspace() as home:
        server = S3Server(home / "s3")
        try:
            server.start().make_bucket("lifeboat")
            server.make_bucket("lifeboat-locked", locked=True)
            found = {"ENDPOINT": server.endpoint, "HOST_ENDPOINT": server.host_endpoint, "CA": str(server.ca),
                     "BUCKET": "lifeboat", "LOCKED_BUCKET": "lifeboat-locked", "ACCESS_KEY": server.access_key, "SECRET_KEY": server.secret_key}
            return host.delegate(argv, {f"LIFEBOAT_TEST_S3_{name}": value for name, value in found.items()})
        finally:
            server.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
