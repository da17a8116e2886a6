# SPDX-License-Identifier: Apache-2.0
"""Everything that a person can get wrong. Each command fails with exit status 1 and says the field, the value and the
remedy, on stderr and in the JSON; and what was backed up before stays as it was."""

import os
import re
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import host
from lifeboat import PASSWORD, Lifeboat, at, new_key
from postgres import ROLE, Postgres


@pytest.fixture(scope="module")
def server(shared_cluster, newest) -> Postgres:
    server = shared_cluster(newest)
    server.add_role(PASSWORD)
    server.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) i")
    return server


@pytest.fixture
def backed_up(lifeboat, server) -> Iterator[Lifeboat]:
    """A policy with one backup, that nothing in the test may touch or add to."""
    lifeboat.backup(server)
    before = lifeboat.objects()
    yield lifeboat
    after = lifeboat.objects()
    assert {name: after.get(name) for name in before} == before
    assert [name for name in after if "/manifests/" in name] == [name for name in before if "/manifests/" in name]


# The command line


@pytest.mark.parametrize("arguments, complaint", [
    ([], "no command"),
    (["destroy"], "unknown command 'destroy'"),
    (["backup"], "backup needs -f FILE"),
    (["restore", "-f", "policy.yaml"], "restore needs --to DIR"),
    (["list", "-f", "policy.yaml", "--to", "/tmp"], "list does not know --to"),
    (["backup", "-f", "policy.yaml", "--type", "half"], "--type 'half': expected full, differential or incremental"),
    (["backup", "-f", "policy.yaml", "--port", "0"], "--port '0': expected a number from 1 to 65535"),
    (["restore", "-f", "policy.yaml", "--to", "x", "--tablespace", "a=b"], "--tablespace 'a=b': expected OLD=NEW"),
])
def test_wrong_usage_is_exit_status_2(program, arguments, complaint):
    done = host.run([program, *arguments], check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


# The policy


POLICY = """\
apiVersion: lifeboat.dev/v1alpha1
kind: BackupPolicy
metadata:
  name: shop
spec:
  regions:
  - name: eu
    s3:
      bucket: backups
      credentials: eu
  encryption:
    keys: [k1]
  compression:
    level: 3
"""


@pytest.mark.parametrize("right, wrong, said", [
    ("bucket:", "bukcet:", [":9:", "spec.regions[0].s3.bukcet", "unknown field", "bucket, prefix"]),
    ("level: 3", "level: three", [":14:", "spec.compression.level", "three", "an integer from 1 to 19"]),
    ("level: 3", "level: 99", [":14:", "spec.compression.level", "99", "1 to 19"]),
    ("[k1]", "k1", [":12:", "spec.encryption.keys", "list"]),
    ("name: shop", "name: Shop!", [":4:", "metadata.name", "Shop!", "DNS label"]),
    ("kind: BackupPolicy", "kind: Backup", [":2:", "kind", "expected BackupPolicy", '"Backup"']),
    ("      credentials: eu\n", "", [":8:", "spec.regions[0].s3.credentials"]),
    ("  encryption:", "\tencryption:", [":11:", "tab"]),
    ("level: 3", "level: 3\n    level: 4", [":15:", "duplicate key 'level'"]),
    ("level: 3", "level: off", [":14:", "'off'", "quotes"]),
])
def test_a_mistake_in_the_policy_is_named_with_its_line(lifeboat, right, wrong, said):
    assert right in POLICY
    lifeboat.write_policy = lambda: lifeboat.policy.write_text(POLICY.replace(right, wrong))
    for command in (["backup"], ["list"], ["restore", "--to", lifeboat.home / "new"]):
        failure = lifeboat.failure(*command)
        assert failure.kind == "permanent"
        failure.names(lifeboat.policy, *said)
    assert not (lifeboat.home / "new").exists()


def test_a_policy_that_is_not_there_is_named(lifeboat):
    lifeboat.write_policy = lambda: None
    lifeboat.failure("list").names(lifeboat.policy, "No such file")


def test_what_would_change_the_backup_but_is_not_supported_yet_is_refused(lifeboat):
    lifeboat.spec["source"] = {"mode": "PerRegion"}
    lifeboat.failure("backup").names("spec.source.mode", "not supported")


# PostgreSQL


def test_a_server_that_is_down_is_named_with_its_address(backed_up, server):
    failure = backed_up.failure("backup", "--host", server.home, "--port", "1")
    assert failure.kind == "transient"
    failure.names(server.home, ".s.PGSQL.1", "is PostgreSQL running there?", "--host and --port")
    with host.dead_port() as port:
        failure = backed_up.failure("backup", "--host", "127.0.0.1", "--port", str(port))
    failure.names("127.0.0.1", "refused", "is PostgreSQL running there?")


def test_a_wrong_password_is_told_without_showing_it(backed_up, server):
    backed_up.add_secret("password", "certainly wrong")
    failure = backed_up.failure("backup", *at(server))
    assert failure.kind == "permanent"
    failure.names("password authentication failed", f'"{ROLE}"', "connection.passwordKey")
    assert "certainly wrong" not in failure.message


def test_a_missing_password_is_told(backed_up, server):
    del backed_up.spec["connection"]["passwordKey"]
    backed_up.failure("backup", *at(server)).names("no password supplied", f'"{ROLE}"', "connection.passwordKey")
    backed_up.spec["connection"]["passwordKey"] = "pasword"
    failure = backed_up.failure("backup", *at(server))
    failure.names("connection.passwordKey", "'pasword'", backed_up.secrets)


def test_an_unknown_role_and_an_unknown_database_are_told(backed_up, server):
    server.allow("local all all trust")
    try:
        backed_up.spec["connection"]["user"] = "nobody"
        backed_up.failure("backup", *at(server)).names('"nobody"', "role.sql", "connection.user")
        del backed_up.spec["connection"]["user"]
        backed_up.spec["connection"]["database"] = "nowhere"
        backed_up.failure("backup", *at(server)).names('"nowhere"', "connection.database")
    finally:
        disallow(server, "local all all trust")


def test_a_superuser_is_refused(backed_up, server):
    failure = backed_up.failure("backup", *at(server), "--user", "postgres")
    failure.names("'postgres'", "superuser", "role.sql", "connection.user")


@pytest.mark.parametrize("taken", [
    f"ALTER ROLE {ROLE} NOREPLICATION",
    f"REVOKE pg_monitor FROM {ROLE}",
    f"REVOKE pg_read_all_settings FROM {ROLE}; REVOKE pg_monitor FROM {ROLE}",
    f"REVOKE EXECUTE ON FUNCTION pg_backup_start(text, boolean) FROM {ROLE}",
    f"REVOKE EXECUTE ON FUNCTION pg_backup_stop(boolean) FROM {ROLE}",
], ids=lambda sql: sql.split(" ON ")[0])
def test_a_missing_privilege_is_named_as_the_statement_that_gives_it(lifeboat, server, taken):
    server.sql(taken)
    failure = lifeboat.failure("backup", *at(server))
    assert failure.kind == "permanent"
    statement = re.search(r"in database 'postgres': (.*;) \(or role.sql\)", failure.message)[1]
    server.sql(statement)
    lifeboat.backup(server)


@pytest.mark.parametrize("database", ["replication", "postgres"])
def test_a_missing_line_of_pg_hba_conf_is_named_so_that_it_can_be_added(lifeboat, server, database):
    for host_options, barrier in ((at(server), f"local {database} {ROLE} reject"),
                                  (["--host", "127.0.0.1", "--port", str(server.port)],
                                   f"host {database} {ROLE} 127.0.0.1/32 reject")):
        server.allow(barrier)
        try:
            failure = lifeboat.failure("backup", *host_options)
            failure.names("pg_hba.conf", "and reload")
            line = re.search(r"reload: '(.*)'", failure.message)[1]
            server.allow(line)
            lifeboat.run("backup", *host_options)
        finally:
            disallow(server, barrier)


def disallow(server: Postgres, line: str) -> None:
    hba = server.data / "pg_hba.conf"
    hba.write_text(hba.read_text().replace(line + "\n", ""))
    server.reload()


def test_a_version_that_is_too_old_is_told(lifeboat):
    with old_server() as port:
        failure = lifeboat.failure("backup", "--host", "127.0.0.1", "--port", str(port))
    assert failure.kind == "permanent"
    failure.names("PostgreSQL 14.11 is not supported", "15, 16, 17 and 18")


@contextmanager
def old_server() -> Iterator[int]:
    """Greets one client as PostgreSQL 14 does and says no more."""
    def message(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("!i", len(content) + 4) + content

    def greet() -> None:
        client, _ = listener.accept()
        with client:
            while struct.unpack("!ii", client.recv(8, socket.MSG_WAITALL))[1] == 80877103:  # may we speak TLS?
                client.sendall(b"N")
            client.sendall(message(b"R", struct.pack("!i", 0)) + message(b"S", b"server_version\x0014.11\x00")
                           + message(b"K", struct.pack("!ii", 1, 1)) + message(b"Z", b"I"))
            client.recv(4096)
            client.recv(4096)  # until it has gone

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


# PGDATA


def test_the_data_directory_of_another_system_is_refused(backed_up, server, cluster, newest):
    other = cluster(newest, name="other")
    failure = backed_up.failure("backup", *at(server), "--pgdata", other.data)
    failure.names(other.data, other.system_identifier(), server.system_identifier(), "--pgdata")


def test_the_data_directory_of_the_standby_is_refused_and_the_other_way_round(lifeboat, cluster, newest):
    primary = cluster(newest)
    primary.add_role(PASSWORD)
    standby = cluster.standby(primary)
    lifeboat.failure("backup", *at(primary), "--pgdata", standby.data).names(standby.data, "standby", "--pgdata")
    lifeboat.failure("backup", *at(standby), "--pgdata", primary.data).names(primary.data, "primary", "--pgdata")
    lifeboat.backup(standby, "--pgdata", standby.data)


def test_a_directory_without_data_is_refused(backed_up, server, workspace):
    backed_up.failure("backup", *at(server), "--pgdata", workspace).names(workspace, "PG_VERSION")
    backed_up.failure("backup", *at(server), "--pgdata", "/nowhere").names("/nowhere", "--pgdata")


# Buckets


def test_a_directory_that_is_not_there_is_named(lifeboat, server):
    lifeboat.spec["regions"][0]["file"]["path"] = "/nowhere"
    for command in (["backup", *at(server)], ["list"]):
        lifeboat.failure(*command).names("'here'", "file.path", "'/nowhere'", "create it, or mount")


def test_a_bucket_that_is_not_there_is_named(lifeboat, server, s3):
    lifeboat.use_s3(s3, "nowhere")
    for command in (["backup", *at(server)], ["list"]):
        failure = lifeboat.failure(*command)
        assert failure.kind == "permanent"
        failure.names("region 's3'", "'nowhere'", "NoSuchBucket", "create the bucket", "s3.bucket")


def test_a_bucket_that_others_own_is_told(lifeboat, server, s3):
    lifeboat.use_s3(s3, s3.make_bucket("foreign"))
    for key, value in (("s3.secret-access-key", "guessed"), ("s3.access-key-id", "stranger")):
        lifeboat.add_secret(key, value)
        failure = lifeboat.failure("backup", *at(server))
        assert failure.kind == "permanent"
        failure.names("region 's3'", "'foreign'", "S3 40", "s3.credentials")
        assert "guessed" not in failure.message
    assert s3.keys("foreign") == []


def test_a_missing_credential_is_named(lifeboat, server, s3):
    lifeboat.use_s3(s3, "any")
    (lifeboat.secrets / "s3.secret-access-key").unlink()
    lifeboat.failure("backup", *at(server)).names("region 's3'", "s3.credentials", "'s3.secret-access-key'",
                                                  lifeboat.secrets)


def test_a_certificate_of_an_unknown_issuer_is_refused(lifeboat, server, s3):
    lifeboat.use_s3(s3, s3.make_bucket("unknown-issuer"))
    del lifeboat.spec["regions"][0]["s3"]["caKey"]
    lifeboat.failure("backup", *at(server)).names("region 's3'", "127.0.0.1", "certificate", "CA")


def test_a_bucket_that_does_not_answer_is_tried_again_and_then_named(lifeboat, server, s3):
    lifeboat.use_s3(s3, "any")
    with host.dead_port() as port:
        lifeboat.spec["regions"][0]["s3"]["endpoint"] = f"https://127.0.0.1:{port}"
        failure = lifeboat.failure("backup", *at(server))
    assert failure.kind == "transient"
    failure.names("region 's3'", "127.0.0.1", "gave up after")


def test_a_bucket_that_fails_is_no_matter_while_others_make_the_quorum(lifeboat, server, workspace):
    second = lifeboat.add_directory("second")
    both = lifeboat.backup(server)["id"]
    second.rename(workspace / "away")
    one = lifeboat.backup(server)["id"]
    lifeboat.spec["quorum"] = 2
    failure = lifeboat.failure("backup", *at(server))
    failure.names("'second'", second)
    (workspace / "away").rename(second)
    again = lifeboat.backup(server)["id"]
    assert {entry["id"]: entry["regions"] for entry in lifeboat.list()} == {
        both: ["here", "second"], one: ["here"], again: ["here", "second"]}


# Keys


@pytest.mark.parametrize("key, said", [
    (None, ["spec.encryption.keys[0]", "'k1'", "openssl rand -base64 32"]),
    ("", ["spec.encryption.keys[0]", "'k1'", "is empty"]),
    ("c2hvcnQ=", ["spec.encryption.keys[0]", "'k1'", "32 bytes", "not 5"]),
    ("not base64 at all", ["spec.encryption.keys[0]", "'k1'", "32 bytes in base64"]),
    (new_key(), ["wrong key", "'k1'", "spec.encryption.keys", "the key that the repository was made with"]),
], ids=["missing", "empty", "short", "garbage", "wrong"])
def test_a_key_that_does_not_fit_is_told_and_nothing_is_written(backed_up, server, key, said):
    before = backed_up.objects()
    if key is None:
        (backed_up.secrets / "k1").unlink()
    else:
        backed_up.add_secret("k1", key)
    for command in (["backup", *at(server)], ["list"], ["restore", "--to", backed_up.home / "new"]):
        failure = backed_up.failure(*command)
        failure.names(*said)
        assert not key or key not in failure.message
    assert backed_up.objects() == before
    assert not (backed_up.home / "new").exists()


def test_a_repository_that_is_encrypted_is_not_opened_without_encryption(backed_up, server):
    before = backed_up.objects()
    backed_up.spec["encryption"] = {"mode": "None"}
    for command in (["list"], ["backup", *at(server)]):
        backed_up.failure(*command).names("spec.encryption.mode 'None'", "is encrypted", "set mode: AES256GCM")
    assert backed_up.objects() == before


def test_a_repository_without_encryption_is_not_taken_for_an_encrypted_one(lifeboat, server):
    encrypted, lifeboat.spec["encryption"] = lifeboat.spec["encryption"], {"mode": "None"}
    lifeboat.backup(server)
    before = lifeboat.objects()
    lifeboat.spec["encryption"] = encrypted
    for command in (["list"], ["backup", *at(server)]):
        lifeboat.failure(*command).names("spec.encryption.mode 'AES256GCM'", "is not encrypted", "another prefix")
    assert lifeboat.objects() == before


# Repositories


def test_a_repository_of_another_system_is_refused(lifeboat, server, cluster, newest):
    lifeboat.backup(server)
    other = cluster(newest, name="other")
    other.add_role(PASSWORD)
    ours = lifeboat.repository()
    theirs = ours.parent / other.system_identifier()
    shutil.copytree(ours, theirs)
    for path in [theirs, *theirs.rglob("*")]:
        host.own(path)
    before = lifeboat.objects()
    failure = lifeboat.failure("backup", *at(other))
    failure.names(server.system_identifier(), other.system_identifier(), "another bucket or prefix")
    assert lifeboat.objects() == before


def test_two_systems_under_one_policy_are_told_apart(lifeboat, server, cluster, newest):
    other = cluster(newest, name="other")
    other.add_role(PASSWORD)
    manifests = {one.system_identifier(): lifeboat.backup(one) for one in (server, other)}
    lifeboat.failure("list").names(*manifests, "--system-identifier")
    for system, manifest in manifests.items():
        [entry] = lifeboat.json("list", "--system-identifier", system)
        assert entry["id"] == manifest["id"]


def test_a_repository_of_a_newer_format_is_refused(lifeboat, server):
    lifeboat.backup(server)
    document = lifeboat.repository() / "repository.json"
    document.write_text(document.read_text().replace('"format": 1', '"format": 2'))
    assert '"format": 2' in document.read_text()
    before = lifeboat.objects()
    for command in (["backup", *at(server)], ["list"], ["restore", "--to", lifeboat.home / "new"]):
        lifeboat.failure(*command).names("repository.json", "format", "2", "newer")
    assert lifeboat.objects() == before


def test_a_repository_without_backups_is_told(lifeboat):
    lifeboat.failure("list").names("no backup was made under policy 'default/shop'")


def test_an_unknown_backup_is_told_with_those_that_there_are(backed_up):
    [known] = backed_up.list()
    for command in (["show", "20200101T000000Z-full-0000"],
                    ["restore", "--to", backed_up.home / "new", "--backup", "20200101T000000Z-full-0000"]):
        failure = backed_up.failure(*command)
        assert failure.kind == "not-found"
        failure.names("'20200101T000000Z-full-0000'", known["id"])
    assert not (backed_up.home / "new").exists()


# Where to restore


def test_a_directory_that_is_not_empty_is_refused_and_left_alone(backed_up):
    target = host.make_directory(backed_up.home / "full")
    (target / "mine").write_text("precious")
    failure = backed_up.failure("restore", "--to", target)
    assert failure.kind == "conflict"
    failure.names(target, "'mine'", "new or empty directory")
    assert [path.read_text() for path in target.iterdir()] == ["precious"]


def test_the_directory_of_a_running_server_is_refused(backed_up, server):
    backed_up.failure("restore", "--to", server.data).names(server.data, "runs")
    assert server.sql("SELECT count(*) FROM t") == "1000"


def test_a_tablespace_is_not_restored_over_the_one_in_use(lifeboat, cluster, newest):
    source = cluster(newest)
    source.add_role(PASSWORD)
    location = source.add_tablespace("fast")
    source.sql("CREATE TABLE t TABLESPACE fast AS SELECT generate_series(1, 1000) i")
    lifeboat.backup(source)
    target = lifeboat.home / "new"
    lifeboat.failure("restore", "--to", target).names(location, "not empty")
    lifeboat.failure("restore", "--to", target, "--tablespace", "/wrong=/new").names("/wrong", location)
    assert not target.exists() or list(target.iterdir()) == []
    assert source.sql("SELECT count(*) FROM t") == "1000"


@pytest.fixture
def small_volume(workspace) -> Iterator[Path]:
    """16 MiB, less than any database."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small volume")
    path = workspace / "small"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", path], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small volume: {mounted.stderr}")
    try:
        yield host.own(path)
    finally:
        subprocess.run(["umount", path], check=True)


def test_a_full_volume_ends_a_restore_that_then_cannot_start(backed_up, small_volume, newest):
    target = small_volume / "data"
    failure = backed_up.failure("restore", "--to", target)
    assert failure.kind == "permanent"
    failure.names(target, "volume is full", "free space", "is incomplete and cannot start")
    started = host.run([host.tools() / f"postgresql-{newest}/bin/postgres", "-D", target], check=False)
    assert started.returncode != 0


def test_a_full_bucket_ends_a_backup_without_a_commit(lifeboat, server, small_volume):
    lifeboat.spec["regions"][0]["file"]["path"] = str(small_volume)
    server.sql("CREATE TABLE noise AS SELECT string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 1200000) i "
               "GROUP BY i % 600")
    try:
        lifeboat.failure("backup", *at(server)).names("region 'here'", small_volume, "free some space there")
    finally:
        server.sql("DROP TABLE noise")
    assert lifeboat.list() == []
