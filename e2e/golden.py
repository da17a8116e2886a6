# SPDX-License-Identifier: Apache-2.0
"""The golden repository of a format: made once, kept in sidecar/tests/golden/ as text, and restored for ever after.

As a program: `golden.py FILE [SIDECAR]` makes one with PostgreSQL 17 and writes it to FILE. What it has of the format: a
full, a differential and, from a standby, an incremental backup, encrypted; relations of which some pages changed, so that
maps refer to several backups and one is too long for its entry; shared frames, empty files, pages of zeros, a tablespace,
complete segments of WAL and a part of one and, as the primary was promoted before, a timeline history."""

import argparse
import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import host
from lifeboat import PASSWORD, Lifeboat
from postgres import SETTINGS, Postgres, assert_verified

MAJOR = 17
LINE = 120  # characters of base64

# The catalog is most of a new cluster; what no server needs to run goes.
_SLIM = """
    UPDATE pg_database SET datistemplate = false;
    DROP DATABASE template0;
    DROP DATABASE template1;
    SET allow_system_table_mods = on;
    DROP SCHEMA information_schema CASCADE;
    TRUNCATE pg_description, pg_shdescription;
    DELETE FROM pg_collation WHERE collname NOT IN ('default', 'C', 'POSIX');
    DELETE FROM pg_conversion;
    DELETE FROM pg_ts_config_map;
    DELETE FROM pg_ts_config;
    DELETE FROM pg_ts_dict;
    DELETE FROM pg_ts_template;
    DELETE FROM pg_statistic;
    DELETE FROM pg_rewrite WHERE ev_class::regclass::text NOT IN ('pg_settings', 'pg_roles', 'pg_stat_activity',
                                                                  'pg_replication_slots', 'pg_stat_replication');
    DELETE FROM pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'v')
        AND attrelid NOT IN (SELECT ev_class FROM pg_rewrite);
    DELETE FROM pg_class WHERE relkind = 'v' AND oid NOT IN (SELECT ev_class FROM pg_rewrite);
    DELETE FROM pg_type WHERE typrelid <> 0 AND typrelid NOT IN (SELECT oid FROM pg_class);
    DELETE FROM pg_type WHERE typelem <> 0 AND typelem NOT IN (SELECT oid FROM pg_type);
    DELETE FROM pg_proc WHERE oid < 10000 AND (proargtypes || prorettype) && ARRAY(SELECT oid FROM pg_type WHERE typname IN
        ('box', 'circle', 'line', 'lseg', 'path', 'point', 'polygon', 'tsvector', 'tsquery', 'xml', 'json', 'jsonb',
         'jsonpath', 'inet', 'cidr', 'macaddr', 'macaddr8', 'money', 'bit', 'varbit', 'anyrange', 'anymultirange', 'internal',
         'tid', 'uuid', 'time', 'timetz', 'abstime', 'trigger', 'event_trigger', 'numeric', 'interval', 'int2vector'));
    VACUUM FULL;
"""
_FILLED = """
    CREATE TABLE scattered (id int, filler text) WITH (fillfactor = 50);
    INSERT INTO scattered SELECT i, repeat('golden ', 80) FROM generate_series(1, 4000) i;
    CREATE TABLE placed (id int PRIMARY KEY) TABLESPACE fast;
    INSERT INTO placed SELECT generate_series(1, 500);
    CREATE TABLE empty (id int);
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the golden repository of this version's format.")
    parser.add_argument("file", type=Path)
    parser.add_argument("sidecar", type=Path, nargs="?", default=host.CHECKOUT / "build/release/bin/lifeboat-sidecar")
    arguments = parser.parse_args()
    with host.workspace() as workspace:
        program = shutil.copy(arguments.sidecar, workspace / "lifeboat-sidecar")
        primary, standby = (Postgres(MAJOR, workspace / name) for name in ("primary", "standby"))
        try:
            golden = make(primary, standby, Lifeboat(workspace / "lifeboat", program))
        finally:
            standby.end()
            primary.end()
    arguments.file.write_text(json.dumps(golden, indent=1) + "\n")


def make(primary: Postgres, standby: Postgres, lifeboat: Lifeboat) -> dict:
    start(primary)
    lifeboat.spec["compression"] = {"level": 19}
    made = [backup(lifeboat, primary, "full")]
    standby.follow(primary)
    primary.sql("UPDATE scattered SET filler = 'differs' WHERE id % 14 = 0; INSERT INTO empty VALUES (1)")
    made.append(backup(lifeboat, primary, "differential"))
    primary.sql("INSERT INTO placed SELECT generate_series(501, 600); TRUNCATE empty; CHECKPOINT")
    standby.wait_for_replay(primary)
    made.append(backup(lifeboat, standby, "incremental"))
    found = changes([restored(lifeboat, server, id) for id, server in made])
    return {
        "userKey": (lifeboat.secrets / "k1").read_text().strip(),
        "policy": {"namespace": lifeboat.namespace, "name": lifeboat.name},
        "systemIdentifier": primary.system_identifier(),
        "backups": [{"id": id, "tablespace": str(server.tablespaces()[0]), "files": files}
                    for (id, server), files in zip(made, found)],
        "objects": dict(objects(lifeboat.repository())),
    }


def start(server: Postgres) -> None:
    server.tool("initdb", "--pgdata", server.data, "--username=postgres", "--no-sync", "--encoding=UTF8", "--locale=C",
                "--auth-local=trust", "--data-checksums", "--wal-segsize=1")
    (server.data / "postgresql.conf").write_text("# all that is not as it comes\n")
    server.configure(**SETTINGS | {"summarize_wal": "on", "autovacuum": "off", "min_wal_size": "2MB"})
    server.start().sql("CHECKPOINT")
    server.sql(_SLIM)
    server.add_role(PASSWORD)
    server.add_tablespace("fast")
    server.sql(_FILLED)
    server.stop()
    (server.data / "standby.signal").touch()
    server.start().promote()
    server.sql("VACUUM")


def backup(lifeboat: Lifeboat, server: Postgres, kind: str) -> tuple[str, Postgres]:
    server.sql("CHECKPOINT")
    manifest = lifeboat.backup(server, "--type", kind)
    assert (manifest["type"], manifest["fallback"]) == (kind, None)
    return manifest["id"], server


def restored(lifeboat: Lifeboat, server: Postgres, id: str) -> dict[str, str]:
    """What a backup restores to, once PostgreSQL's own program has found it right and it has started: for each file its
    mode, its size and its SHA-256."""
    copy = Postgres(server.major, host.make_directory(lifeboat.home / id, 0o755))
    [fast] = server.tablespaces()
    lifeboat.restore(copy.data, "--backup", id, "--tablespace", f"{fast}={copy.home / fast.name}")
    assert_verified(server.major, copy.data)
    found = {}
    for path in files_of(copy.data):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        found[str(path.relative_to(copy.data))] = f"{path.stat().st_mode & 0o7777:o} {len(content)} {digest}"
    assert copy.start().sql("SELECT count(*) FROM scattered") == "4000"
    copy.stop()
    return found


def changes(backups: list[dict[str, str]]) -> Iterator[dict[str, str | None]]:
    """Of each backup what is other than in the one before; null: not there."""
    for before, found in zip([{}, *backups], backups):
        yield {path: found.get(path) for path in sorted({**before, **found}) if found.get(path) != before.get(path)}


def files_of(directory: Path) -> Iterator[Path]:
    """Those of tablespaces too; not those that restore makes anew each time."""
    for path in sorted(directory.iterdir()):
        if path.is_dir():
            yield from files_of(path)
        elif path.name != "backup_manifest":
            yield path


def objects(repository: Path) -> Iterator[tuple[str, list[str]]]:
    for path in sorted(repository.rglob("*")):
        if path.is_file():
            text = base64.b64encode(path.read_bytes()).decode()
            yield str(path.relative_to(repository)), [text[at : at + LINE] for at in range(0, len(text), LINE)]


if __name__ == "__main__":
    main()
