# SPDX-License-Identifier: Apache-2.0
"""What tests leave to chance, so that it can be repeated, and how much of it: as common/tests/helper_chance.h has it.

With LIFEBOAT_FULL=1 (`e2e/test --full`) tests try everything, or much more, instead of a sample."""

import os
import random
import time

FULL = bool(os.environ.get("LIFEBOAT_FULL"))
KILLS = 200 if FULL else 10  # random moments at which each thing is killed that may be


def dice() -> random.Random:
    """Random numbers of a seed that it prints, which are the same again with that in the environment."""
    seed = int(os.environ.get("LIFEBOAT_SEED", time.time_ns()))
    print(f"LIFEBOAT_SEED={seed}")
    return random.Random(seed)
