# SPDX-License-Identifier: Apache-2.0
"""`lifeboat-sidecar wal-receive` beside a server, as the sidecar of a pod runs it: until it is told to end."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import host
from lifeboat import Lifeboat, at
from postgres import ROLE, Postgres


class Receiver:
    def __init__(self, lifeboat: Lifeboat, server: Postgres):
        self._argv, self._server = lifeboat.argv("wal-receive", *at(server)), server
        self.log = lifeboat.home / f"wal-receive-{server.home.name}.log"
        self._process: subprocess.Popen | None = None

    def start(self) -> "Receiver":
        """Returns when WAL is streamed."""
        with open(self.log, "a") as log:
            self._process = host.spawn(self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            host.wait_until(self._streams, "WAL is streamed")
        except BaseException as failure:
            self.end()
            raise AssertionError(f"{failure}\n{self.tail_of_log()}") from None
        return self

    def wait_until_durable(self) -> None:
        """Until the server has been told that all it has written by now is in the buckets."""
        lsn = self._server.sql("SELECT pg_current_wal_insert_lsn()")
        done = f"SELECT bool_and(flush_lsn >= '{lsn}') FROM pg_stat_replication WHERE usename = '{ROLE}'"
        try:
            host.wait_until(lambda: self._server.sql(done) == "t", f"{lsn} is in the buckets")
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{self.tail_of_log()}") from None

    def peak_memory_bytes(self) -> int:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))

    def tail_of_log(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text().splitlines()[-lines:])

    def stop(self) -> None:
        """As a person does: what has come is put into the buckets, and nothing went wrong."""
        self._process.terminate()
        status = self._process.wait(host.PATIENCE_S)
        assert status == 0, f"wal-receive: exit status {status}\n{self.tail_of_log()}"

    def end(self) -> None:
        """However it stands."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _streams(self) -> bool:
        assert self._process.poll() is None, f"wal-receive ended with exit status {self._process.returncode}"
        streams = f"SELECT count(*) FROM pg_stat_replication WHERE usename = '{ROLE}' AND state = 'streaming'"
        return self._server.sql(streams) == "1"


@contextmanager
def receiving(lifeboat: Lifeboat, server: Postgres) -> Iterator[Receiver]:
    """It runs while the block does."""
    receiver = Receiver(lifeboat, server).start()
    try:
        yield receiver
        receiver.stop()
    finally:
        receiver.end()
