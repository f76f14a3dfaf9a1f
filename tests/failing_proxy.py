"""Between a client and an HTTP server on loopback: fails chosen requests in chosen ways."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

NOT_FORWARDED = frozenset({"connection", "expect", "transfer-encoding"})
PATIENCE_S = 20


class Fault(StrEnum):
    """What becomes of a request."""

    REFUSED = "the connection is closed before anything is read"
    HALF_SENT = "the server gets half of the body, and then nothing"
    SERVER_ERROR = "500, and the server never hears of it"
    BUSY = "503, and the server never hears of it"
    LOST_ANSWER = "the server does it, and the connection is closed without its answer"
    HALF_ANSWER = "the server does it, and half of its answer arrives"


class FailingProxy(ThreadingHTTPServer):
    """Passes requests on; from the `first`-th of a plan on it fails `times` of them."""

    daemon_threads = True

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server = urlsplit(server).netloc
        self.seen: list[str] = []
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._first = self._last = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fail(self, fault: Fault, *, first: int, times: int = 10**9) -> None:
        """Requests are counted from here, the next is the first."""
        with self._lock:
            self.seen = []
            self._fault, self._first, self._last = fault, first, first + times - 1

    def work(self) -> None:
        with self._lock:
            self.seen = []
            self._fault = None

    def fault_of(self, request: str) -> Fault | None:
        with self._lock:
            self.seen.append(request)
            return self._fault if self._first <= len(self.seen) <= self._last else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FailingProxy
    timeout = PATIENCE_S

    def handle_any(self) -> None:
        fault = self.server.fault_of(f"{self.command} {self.path}")
        if fault == Fault.REFUSED:
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault in (Fault.SERVER_ERROR, Fault.BUSY):
            self.send_response(500 if fault == Fault.SERVER_ERROR else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._pass_on(body, fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    def _pass_on(self, body: bytes, fault: Fault | None) -> None:
        server = http.client.HTTPConnection(self.server.server, timeout=PATIENCE_S)
        try:
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in NOT_FORWARDED:
                    server.putheader(name, value)
            if fault == Fault.HALF_SENT:
                server.endheaders(body[: len(body) // 2])
                self.close_connection = True
                return
            server.endheaders(body)
            self._answer(server.getresponse(), fault)
        finally:
            server.close()

    def _answer(self, response: http.client.HTTPResponse, fault: Fault | None) -> None:
        content = response.read()
        self.close_connection = fault is not None
        if fault == Fault.LOST_ANSWER:
            return
        if fault == Fault.HALF_ANSWER and not content:
            self.wfile.write(b"HTTP/1.1 2")
            return
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in NOT_FORWARDED | {"content-length"}:
                self.send_header(name, value)
        announced = response.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", announced or str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if fault else content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def failing_proxy(server: str) -> Iterator[FailingProxy]:
    proxy = FailingProxy(server)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
