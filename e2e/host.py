# SPDX-License-Identifier: Apache-2.0
"""What the servers and programs under test need of this machine: a user, directories, ports, processes.

PostgreSQL refuses to run as root and the sidecar runs with PostgreSQL's uid, so where the tests run as root, all
programs run as the user `postgres` of the Debian package; else they run as whoever runs the tests.
"""

import errno
import functools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

E2E = Path(__file__).parent
CHECKOUT = E2E.parent
PATIENCE_S = 180  # for what takes seconds, on a machine that is slow and busy


@functools.cache
def tools() -> Path:
    """The cache that e2e/tools fills."""
    where = subprocess.run([E2E / "tools", "--where"], check=True, capture_output=True, text=True)
    return Path(where.stdout.strip())


@functools.cache
def _identity() -> dict:
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def own(path: Path) -> Path:
    """Gives `path` to the user that programs run as."""
    if identity := _identity():
        os.chown(path, identity["user"], identity["group"])
    return path


def make_directory(path: Path, mode: int = 0o700) -> Path:
    path.mkdir()
    path.chmod(mode)
    return own(path)


@contextmanager
def workspace() -> Iterator[Path]:
    """A directory that programs may write to, removed at the end unless LIFEBOAT_KEEP is set.

    Its path is short: a Unix socket's has to stay below 108 bytes.
    """
    path = Path(tempfile.mkdtemp(prefix="lifeboat-"))
    path.chmod(0o755)
    own(path)
    try:
        yield path
    finally:
        if os.environ.get("LIFEBOAT_KEEP"):
            print(f"kept {path}")
        else:
            shutil.rmtree(path, onerror=_raise_unless_gone)


def _raise_unless_gone(_function, _path, information) -> None:
    """What ends by itself may take its socket along while the directory is being removed."""
    if not isinstance(information[1], FileNotFoundError):
        raise information[1]


def free_port() -> int:
    """One that no connection is given, so that it is still free when a server starts there, or starts again."""
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = [port for port in range(10_000, 1 << 16) if not first <= port <= last]
    while True:
        try:
            with socket.create_server(("127.0.0.1", random.choice(ports or [0]))) as listener:
                return listener.getsockname()[1]
        except OSError as failure:
            if failure.errno != errno.EADDRINUSE:
                raise


@contextmanager
def dead_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else can get meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """No setting of the caller's shell changes what a test sees."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    # a home that not even root can make, as kubectl would for its cache
    return {**kept, "HOME": "/proc/nonexistent", "LC_ALL": "C.UTF-8", "TZ": "UTC", **extra}


def spawn(argv: Sequence, *, env: Mapping[str, str] = {}, privileged: bool = False, **options) -> subprocess.Popen:
    """Starts a program as the unprivileged user, or as whoever runs the tests; the caller ends it, see `running`."""
    words = [os.fspath(word) for word in argv]
    identity = {} if privileged else _identity()
    return subprocess.Popen(words, env=_environment(env), cwd="/", **identity, **options)


def end(process: subprocess.Popen, grace_s: float = 10) -> None:
    process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def running(argv: Sequence, **options) -> Iterator[subprocess.Popen]:
    """A program that runs while the block does."""
    process = spawn(argv, **options)
    try:
        yield process
    finally:
        end(process)


class Server:
    """A program that serves the tests, and what it says in a log file, which grows over all its starts."""

    def __init__(self, name: str, log: Path):
        self.name, self.log = name, log
        self.process: subprocess.Popen | None = None

    def start(self, argv: Sequence, **options) -> None:
        """Does not wait until it answers."""
        with open(self.log, "a") as log:
            self.process = spawn(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)

    def check(self) -> None:
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended by itself:\n{self.log.read_text()[-4000:]}")

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Until it does. One that does not is ended."""
        def is_up() -> bool:
            self.check()
            return answers()

        try:
            wait_until(is_up, f"{self.name} answers")
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        if self.process is not None:
            end(self.process)
            self.process = None


def end_cleanly_when_told() -> None:
    """From now on SIGTERM ends this program as an interrupt from the keyboard does: by an exception, so that it leaves
    nothing behind. Once: what cleans up is not interrupted again."""
    def interrupt(number, frame):
        signal.signal(signal.SIGTERM, lambda *_: None)  # not SIG_IGN, which programs started from now on would inherit
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def delegate(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Runs the command that a program was given, with `env` added to the environment, and returns its exit status. When
    this program is told to end, all that the command started is told first, and waited for."""
    end_cleanly_when_told()
    process = subprocess.Popen(argv, env={**os.environ, **env}, process_group=0)
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        return 128 + signal.SIGINT


def run(argv: Sequence, *, env: Mapping[str, str] = {}, stdin: str | None = None, timeout_s: float = 300,
        check: bool = True, privileged: bool = False) -> subprocess.CompletedProcess:
    """Runs a program as `spawn` does. With `check`, a failure shows all that the program said."""
    process = spawn(argv, env=env, privileged=privileged, text=True, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        stdout, stderr = process.communicate(stdin, timeout_s)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    done = subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(done.args)}: exit status {done.returncode}\n{stdout}{stderr}")
    return done


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain until {what}")
        time.sleep(0.05)
