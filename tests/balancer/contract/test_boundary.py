"""The boundary around plugins: a Ctrl-C that comes from outside passes it, everything else says whose it is."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from balancer.contract.boundary import calling
from balancer.errors import PluginError
from balancer.train.stopping import Stopped, stop_requests


def raised(code: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as caught, calling("plugin x of acme 1.0 fails"):
        code()
    return caught.value


def interrupt() -> None:
    """As Ctrl-C: the handler runs in the main thread, between two instructions."""
    signal.raise_signal(signal.SIGINT)
    time.sleep(10)


def own() -> None:
    raise KeyboardInterrupt


def passed_on() -> None:
    try:
        interrupt()
    except KeyboardInterrupt as error:
        raise error


@pytest.fixture(autouse=True)
def python_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("code", [interrupt, passed_on])
def test_a_real_ctrl_c_stays_one(code: Callable[[], object]) -> None:
    assert type(raised(code)) is KeyboardInterrupt


def test_one_that_the_plugin_raises_is_its_error() -> None:
    error = raised(own)
    assert type(error) is PluginError
    assert str(error) == "plugin x of acme 1.0 fails: KeyboardInterrupt"


def test_an_error_in_a_call_is_not_taken_for_that_of_a_handler() -> None:
    """Python's constants for handlers are of an enumeration, whose class is called to look a value up."""
    assert type(raised(lambda: signal.Signals(10**6))) is PluginError


def test_in_our_loop_ctrl_c_is_no_error_of_a_plugin_and_a_plugins_own_is() -> None:
    with stop_requests() as stop:
        assert type(raised(interrupt)) is Stopped  # before there is anything to keep
    with stop_requests() as stop:
        stop.begin()
        signal.raise_signal(signal.SIGINT)
        assert stop.number == signal.SIGINT
        assert type(raised(own)) is PluginError


class Preempted(Exception):
    """What a script raises when its time is over."""


class Handler:
    """A handler that is an object, or a method of one."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, number: int, frame: Any) -> None:
        raise self.error

    def method(self, number: int, frame: Any) -> None:
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(0), Preempted()])
def test_what_a_scripts_own_handler_raises_is_the_scripts(error: BaseException) -> None:
    def handler(number: int, frame: Any) -> None:
        raise error

    for installed in (handler, Handler(error), Handler(error).method, functools.partial(handler)):
        signal.signal(signal.SIGINT, installed)
        assert raised(interrupt) is error
    assert type(raised(own)) is PluginError
