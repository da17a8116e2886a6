# SPDX-License-Identifier: Apache-2.0
"""What this machine can do at best: the floor below which no backup program comes on it."""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

import host
from measuring import Run, files_of, measure

WITHOUT = ("pg_wal",)  # of a data directory; a backup brings WAL in another way


@dataclass(frozen=True)
class Machine:
    """Seconds of one CPU that the work itself costs, whoever does it."""
    bytes: int
    compressed_bytes: int
    compress_s: float  # all files with zstd level 1, reading included
    decompress_s: float  # and back
    write_s: float  # as many bytes into files, not what the disk takes for it
    encrypt_bytes_per_s: float

    @property
    def encrypt_s(self) -> float:
        """AES-256-GCM; opening costs the same as sealing."""
        return self.compressed_bytes / self.encrypt_bytes_per_s

    def full_s(self, workers: int) -> float:
        return (self.compress_s + self.encrypt_s) / workers

    def restore_s(self, workers: int) -> float:
        """Without the disk."""
        return (self.decompress_s + self.encrypt_s + self.write_s) / workers

    def describe(self) -> str:
        return (f"one thread of this machine: zstd level 1 {self.bytes / self.compress_s / 1e6:.0f} MB/s "
                f"(× {self.bytes / self.compressed_bytes:.1f}), decompression {self.bytes / self.decompress_s / 1e6:.0f} MB/s, "
                f"AES-256-GCM {self.encrypt_bytes_per_s / 1e9:.1f} GB/s, writing into the page cache {self.bytes / self.write_s / 1e6:.0f} MB/s")


def shape() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory_kib = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
    return f"{os.cpu_count()} CPUs ({model[1] if model else 'of an unknown model'}), {memory_kib >> 20} GiB, Linux {platform.release()}"


def compress(data: Path) -> Run:
    """zstd -1 on the files of a data directory."""
    return measure(["zstd", "-1", "--single-thread", "-q", "-c", *files_of(data, WITHOUT)], keep_output=False)


def look(home: Path, data: Path) -> Machine:
    total_bytes = sum(path.stat().st_size for path in files_of(data, WITHOUT))
    packed = home / "all.zst"
    with open(packed, "wb") as file:
        host.spawn(["zstd", "-1", "-q", "-c", *files_of(data, WITHOUT)], stdout=file).wait()
    try:
        decompressed = measure(["zstd", "-d", "--single-thread", "-q", "-c", host.own(packed)], keep_output=False)
        return Machine(total_bytes, packed.stat().st_size, compress(data).cpu_seconds, decompressed.cpu_seconds,
                       write(home / "floor", total_bytes).cpu_seconds, encrypt_bytes_per_s())
    finally:
        packed.unlink()


def encrypt_bytes_per_s() -> float:
    """Of CPU time, in pieces of 1 MiB as frames are; openssl says it in units of 1000 bytes."""
    done = host.run(["openssl", "speed", "-evp", "aes-256-gcm", "-bytes", str(1 << 20), "-seconds", "1"])
    return float(re.search(r"AES-256-GCM\s+([\d.]+)k", done.stdout)[1]) * 1000


def write(file: Path, size_bytes: int) -> Run:
    """The floor of a restore: so many bytes on the disk, and nothing else."""
    run = measure(["dd", "if=/dev/zero", f"of={file}", "bs=1M", f"count={size_bytes >> 20}", "conv=fsync", "status=none"])
    file.unlink()
    return run
