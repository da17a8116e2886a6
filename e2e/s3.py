# SPDX-License-Identifier: Apache-2.0
"""A throw-away S3 server (versitygw over a directory) with TLS from a certificate authority of its own.

As a program: `s3.py COMMAND...` runs a command that finds such a server, with an empty bucket, in its environment:
LIFEBOAT_TEST_S3_ENDPOINT, _HOST_ENDPOINT (for virtual-host style), _CA (file), _BUCKET, _LOCKED_BUCKET (with Object
Lock), _ACCESS_KEY, _SECRET_KEY.
"""

import datetime
import sys
from pathlib import Path

import boto3
import botocore.config

import host
from tls_server import TlsServer

REGION = "us-east-1"
DOMAIN = "s3.localhost"


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


class S3Server(S3Store, TlsServer):
    def __init__(self, home: Path, access_key: str = "lifeboat-access", secret_key: str = "lifeboat-secret"):
        TlsServer.__init__(self, home, "objects", DOMAIN)  # <bucket> has the host name <bucket>.DOMAIN (virtual-host style)
        S3Store.__init__(self, self.endpoint, self.ca, access_key, secret_key)
        self.objects = self.data  # <bucket>/<key> are plain files

    def command(self) -> list:
        return gateway(self.home, f"127.0.0.1:{self.port}", "--virtual-domain", f"{DOMAIN}:{self.port}")

    def environment(self) -> dict[str, str]:
        return gateway_environment(self)


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
