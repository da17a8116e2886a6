# SPDX-License-Identifier: Apache-2.0
"""Simulated sidecars: the channel's other end (docs/protocol.md) without pod and database, as many as one likes.

A program of its own, so that measuring and simulating do not wait for each other. It reads orders from standard input
and writes news to standard output, a JSON object a line; times are of CLOCK_MONOTONIC, which all processes share.

Orders: {"do": "dial", "port", "server", "ca" (PEM), "sidecars": [{"namespace", "name", "uid", "token", "role",
"system"}]}; {"do": "say", "uid" (absent: everybody), "reachable"}: whether the region us can be used; {"do": "hang-up"}:
everybody hangs up and dials again at once.
News: {"connected": how many the operator has assigned to a policy, "at"} when all are; {"said": uid or null, "at"}.

A simulated database is never idle: its LSN moves on from heartbeat to heartbeat. A simulated backup takes no time.
"""

import heapq
import itertools
import json
import queue
import random
import selectors
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable

import websocket

DIALERS = 128  # handshakes at once
DIAL_TIMEOUT_S = 10
BACKOFF_S, BACKOFF_MAX_S = 1, 30  # as the real ones'
REGIONS = ("eu", "us")


def lsn(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Sidecar:
    def __init__(self, fleet: "Fleet", known: dict):
        self.fleet, self.known = fleet, known
        self.socket: websocket.WebSocket | None = None
        self.assigned = False
        self.unreachable = False  # the region us
        self._attempt = self._epoch = self._generation = 0
        self._beat_s, self._beat_at = 10.0, 0.0
        self._job: dict | None = None
        self._finished: list[dict] = []
        self._position = random.randrange(1 << 24, 1 << 40)
        self._backups: list[str] = []  # that it knows of: a region is listed after a backup of its own only

    # Connecting

    def dial(self) -> None:
        """Called by a dialer: returns with a connection that has said hello, or without."""
        try:
            raw = socket.create_connection(("127.0.0.1", self.fleet.port), DIAL_TIMEOUT_S)
            wrapped = self.fleet.tls.wrap_socket(raw, server_hostname=self.fleet.server)
            channel = websocket.WebSocket(skip_utf8_validation=True)
            channel.settimeout(DIAL_TIMEOUT_S)
            channel.connect(f"wss://{self.fleet.server}/channel", socket=wrapped, subprotocols=["lifeboat.v1"],
                            header=[f"Authorization: Bearer {self.known['token']}"])
            channel.send(json.dumps({"version": 1, "type": "hello", "epoch": self._epoch, "sidecarVersion": "bench",
                                     "pod": {name: self.known[name] for name in ("namespace", "name", "uid")}}))
            self.socket = channel
        except (OSError, websocket.WebSocketException):
            self.socket = None

    def on_dialed(self) -> None:
        if self.socket is None:
            return self._dial_later()
        self.fleet.selector.register(self.socket.sock, selectors.EVENT_READ, self)
        self.say()
        self._beat_at = time.monotonic() + self._beat_s
        self.fleet.at(self._beat_at, self.beat)

    def hang_up(self) -> None:
        if self.socket is None:
            return
        self.fleet.selector.unregister(self.socket.sock)
        self.socket.shutdown()
        self.socket = None
        if self.assigned:
            self._attempt = 0
        self.assigned = False

    def _dial_later(self) -> None:
        longest_s = min(BACKOFF_MAX_S, BACKOFF_S << min(self._attempt, 10))
        self._attempt += 1
        self.fleet.at(time.monotonic() + random.uniform(0, longest_s), lambda: self.fleet.dialing.put(self))

    # Speaking

    def beat(self) -> None:
        if self.socket is None or time.monotonic() < self._beat_at:
            return  # another connection has beats of its own
        self._position += random.randrange(1, 1 << 20)
        self.say()
        self._beat_at += self._beat_s
        self.fleet.at(self._beat_at, self.beat)
        if self.socket is not None:
            self.socket.ping("ping")

    def send(self, type: str, **members) -> None:
        try:
            if self.socket is not None:
                self.socket.send(json.dumps({"version": 1, "type": type, **members}))
        except (OSError, websocket.WebSocketException):
            self.hang_up()
            self._dial_later()

    def say(self, lookup: list[dict] = []) -> None:
        standby = self.known["role"] == "standby"
        database = {"reachable": True, "role": self.known["role"], "versionNum": 170004, "timeline": 1,
                    "systemIdentifier": self.known["system"], "lsn": lsn(self._position),
                    **({"lagSeconds": 0} if standby else {})}
        self.send("state", generation=self._generation, database=database, job=self._job, finished=self._finished,
                  lookup=lookup, regions=[self._region(name) for name in REGIONS])

    def _region(self, name: str) -> dict:
        if name == "us" and self.unreachable:
            return {"name": name, "reachable": False, "error": "list bucket 'backups': S3 503 SlowDown"}
        last = {"lastBackup": self._backups[-1]} if self._backups else {}
        return {"name": name, "reachable": True, "backups": len(self._backups),
                "bytes": len(self._backups) * 1_000_000_000, **last}

    # Listening

    def on_readable(self) -> None:
        try:
            while self.socket is not None:
                opcode, data = self.socket.recv_data(control_frame=True)  # which answers pings
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    raise websocket.WebSocketConnectionClosedException
                if opcode == websocket.ABNF.OPCODE_TEXT:
                    self._on_message(json.loads(data))
                if self.socket is None or not self.socket.sock.pending():
                    return
        except (OSError, websocket.WebSocketException):
            self.hang_up()
            self._dial_later()

    def _on_message(self, message: dict) -> None:
        self._epoch = max(self._epoch, message["epoch"])
        match message["type"]:
            case "assign":
                self._generation, self._beat_s = message["generation"], message["heartbeatSeconds"]
                self.assigned = True
                self.fleet.on_assigned()
                self.say()
            case "run":
                self._run(message["id"], message["backup"])
            case "state":
                self.say([self._answer(backup_id) for backup_id in message["lookup"]])

    def _answer(self, backup_id: str) -> dict:
        done = next((each for each in self._finished if each["id"] == backup_id), None)
        return {"backupID": backup_id, "running": False, **({"backup": done["backup"]} if done else {})}

    def _run(self, backup_id: str, backup: dict) -> None:
        now = time.time()
        work = {"phase": "copy", "bytes": 500_000_000, "totalBytes": 1_000_000_000, "files": 1000}
        self._job = {"id": backup_id, "kind": "backup", "started": rfc3339(now), **work}
        self.say()
        self.send("progress", id=backup_id, **work)
        self._backups.append(backup_id)
        done = {"id": backup_id, "kind": "backup", "ok": True, "backup": {
            "id": backup_id, "type": backup["type"], "timeline": 1, "startLSN": lsn(self._position),
            "stopLSN": lsn(self._position + 256), "started": rfc3339(now), "finished": rfc3339(now + 1),
            "bytesTotal": 1_000_000_000, "bytesRead": 1_000_000_000, "bytesStored": 300_000_000, "bytesReused": 0,
            "files": 1000, "pageErrors": 0, "changeSource": "full", "regions": list(REGIONS), "missingRegions": [],
            "systemIdentifier": self.known["system"], "versionNum": 170004, "sha256": f"{random.getrandbits(256):064x}"}}
        self._job, self._finished = None, [*self._finished, done][-8:]
        self.send("done", **done)
        self.say()


class Fleet:
    """All of them. One thread listens and speaks; others shake hands, which blocks."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.dialing: queue.SimpleQueue[Sidecar] = queue.SimpleQueue()
        self.port, self.server = 0, ""
        self.tls: ssl.SSLContext
        self._sidecars: dict[str, Sidecar] = {}
        self._todo: queue.SimpleQueue[Callable] = queue.SimpleQueue()  # of the one thread, from others
        self._alarms: list[tuple[float, int, Callable]] = []
        self._numbers = itertools.count()
        self._wake, self._woken = socket.socketpair()
        self.selector.register(self._woken, selectors.EVENT_READ)

    def at(self, when: float, what: Callable) -> None:
        heapq.heappush(self._alarms, (when, next(self._numbers), what))

    def call(self, what: Callable) -> None:
        """From another thread."""
        self._todo.put(what)
        self._wake.send(b"!")

    def on_assigned(self) -> None:
        if all(sidecar.assigned for sidecar in self._sidecars.values()):
            tell(connected=len(self._sidecars))

    def obey(self, order: dict) -> None:
        match order["do"]:
            case "dial":
                self.port, self.server = order["port"], order["server"]
                self.tls = ssl.create_default_context(cadata=order["ca"])
                self._sidecars = {known["uid"]: Sidecar(self, known) for known in order["sidecars"]}
                for sidecar in self._sidecars.values():
                    self.dialing.put(sidecar)
            case "say":
                tell(said=order.get("uid"))
                for sidecar in [self._sidecars[order["uid"]]] if "uid" in order else self._sidecars.values():
                    sidecar.unreachable = not order["reachable"]
                    sidecar.say()
            case "hang-up":
                for sidecar in self._sidecars.values():
                    if sidecar.socket is not None:
                        sidecar.hang_up()
                        self.dialing.put(sidecar)

    def dial(self) -> None:
        while True:
            sidecar = self.dialing.get()
            sidecar.dial()
            self.call(sidecar.on_dialed)

    def run(self) -> None:
        while True:
            left_s = max(0, self._alarms[0][0] - time.monotonic()) if self._alarms else None
            for key, _ in self.selector.select(left_s):
                if key.data is not None:
                    key.data.on_readable()
                else:
                    self._woken.recv(4096)
            while not self._todo.empty():
                self._todo.get()()
            while self._alarms and self._alarms[0][0] <= time.monotonic():
                heapq.heappop(self._alarms)[2]()


def tell(**news) -> None:
    print(json.dumps({**news, "at": time.monotonic()}), flush=True)


def main() -> None:
    fleet = Fleet()
    threading.stack_size(256 * 1024)
    for work in [fleet.run] + [fleet.dial] * DIALERS:
        threading.Thread(target=work, daemon=True).start()
    for line in sys.stdin:  # its end is ours
        order = json.loads(line)
        fleet.call(lambda order=order: fleet.obey(order))


main()
