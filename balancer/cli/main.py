"""The command line from its first moment to its last: signals mean one thing, before anything else is imported."""

from __future__ import annotations

import atexit
import sys

from balancer.train.stopping import end_at_once, ignore_requests, stop_requests


def main() -> None:
    """Run the command line and leave. A signal's exit status is 128 and its number, whatever it broke off."""
    # Of all that is registered the last to run: what it cannot end any more, a signal is not to fail.
    atexit.unregister(ignore_requests)
    atexit.register(ignore_requests)
    with stop_requests() as stop:
        try:
            from balancer.cli.app import run

            run(sys.argv[1:])
        except BaseException:
            # What was broken off may have made another error of it, such as of an import, or none.
            if stop.broke_off:
                sys.exit(128 + stop.number)
            raise
        finally:
            # What others do when Python ends may take its time.
            stop.at_end = end_at_once
