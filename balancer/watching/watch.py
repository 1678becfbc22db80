"""From Python: the diagnosis of a log that grows, each time that something came."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from balancer.diagnosis.diagnose import Diagnosis, told
from balancer.reading.opening import NO_TAGS
from balancer.watching.follower import Follower


def watch(
    path: str | Path,
    *,
    every: float = 2.0,
    idle: float | None = None,
    waits: Callable[[str], object] | None = None,
    tags: Mapping[str, str] = NO_TAGS,
    pattern: str | None = None,
    family: str | None = None,
    adversarial: str | None = None,
    d_loss: str | None = None,
    discriminators: int | None = None,
    weights: Mapping[str, float] | None = None,
    recipe: str | None = None,
) -> Iterator[Diagnosis]:
    """Follow a log, and judge it each time that something was written; only what is new is read.

    Rotation, truncation and a run that begins anew are followed. After `idle` seconds without anything new the last
    diagnosis is that of the whole log, as `balancer.diagnose` gives it.

    Args:
        path: a run directory, TensorBoard event files, CSV, JSON lines or a text log; it need not exist yet.
        every: seconds between looks.
        idle: seconds without anything new after which it ends; None for never.
        waits: is called with why there is nothing to judge yet, once for each reason.

    The others are those of `balancer.diagnose`.

    Raises:
        ConfigError: options that do not go with the log, or something that cannot be followed.
        DataError: it is not a log; or nothing of one was there before `idle` was over.
    """
    stated, family = told(adversarial, d_loss, discriminators, weights, recipe, family)
    follower = Follower(str(path), stated=stated, tags=tags, pattern=pattern, family=family)
    came, said = time.monotonic(), ""
    try:
        while True:
            found = follower.look()
            if found is not None:
                came = time.monotonic()
                yield found
            if follower.waits != said:
                said = follower.waits
                if waits is not None and said:
                    waits(said)
            if idle is not None and time.monotonic() - came >= idle:
                yield follower.end()
                return
            time.sleep(every)
    finally:
        follower.close()
