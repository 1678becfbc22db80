"""One page on this machine alone, shown anew as a log grows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from balancer.errors import ConfigError

LOOPBACK: Final = "127.0.0.1"
IDLE_SECONDS: Final = 30  # after which a connection that says nothing is closed


class LivePage:
    """The page as it is now; made when it is asked for, at most once for each state.

    Args:
        make: makes the page, given its version.
        policy: its Content-Security-Policy.

    Attributes:
        lock: held while the page is made, since a history sorts itself when it is looked at.
    """

    def __init__(self, make: Callable[[int], str], policy: str) -> None:
        self._make: Final = make
        self.policy: Final = f"{policy}; frame-ancestors 'none'"
        self._version = 0
        self._made: tuple[int, bytes] | None = None
        self.lock: Final = threading.Lock()

    @property
    def version(self) -> int:
        """The number of the state that it shows."""
        return self._version

    def changed(self) -> None:
        """There is something new to show."""
        self._version += 1

    def content(self) -> bytes:
        """The page."""
        with self.lock:
            version = self._version
            if self._made is None or self._made[0] != version:
                self._made = version, self._make(version).encode()
            return self._made[1]


@contextmanager
def served(page: LivePage, port: int) -> Iterator[str]:
    """Serve a page meanwhile; gives its address.

    Only a browser on this machine that asks for this address gets it: a name of somebody else's that leads here
    (DNS rebinding) is refused.

    Args:
        port: 0 for a free one.

    Raises:
        ConfigError: the port cannot be used.
    """
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), _handler(page))
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"--serve {port}: {reason}; name another port, or 0 for a free one") from None
    # A browser that keeps a connection open does not keep the command alive.
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(page: LivePage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = IDLE_SECONDS

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            port = self.connection.getsockname()[1]
            if self.headers.get_all("Host") not in ([f"{LOOPBACK}:{port}"], [f"localhost:{port}"]):
                self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
                return
            if self.path != "/":
                self._refuse(HTTPStatus.NOT_FOUND)
                return
            content = page.content() if with_body else b""
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("X-Version", str(page.version))
            self._end(content)

        def _refuse(self, status: HTTPStatus) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self._end(f"{status.phrase}\n".encode() if self.command == "GET" else b"")

        def _end(self, content: bytes) -> None:
            self.send_header("Content-Security-Policy", page.policy)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def version_string(self) -> str:
            return "balancer"

        def log_message(self, *parts: object) -> None:
            """Nothing is said of requests."""

    return Handler
