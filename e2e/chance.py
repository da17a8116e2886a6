# SPDX-License-Identifier: Apache-2.0
"""What tests leave to chance, so that it can be repeated, and how much of it: as common/tests/helper_chance.h has it.

With LIFEBOAT_FULL=1 (`e2e/test --full`) tests try everything, or much more, instead of a sample."""

import os
import random
import subprocess
import time
from collections.abc import Iterator

FULL = bool(os.environ.get("LIFEBOAT_FULL"))
KILLS = 200 if FULL else 10  # random moments at which each thing is killed that may be


def dice() -> random.Random:
    """Random numbers of a seed that it prints, which are the same again with that in the environment."""
    seed = int(os.environ.get("LIFEBOAT_SEED", time.time_ns()))
    print(f"LIFEBOAT_SEED={seed}")
    return random.Random(seed)


class Moments:
    """When to kill a command that took so long: KILLS moments, one at random in each part of that time. It may have been a
    busy time: when the command is over before it is struck, the moments to come are earlier."""

    def __init__(self, dice: random.Random, took_s: float):
        self._dice, self._took_s = dice, took_s

    def __iter__(self) -> Iterator[float]:
        for part in range(KILLS):
            yield self._took_s * (part + self._dice.random()) / KILLS

    def strike(self, process: subprocess.Popen, number: int, moment: float, whole: bool = True) -> None:
        """Sends it the signal at that moment, if it still runs. `whole`: it does all that took so long."""
        began = time.monotonic()
        try:
            process.wait(moment)
            if whole:
                self._took_s = min(self._took_s, time.monotonic() - began)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
