# SPDX-License-Identifier: Apache-2.0
"""What a backup finds in its source: damage, and tenants who mean no good."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import host
import lifeboat as command_line
from lifeboat import PASSWORD, at
from postgres import ROLE, Postgres


PAGE_BYTES = 8192


def test_a_damaged_page_is_reported_and_marked(cluster, lifeboat, major):
    server = cluster(major)
    server.add_role(PASSWORD)
    server.sql("CREATE TABLE t AS SELECT i, repeat('x', 200) FROM generate_series(1, 2000) i; VACUUM t; CHECKPOINT")
    path = server.sql("SELECT pg_relation_filepath('t')")
    server.stop()
    with open(server.data / path, "r+b") as file:
        file.seek(7 * PAGE_BYTES + 5000)
        file.write(b"damage")
    server.start()

    done = lifeboat.run("backup", *at(server))
    manifest = lifeboat.json("show")
    assert manifest["pageErrors"] == {"count": 1, "first": [{"path": path, "block": 7}]}
    assert f"Warning: 1 pages of the database are damaged: see 'show {manifest['id']}'" in done.stdout
    [warning] = [event for event in command_line.documents(done.stderr)
                 if event["message"] == "Found damaged pages in the database"]
    assert (warning["level"], warning["file"], warning["block"]) == ("warn", path, 7)
    assert f"{path} block 7" in lifeboat.run("show").stdout
    assert "1 damaged page" in lifeboat.run("list").stdout

    # What is there is brought back, for whoever wants to save the rest.
    lifeboat.restore(lifeboat.home / "new")
    assert (lifeboat.home / "new" / path).read_bytes() == (server.data / path).read_bytes()


TRAPS = """
    CREATE TABLE public.sprung (name text);
    GRANT ALL ON public.sprung TO PUBLIC;
    GRANT ALL ON SCHEMA public TO PUBLIC;

    CREATE FUNCTION public.spring(name text) RETURNS void LANGUAGE sql SECURITY DEFINER
        AS $$ INSERT INTO public.sprung VALUES (name) $$;

    -- every function of pg_catalog that a backup could call without qualification, with the same arguments
    DO $traps$
    DECLARE f record;
    BEGIN
        FOR f IN SELECT proname, oid, pg_get_function_identity_arguments(oid) AS arguments,
                        pg_get_function_result(oid) AS result
                 FROM pg_proc
                 WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND NOT proretset
                     AND (proname LIKE 'pg\\_%' OR proname LIKE '%privilege' OR proname LIKE '%setting'
                          OR proname IN ('set_config', 'to_char', 'format', 'current_user', 'extract', 'date_part'))
                     AND pg_get_function_result(oid) NOT IN ('internal', 'trigger', 'event_trigger', 'record')
                     AND pg_get_function_identity_arguments(oid) !~ 'internal|OUT |VARIADIC|"?any|cstring'
        LOOP
            BEGIN
                EXECUTE format(
                    'CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql
                         AS $$ BEGIN PERFORM public.spring(%L); RETURN NULL; END $$',
                    f.proname, f.arguments, f.result, f.proname);
            EXCEPTION WHEN others THEN NULL; -- one of a few with types that SQL cannot name
            END;
        END LOOP;
        FOR f IN SELECT unnest(ARRAY['text', 'name', 'oid', 'int4', 'int8', 'bool']) AS type LOOP
            EXECUTE format(
                'CREATE FUNCTION public.equal_trap(%1$s, %1$s) RETURNS bool LANGUAGE plpgsql
                     AS $$ BEGIN PERFORM public.spring(''=''); RETURN true; END $$', f.type);
            EXECUTE format('CREATE OPERATOR public.= (LEFTARG = %1$s, RIGHTARG = %1$s, FUNCTION = public.equal_trap)',
                           f.type);
        END LOOP;
    END $traps$;

    CREATE VIEW public.pg_roles AS SELECT public.spring('pg_roles')::text;
    CREATE VIEW public.pg_settings AS SELECT public.spring('pg_settings')::text;
    ALTER ROLE lifeboat SET search_path = public, pg_catalog;
    ALTER DATABASE postgres SET search_path = public, pg_catalog;
"""


def test_what_a_tenant_plants_in_public_is_never_run(cluster, lifeboat, major):
    server = cluster(major)
    server.add_role(PASSWORD)
    server.sql(TRAPS)
    set_traps = server.sql("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace").split()
    assert {"pg_is_in_recovery", "pg_backup_start", "current_setting"} <= set(set_traps)
    with server.connect(user=ROLE, password=PASSWORD) as victim:  # the traps do work
        victim.execute("SELECT pg_is_in_recovery()")
    assert "pg_is_in_recovery" in server.sql("SELECT name FROM public.sprung").split()
    server.sql("TRUNCATE public.sprung")

    lifeboat.backup(server)
    assert server.sql("SELECT name FROM public.sprung") == ""


def test_timeouts_of_the_server_do_not_end_a_backup(cluster, lifeboat, major):
    timeouts = {"statement_timeout": "1ms", "idle_in_transaction_session_timeout": "1ms", "idle_session_timeout": "1ms",
                "lock_timeout": "1ms"} | ({"transaction_timeout": "1ms"} if major >= 17 else {})
    server = cluster(major)
    server.add_role(PASSWORD)
    server.sql("".join(f"ALTER ROLE {ROLE} SET {name} = '{value}';" for name, value in timeouts.items()))
    lifeboat.backup(server)


def test_the_password_is_nowhere_to_be_seen(cluster, lifeboat, newest):
    server = cluster(newest, log_statement="all", log_connections="on", log_min_messages="debug1",
                     log_min_duration_statement="0")
    server.add_role(PASSWORD)
    log_before = server.log.stat().st_size  # where the administrator's commands are
    with lifeboat.running("backup", *at(server)) as process:
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        done = command_line.outcome(process)
    assert done.returncode == 0
    assert json.loads(done.stdout)["id"]
    log = server.log.read_bytes()[log_before:]
    assert b"pg_backup_start" in log
    key = (lifeboat.secrets / "k1").read_bytes().strip()
    for where in (environment, arguments, log, done.stdout.encode(), done.stderr.encode()):
        assert PASSWORD.encode() not in where
        assert key not in where


def test_a_promotion_fails_the_backup_of_a_standby(cluster, lifeboat, major):
    primary = cluster(major)
    primary.add_role(PASSWORD)
    standby = cluster.standby(primary)
    lifeboat.take_time()
    with standby.connect(autocommit=True) as session, lifeboat.running("backup", *at(standby)) as process:
        streams = "SELECT count(*) FROM pg_stat_replication WHERE usename = 'lifeboat' AND state = 'streaming'"
        command_line.wait_for(process, lambda: session.execute(streams).fetchone() == (1,), "WAL is streamed")
        with command_line.paused(process):
            standby.promote()
        done = command_line.outcome(process)
    command_line.failure_of(done.returncode, done.stdout, done.stderr)
    assert lifeboat.list() == []
    lifeboat.backup(standby)  # now a primary on a timeline of its own


def test_a_restored_server_on_a_new_timeline_can_be_backed_up_itself(cluster, lifeboat, major):
    primary = cluster(major)
    primary.add_role(PASSWORD)
    standby = cluster.standby(primary)
    standby.promote()
    standby.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) i")
    manifest = lifeboat.backup(standby)
    assert [each["timeline"] for each in manifest["wal"]] == [2]
    copy = cluster.adopt(Postgres(major, lifeboat.home / "copy"))
    lifeboat.restore(copy.data)
    copy.start()
    assert copy.sql("SELECT count(*) FROM t") == "1000"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the sidecar as somebody else")
def test_somebody_elses_data_directory_is_refused_with_the_user_to_be(cluster, lifeboat, newest):
    server = cluster(newest)
    server.add_role(PASSWORD)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    for path in (lifeboat.secrets, *lifeboat.secrets.iterdir()):
        os.chown(path, 65534, 65534)
    argv = [*nobody, *map(str, lifeboat.argv("backup", "-o", "json", "--host", "127.0.0.1", "--port", server.port))]
    done = subprocess.run(argv, capture_output=True, text=True)
    failure = command_line.failure_of(done.returncode, done.stdout, done.stderr)
    failure.names(server.data, f"uid {server.data.stat().st_uid}", "run lifeboat-sidecar as")
