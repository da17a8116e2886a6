# SPDX-License-Identifier: Apache-2.0
"""What a restored copy must not do to its source."""

import host
from lifeboat import PASSWORD
from postgres import Postgres, assert_verified


def test_a_copy_archives_nowhere_and_follows_nobody(cluster, lifeboat, major, workspace):
    archive = host.make_directory(workspace / "archive")
    server = cluster(major, archive_mode="on", archive_command=f"cp %p {archive}/%f", archive_timeout="1s",
                     archive_cleanup_command=f"touch {archive}/cleaned", recovery_end_command=f"touch {archive}/ended")
    server.add_role(PASSWORD)
    server.sql("ALTER SYSTEM SET primary_slot_name = 'taken'")
    server.sql("ALTER SYSTEM SET primary_conninfo = 'host=nowhere'")
    server.sql("ALTER SYSTEM SET work_mem = '5MB'")
    lifeboat.backup(server)
    server.stop()
    before = sorted(path.name for path in archive.iterdir())
    copy = cluster.adopt(Postgres(major, workspace / "copy"))
    done = lifeboat.run("restore", "--to", copy.data)
    assert "archives nowhere" in done.stdout
    assert_verified(major, copy.data)
    copy.start()
    copy.sql("CREATE TABLE t AS SELECT 1; SELECT pg_switch_wal(); CREATE TABLE u AS SELECT 1; SELECT pg_switch_wal()")
    assert copy.sql("SHOW archive_mode; SHOW primary_slot_name; SHOW primary_conninfo; SHOW work_mem").split("\n") == [
        "off", "", "", "5MB"]
    assert sorted(path.name for path in archive.iterdir()) == before

    # It goes on when it is told to, and its own copies again archive nowhere.
    copy.sql("ALTER SYSTEM RESET archive_mode")
    copy.sql("ALTER SYSTEM RESET archive_command")
    copy.stop()
    copy.start()
    assert copy.sql("SHOW archive_mode") == "on"
    lifeboat.spec["regions"][0]["file"]["path"] = str(host.make_directory(workspace / "other"))
    lifeboat.backup(copy)
    copy.stop()
    again = cluster.adopt(Postgres(major, workspace / "again"))
    lifeboat.restore(again.data)
    again.start()
    assert again.sql("SHOW archive_mode") == "off"
