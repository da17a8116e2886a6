# SPDX-License-Identifier: Apache-2.0
"""The write-ahead log of a shop on its way into the buckets: what the policy says of it, what PostgreSQL knows, and what
the command line finds there, which needs neither of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import host
from kube_client import Namespace, condition_of
from lifeboat import documents
from protection import POLICY, Protection

OURS = "slot_name ~ '^lifeboat_' AND NOT temporary"
STREAMED = f"""SELECT count(*) FROM pg_stat_replication stream JOIN pg_replication_slots slot ON active_pid = stream.pid
WHERE {OURS} AND state = 'streaming'"""


class Archiving:
    def __init__(self, protection: Protection, program: Path):
        self.protection, self.namespace, self._program = protection, protection.namespace, program

    # As the policy says it

    def wait_for(self, status: str, reason: str, *texts: str, timeout_s: float = 120) -> str:
        """Until the condition Archiving is that, and its message has all these texts. Returns the message."""
        def is_met(policy: dict) -> bool:
            condition = condition_of(policy, "Archiving")
            return ((condition.get("status"), condition.get("reason")) == (status, reason)
                    and all(text in condition["message"] for text in texts))

        policy = self.namespace.wait_for("BackupPolicy", POLICY, is_met,
                                         f"has Archiving={status} {reason} that says {texts}", timeout_s)
        return condition_of(policy, "Archiving")["message"]

    def wait_for_event(self, type: str, reason: str, *texts: str) -> None:
        """Until there is one of the policy whose message has all these texts."""
        def is_told() -> bool:
            return any((event["TYPE"], event["REASON"]) == (type, reason) and all(text in event["MESSAGE"] for text in texts)
                       for event in self.namespace.events("BackupPolicy", POLICY))

        host.wait_until(is_told, f"an Event {reason} says {texts}")

    def region(self, name: str) -> dict:
        """What the status says of one."""
        return next(found for found in self.protection.policy()["status"]["regions"] if found["name"] == name)

    # As PostgreSQL knows it

    def is_streamed(self, pod: str) -> bool:
        return self.namespace.sql(pod, STREAMED) == "1"

    def slots(self, pod: str) -> list[str]:
        """Ours."""
        return self.namespace.sql(pod, f"SELECT slot_name FROM pg_replication_slots WHERE {OURS}").split()

    def wait_until_durable(self, pod: str) -> None:
        """Until that primary was told that all that it has written by now is in the regions."""
        written = self.namespace.sql(pod, "SELECT pg_current_wal_insert_lsn()")
        done = f"{STREAMED} AND flush_lsn >= '{written}'"
        host.wait_until(lambda: self.namespace.sql(pod, done) == "1", f"{written} is in the buckets")

    # As the buckets have it

    def windows(self, *options: str) -> dict:
        with self.protection.command_line(self._program) as lifeboat:
            return lifeboat.json("list", "--windows", *options)

    def assert_without_gap(self) -> None:
        """Nothing that was written since the first backup is missing, and nothing that is there is damaged."""
        assert self.windows()["gaps"] == []
        with self.protection.command_line(self._program) as lifeboat:
            [verified] = documents(lifeboat.run("verify", "-o", "json").stdout)
        assert verified["findings"]["count"] == 0, verified
        assert not [note for note in verified["notes"]["first"] if note["kind"] == "gap"], verified

    def check_copy(self, dump: str, *arguments: str) -> None:
        """What is restored with these arguments and has recovered is what was dumped."""
        self.protection.check_copy(self._program, dump, *arguments)


@contextmanager
def selling(namespace: Namespace, pod: str) -> Iterator[None]:
    """A client of that primary commits a hundred times a second while the block runs, or as long as the server lives."""
    statements = """DO $$ BEGIN
        LOOP
            INSERT INTO sales (memo) SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 100);
            COMMIT;
            PERFORM pg_sleep(0.01);
        END LOOP;
    END $$"""
    sold = "SELECT count(*) FROM sales"
    before = namespace.sql(pod, sold)
    client = ("env", "PGAPPNAME=client", "psql", "--username=postgres", "--quiet", f"--command={statements}")
    with namespace.exec_in_background(pod, *client):
        host.wait_until(lambda: namespace.sql(pod, sold) != before, "something is sold")
        yield
    namespace.exec(pod, "psql", "--username=postgres", "--command=SELECT pg_terminate_backend(pid, 10000) "
                   "FROM pg_stat_activity WHERE application_name = 'client'", check=False)
