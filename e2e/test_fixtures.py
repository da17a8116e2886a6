# SPDX-License-Identifier: Apache-2.0
"""The fixtures themselves: a scenario can only prove something if these can fail."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from botocore.exceptions import ClientError

import host
from postgres import Postgres, assert_same_data, assert_sound, assert_verified
from s3 import S3Store


def test_a_copy_made_by_pg_basebackup_passes_every_comparison(cluster, workspace, major):
    source = cluster(major)
    source.add_tablespace("fast")
    source.sql("CREATE TABLE t TABLESPACE fast AS SELECT i, repeat('x', i) FROM generate_series(1, 1000) i")
    source.pgbench("--initialize", "--quiet")
    with source.load():
        standby = cluster.standby(source)
    standby.wait_for_replay(source)
    assert_same_data(source, standby)

    target = workspace / "copy"
    copy = cluster.adopt(Postgres(major, target))
    source.tool("pg_basebackup", "--pgdata", copy.data, "--checkpoint=fast",
                "--tablespace-mapping", f"{source.home}/tablespace-fast={target}/tablespace-fast")
    assert_verified(major, copy.data)
    copy.start()
    assert_same_data(source, copy)
    assert_sound(copy)

    copy.sql("UPDATE t SET repeat = 'y' WHERE i = 500")
    with pytest.raises(AssertionError, match="pg_dump --no-unlogged-table-data postgres differs"):
        assert_same_data(source, copy)


def test_damage_is_found(cluster, workspace, major):
    source = cluster(major, checksums=False)
    source.sql("CREATE TABLE t AS SELECT generate_series(1, 10000) i; CREATE INDEX ON t (i); CHECKPOINT")
    relation = source.data / source.sql("SELECT pg_relation_filepath('t')")
    source.stop()
    with open(relation, "r+b") as file:
        file.seek(8192 + 4096)
        file.write(b"\xff" * 4000)
    source.start()
    with pytest.raises(AssertionError, match="pg_amcheck"):
        assert_sound(source)


def test_the_role_of_the_sidecar_logs_in_with_its_password_only(cluster, major):
    server = cluster(major)
    server.add_role("a password")
    login = {"user": "lifeboat", "host": "127.0.0.1"}
    with server.connect(password="a password", **login) as connection:
        assert connection.execute("SELECT current_setting('is_superuser')").fetchone() == ("off",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        server.connect(password="another", **login)


def test_data_checksums_are_a_choice(cluster, major):
    for checksums in (True, False):
        server = cluster(major, name=f"checksums-{checksums}", checksums=checksums)
        assert server.sql("SHOW data_checksums") == ("on" if checksums else "off")


def test_s3_speaks_both_styles_over_verified_tls(s3):
    s3.make_bucket("fixtures")
    s3.client().put_object(Bucket="fixtures", Key="a/b", Body=b"hello", IfNoneMatch="*")
    assert s3.keys("fixtures") == ["a/b"]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.client().put_object(Bucket="fixtures", Key="a/b", Body=b"again", IfNoneMatch="*")
    url = s3.host_endpoint.replace("//", "//fixtures.") + "/a/b"
    signed = ["curl", "--silent", "--show-error", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3",
              "--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--user", f"{s3.access_key}:{s3.secret_key}", url]
    assert host.run([*signed, "--cacert", s3.ca]).stdout == "hello"
    assert host.run(signed, check=False).returncode == 60  # the certificate's issuer is unknown


def ask(store: S3Store, timeout_s: float = 60) -> tuple[int, str, float]:
    """curl's exit status, the status of the answer to a request without signature, and how long that took."""
    done = host.run(["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{time_total}",
                     "--max-time", str(timeout_s), "--cacert", store.ca, store.endpoint], check=False)
    status, seconds = done.stdout.split()
    return done.returncode, status, float(seconds)


def test_a_proxy_makes_an_s3_server_sick_and_well_again(flaky_s3):
    flaky_s3.make_bucket("flaky")
    with flaky_s3.proxy.delayed(300):
        failure, status, seconds = ask(flaky_s3)
        assert (failure, status) == (0, "403") and seconds > 0.6  # a handshake, and the answer
    with flaky_s3.proxy.stalled():
        assert ask(flaky_s3, timeout_s=1)[:2] == (28, "000")
    with flaky_s3.proxy.resetting():
        assert ask(flaky_s3)[:2] in [(35, "000"), (56, "000")]
    with flaky_s3.busy():
        assert ask(flaky_s3)[:2] == (0, "503")
        with pytest.raises(ClientError, match="SlowDown"):
            flaky_s3.client().put_object(Bucket="flaky", Key="a", Body=b"x" * 100000)
    assert ask(flaky_s3)[:2] == (0, "403")
    flaky_s3.client().put_object(Bucket="flaky", Key="a", Body=b"hello")
    assert flaky_s3.server.read("flaky", "a") == flaky_s3.read("flaky", "a") == b"hello"


def test_a_stall_begins_and_ends_in_the_middle_of_a_connection(flaky_s3):
    flaky_s3.make_bucket("stalled")
    client = flaky_s3.client()
    client.list_buckets()  # so that there is a connection
    with ThreadPoolExecutor() as thread:
        with flaky_s3.proxy.stalled():
            request = thread.submit(client.put_object, Bucket="stalled", Key="a", Body=b"hello")
            with pytest.raises(TimeoutError):
                request.result(1)
        request.result(60)  # the end of the stall has closed the connection, and the client tries another
    assert flaky_s3.server.read("stalled", "a") == b"hello"


def test_a_killed_server_has_all_that_was_committed(cluster, newest):
    server = cluster(newest)
    server.sql("CREATE TABLE t AS SELECT 1 AS i")
    with server.connect() as session:
        session.execute("INSERT INTO t VALUES (2)")
        server.kill()
        assert not server.is_running()
        with pytest.raises(psycopg.OperationalError):
            session.execute("INSERT INTO t VALUES (3)")
    assert server.start().sql("SELECT array_agg(i) FROM t") == "{1}"


def test_a_program_runs_with_an_s3_server_in_its_environment():
    script = ('curl --silent --output /dev/null --write-out "%{http_code}" '
              '--cacert "$LIFEBOAT_TEST_S3_CA" "$LIFEBOAT_TEST_S3_ENDPOINT"')
    done = subprocess.run([host.tools() / "venv/bin/python", host.E2E / "s3.py", "sh", "-c", script],
                          check=True, capture_output=True, text=True)
    assert done.stdout == "403"
