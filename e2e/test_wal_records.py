# SPDX-License-Identifier: Apache-2.0
"""The records that the sidecar finds in WAL, and in which it looks for recovery targets, are those that pg_waldump of
the same version finds."""

import shutil

import host


def test_records_are_those_of_pg_waldump(major, workspace, pytestconfig):
    """The program, which ctest runs for one version, makes servers, transactions of all kinds, a crash and a promotion."""
    program = workspace / "test"
    shutil.copy(pytestconfig.getoption("sidecar").parent / "sidecar_test_wal_postgres", program)
    host.run([program], env={"LIFEBOAT_TEST_PG_BIN": str(host.tools() / f"postgresql-{major}" / "bin"),
                             "TMPDIR": str(workspace)})
