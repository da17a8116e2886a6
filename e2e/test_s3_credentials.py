# SPDX-License-Identifier: Apache-2.0
"""Who signs what goes to S3: keys that change in the middle of a backup, keys that are lent to a role; and what is put
there under retention."""

import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import host
import lifeboat as command_line
from lifeboat import PASSWORD, Lifeboat, at
from postgres import Postgres, assert_verified
from s3 import S3Server

LENT = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{AccessKeyId}</AccessKeyId>
<SecretAccessKey>{SecretAccessKey}</SecretAccessKey><Expiration>{Expiration}</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


@pytest.fixture(scope="module")
def server(shared_cluster, newest) -> Postgres:
    server = shared_cluster(newest)
    server.add_role(PASSWORD)
    server.sql("CREATE TABLE t AS SELECT i, md5(i::text) AS text FROM generate_series(1, 100000) i")
    return server


@pytest.fixture
def gateway(workspace) -> Iterator[S3Server]:
    """A server of the test's own, whose keys it may change."""
    server = S3Server(workspace / "gateway")
    try:
        yield server.start()
    finally:
        server.end()


def test_keys_may_change_in_the_middle_of_a_backup(lifeboat, server, gateway, newest):
    def packs() -> list[str]:
        return [key for key in gateway.keys(bucket) if "/packs/" in key]

    bucket = gateway.make_bucket("changing")
    lifeboat.use_s3(gateway, bucket)
    lifeboat.take_time()
    with lifeboat.running("backup", *at(server)) as process:
        host.wait_until(lambda: process.poll() is not None or any("/running/" in key for key in gateway.keys(bucket)),
                        "the backup is under way")
        before = packs()
        gateway.end()
        gateway.access_key, gateway.secret_key = "another-access", "another-secret"
        lifeboat.use_s3(gateway, bucket)
        gateway.start()
        assert process.poll() is None
        done = command_line.outcome(process)
    assert done.returncode == 0, done.stderr
    assert len(packs()) > len(before)
    assert "Took new credentials" in done.stderr
    assert gateway.secret_key not in done.stderr
    lifeboat.restore(lifeboat.home / "new")
    assert_verified(newest, lifeboat.home / "new")


def test_keys_that_are_wrong_and_stay_so_are_told(lifeboat, server, gateway):
    lifeboat.use_s3(gateway, gateway.make_bucket("wrong"))
    lifeboat.add_secret("s3.secret-access-key", "notthisone")
    lifeboat.failure("backup", *at(server)).names("check the two keys that s3.credentials names")


@contextmanager
def lending(gateway: S3Server, asked: list) -> Iterator[str]:
    """The URL of a service that lends the gateway's keys: STS, and the agent of a node. `asked` gets what it was sent.
    The gateway takes no session tokens, so none is lent; sidecar/tests/test_store_s3_faults.c sees that they are sent."""
    expires = datetime.now(timezone.utc) + timedelta(hours=1)
    key = {"AccessKeyId": gateway.access_key, "SecretAccessKey": gateway.secret_key,
           "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}

    class Lender(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.answer(LENT.format(**key))

        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            self.answer(json.dumps(key))

        def answer(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_) -> None:
            pass

    lender = ThreadingHTTPServer(("127.0.0.1", 0), Lender)
    thread = threading.Thread(target=lender.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{lender.server_port}"
    finally:
        lender.shutdown()
        thread.join()
        lender.server_close()


def use_role(lifeboat: Lifeboat, gateway: S3Server, bucket: str, auth: str) -> None:
    lifeboat.use_s3(gateway, bucket)
    region = lifeboat.spec["regions"][0]["s3"]
    del region["credentials"]
    region["auth"] = auth
    for key in ("s3.access-key-id", "s3.secret-access-key"):
        (lifeboat.secrets / key).unlink()


def test_the_token_of_a_service_account_is_enough(lifeboat, server, gateway, newest):
    use_role(lifeboat, gateway, gateway.make_bucket("identity"), "WebIdentity")
    lifeboat.failure("list").names("AWS_WEB_IDENTITY_TOKEN_FILE", "is not set")
    token = lifeboat.home / "token"
    token.write_text("header.payload.signature\n")
    host.own(token)
    asked = []
    with lending(gateway, asked) as url:
        environment = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": "arn:aws:iam::1:role/shop",
                       "AWS_ENDPOINT_URL_STS": url}
        lifeboat.backup(server, env=environment)
        assert len(asked) == 1  # for all requests of the backup
        assert asked[0]["WebIdentityToken"] == ["header.payload.signature"]
        assert asked[0]["RoleArn"] == ["arn:aws:iam::1:role/shop"]
        lifeboat.restore(lifeboat.home / "new", env=environment)
    assert_verified(newest, lifeboat.home / "new")


def test_the_role_of_the_machine_is_enough(lifeboat, server, gateway, newest):
    use_role(lifeboat, gateway, gateway.make_bucket("machine"), "Instance")
    token = lifeboat.home / "token"
    token.write_text("pod-token\n")
    host.own(token)
    asked = []
    with lending(gateway, asked) as url:
        environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/v1/credentials",
                       "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)}
        lifeboat.backup(server, env=environment)
        assert asked == ["pod-token"]
        lifeboat.restore(lifeboat.home / "new", env=environment)
    assert_verified(newest, lifeboat.home / "new")


def test_what_is_put_under_retention_stays(lifeboat, server, s3, newest):
    bucket = s3.make_bucket("retention", locked=True)
    lifeboat.use_s3(s3, bucket)
    lifeboat.spec["regions"][0]["s3"]["objectLock"] = {"days": 2}
    earliest = datetime.now(timezone.utc) + timedelta(days=2, minutes=-1)
    lifeboat.backup(server)
    latest = datetime.now(timezone.utc) + timedelta(days=2, minutes=1)
    keys = s3.keys(bucket)
    assert any("/manifests/" in key for key in keys) and not any("/running/" in key for key in keys)
    for key in keys:
        found = s3.client().head_object(Bucket=bucket, Key=key)
        assert found["ObjectLockMode"] == "GOVERNANCE"
        assert earliest <= found["ObjectLockRetainUntilDate"] <= latest
    lifeboat.restore(lifeboat.home / "new")
    assert_verified(newest, lifeboat.home / "new")
    lifeboat.use_s3(s3, s3.make_bucket("no-retention"))
    lifeboat.spec["regions"][0]["s3"]["objectLock"] = {"days": 2}
    lifeboat.failure("backup", *at(server)).names("ObjectLockConfiguration")
