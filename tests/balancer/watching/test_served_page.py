"""The page of a log that is followed is for browsers on this machine, and for nobody else."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from balancer.diagnosis.diagnose import diagnose
from balancer.errors import ConfigError
from balancer.page.live import live_page, waiting_page
from balancer.page.page import Live, page_policy
from balancer.watching.serve import LivePage, served

CASE = Path(__file__).parents[3] / "docs" / "case.log"


class Answer:
    def __init__(self, port: int, path: str = "/", method: str = "GET", host: str | None = None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request(method, path, headers={} if host is None else {"Host": host})
        answer = connection.getresponse()
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read().decode()
        connection.close()


@pytest.fixture
def page() -> LivePage:
    found = diagnose(CASE)
    return LivePage(lambda version: live_page(found, "en", Live(2.5, version)), page_policy(live=True))


@pytest.fixture
def port(page: LivePage) -> Iterator[int]:
    with served(page, 0) as url:
        parts = urlsplit(url)
        assert parts.hostname == "127.0.0.1" and parts.port
        yield parts.port


def test_the_page_is_that_of_the_diagnosis_and_loads_itself_again(page: LivePage, port: int) -> None:
    first = Answer(port)
    assert first.status == 200 and "D is saturated, and lastingly so" in first.body
    assert first.headers["X-Version"] == "0" and 'data-every="2.5" data-version="0"' in first.body
    page.changed()
    head = Answer(port, method="HEAD")
    assert (head.status, head.headers["X-Version"], head.body) == (200, "1", "")
    assert 'data-version="1"' in Answer(port).body


def test_its_policy_lets_its_own_script_ask_where_it_came_from(port: int) -> None:
    answer = Answer(port)
    policy = answer.headers["Content-Security-Policy"]
    assert "connect-src 'self'" in policy and "'unsafe-inline'" not in re.sub("style-src [^;]*;", "", policy)
    assert "frame-ancestors 'none'" in policy
    # A page in a file asks nobody.
    assert "connect-src" not in page_policy()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:{port}"]
)
def test_other_hosts_are_refused(host: str, port: int) -> None:
    answer = Answer(port, host=host.format(port=port))
    assert answer.status in (400, 421) and "saturated" not in answer.body


def test_this_machine_s_other_name_is_not(port: int) -> None:
    assert Answer(port, host=f"localhost:{port}").status == 200


@pytest.mark.parametrize("path", ["/etc/passwd", "/../../etc/passwd", "/?a=1", "/index.html", "*"])
def test_there_is_one_path(path: str, port: int) -> None:
    answer = Answer(port, path=path)
    assert answer.status == 404 and "saturated" not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_it_can_be_read_and_nothing_else(method: str, port: int) -> None:
    assert Answer(port, method=method).status == 501


def test_a_port_that_is_taken_is_an_error(page: LivePage, port: int) -> None:
    with pytest.raises(ConfigError, match=f"--serve {port}: .*in use"), served(page, port):
        pass


def test_why_it_waits_is_text() -> None:
    page = waiting_page("<script>alert(1)</script>: No such file", "en", Live(2.0, 0))
    assert "<script>" not in page and "&lt;script&gt;" in page
