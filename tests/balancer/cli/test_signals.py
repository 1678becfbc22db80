"""A signal means the same to a command before it has begun, while it imports and while it works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

# The command line, which says to a pipe when it comes to import a module, and stays there until it is told; whoever
# imports it passes over what is raised, as some packages do.
HELD = """
import os, sys, time
pipe, held = int(sys.argv.pop(1)), sys.argv.pop(1)

class Hold:
    def find_spec(self, name, path=None, target=None):
        if name == held:
            os.write(pipe, b".")
            try:
                time.sleep(20)
            except BaseException:
                pass

sys.meta_path.insert(0, Hold())
from balancer.cli.main import main
main()
"""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
COMMANDS = {"typer": ["--help"], "torch": ["train", "--model", "points", "--steps", "1", "--dry-run"]}
SAID = {"typer": "", "torch": "{}: ended before the first step; nothing was trained\n"}


@pytest.mark.parametrize("held", COMMANDS)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_an_import_ends_with_its_status_and_no_traceback(held: str, number: signal.Signals) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, str(writing), held, *COMMANDS[held]],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[writing],
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        assert pipe.read(1) == b"."
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (128 + number, "", SAID[held].format(number.name))


# A command at work, in which something passes over an exception, or makes another of it.
BROKEN = """
import signal, sys
from balancer.cli import app
from balancer.cli.main import main

def run(words):
    try:
        signal.raise_signal(signal.SIGTERM)
    except BaseException as error:
        {then}

app.run = run
main()
"""


@pytest.mark.parametrize("then", ["raise ImportError('half of a module') from error", "sys.exit(0)", "raise"])
def test_what_a_signal_broke_off_ends_with_its_status_whatever_comes_of_it(then: str) -> None:
    done = subprocess.run([sys.executable, "-c", BROKEN.format(then=then)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGTERM, "", "")


def test_a_signal_after_the_work_is_done_fails_nothing() -> None:
    late = "import atexit, signal, sys\nfrom balancer.cli.main import main\nsys.argv = ['balancer', '--version']\n"
    code = f"{late}try:\n    main()\nfinally:\n    atexit._run_exitfuncs()\n    signal.raise_signal(signal.SIGTERM)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# A command whose work is done, while something else still ends, such as a tracker that hands over its last figures.
ENDING = """
import atexit, os, sys, time
from balancer.cli import app
from balancer.cli.main import main

def end():
    os.write(2, b".")
    time.sleep(20)

def run(words):
    atexit.register(end)

app.run = run
main()
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_python_ends_has_its_status_too(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", ENDING], stderr=subprocess.PIPE)
    assert process.stderr is not None and process.stderr.read(1) == b"."
    process.send_signal(number)
    assert (process.communicate()[1], process.returncode) == (b"", 128 + number)
