# SPDX-License-Identifier: Apache-2.0
"""The fixtures themselves: a scenario can only prove something if these can fail."""

import subprocess

import psycopg
import pytest
from botocore.exceptions import ClientError

import host
from postgres import Postgres, assert_same_data, assert_sound, assert_verified


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


def test_a_program_runs_with_an_s3_server_in_its_environment():
    script = ('curl --silent --output /dev/null --write-out "%{http_code}" '
              '--cacert "$LIFEBOAT_TEST_S3_CA" "$LIFEBOAT_TEST_S3_ENDPOINT"')
    done = subprocess.run([host.tools() / "venv/bin/python", host.E2E / "s3.py", "sh", "-c", script],
                          check=True, capture_output=True, text=True)
    assert done.stdout == "403"
