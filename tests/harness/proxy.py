"""A proxy in front of a real S3 server that sees requests one by one and does to the n-th of a kind what a test says.

Clients sign for the proxy's address and the Host header passes unchanged (the servers of the tests accept any Host), so
signatures stay right. A request's kind is "METHOD noun", such as "PUT part" or "POST complete": see `kind_of`.
One thread a connection; nothing is kept of bodies but what a fault needs.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

BLOCK = 1 << 16
LONGEST_HEAD = 1 << 16
HANG_SECONDS = 300.0
NOUNS = (
    ("/part-", "part"),
    ("/runs/", "intent"),
    ("/manifests/", "manifest"),
    ("/meta.age", "meta"),
    ("/RECOVER.", "recover"),
    ("/repository.json", "repository"),
)


class Hangup(Exception):
    """The connection is over: one side went away, or a fault ended it."""


def kind_of(method: str, target: str) -> str:
    """Name a request: what it does, to what."""
    parts = urlsplit(target)
    path, query = unquote(parts.path), parse_qs(parts.query, keep_blank_values=True)
    if "uploads" in query:
        return "POST begin" if method == "POST" else "GET uploads"
    if "uploadId" in query:
        return {"PUT": "PUT piece", "POST": "POST complete", "DELETE": "DELETE upload"}.get(method, f"{method} upload")
    if "delete" in query:
        return "POST delete"
    if "list-type" in query:
        return "GET list"
    noun = next((noun for sign, noun in NOUNS if sign in path), "other")
    return f"{method} {noun}"


@dataclass
class Wire:
    """One side of a connection, with what was read too far."""

    socket: socket.socket
    ahead: bytes = b""

    def head(self) -> bytes:
        """Return the next message's head, its empty line included."""
        while b"\r\n\r\n" not in self.ahead:
            block = self._receive()
            self.ahead += block
            if len(self.ahead) > LONGEST_HEAD:
                raise Hangup
        head, _, self.ahead = self.ahead.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def take(self, most: int) -> bytes:
        """Return at least one byte and at most so many."""
        if not self.ahead:
            self.ahead = self._receive()
        block, self.ahead = self.ahead[:most], self.ahead[most:]
        return block

    def send(self, data: bytes) -> None:
        """Send all of it."""
        try:
            self.socket.sendall(data)
        except OSError as gone:
            raise Hangup from gone

    def reset(self) -> None:
        """Close so that the other side sees a reset, not an end."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.shutdown(socket.SHUT_RD)
        with contextlib.suppress(OSError):
            self.socket.close()

    def _receive(self) -> bytes:
        try:
            block = self.socket.recv(BLOCK)
        except OSError as gone:
            raise Hangup from gone
        if not block:
            raise Hangup
        return block


def framing(head: bytes) -> dict[bytes, bytes]:
    """Return the header fields, names in lower case."""
    lines = head.split(b"\r\n")[1:]
    pairs = (line.partition(b":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def body(wire: Wire, fields: dict[bytes, bytes]) -> Iterator[bytes]:
    """Yield a body's bytes as they lie on the wire, chunk heads included."""
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        yield from _chunks(wire)
        return
    left = int(fields.get(b"content-length", b"0"))
    while left:
        block = wire.take(min(left, BLOCK))
        left -= len(block)
        yield block


def _chunks(wire: Wire) -> Iterator[bytes]:
    while True:
        line = _line(wire)
        yield line
        left = int(line.partition(b";")[0], 16) + 2
        last = left == 2
        while left and not last:
            block = wire.take(left)
            left -= len(block)
            yield block
        if last:
            while True:
                line = _line(wire)
                yield line
                if line == b"\r\n":
                    return


def _line(wire: Wire) -> bytes:
    line = b""
    while not line.endswith(b"\r\n"):
        line += wire.take(1)
    return line


@dataclass
class Exchange:
    """One request in the hands of a fault. The plain course is `forward`, `fetch`, `pass_on`."""

    proxy: Proxy
    client: Wire
    server: Wire
    kind: str
    key: str
    head: bytes
    number: int = 0
    _reply: bytes = b""

    def forward(self, *, most: int | None = None, rate: float | None = None, flip_at: int | None = None) -> None:
        """Send the request on: at most so many bytes of its body, so many a second, one bit of it changed."""
        fields = framing(self.head)
        if fields.get(b"expect", b"").lower() == b"100-continue":
            self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.server.send(self.head)
        done = 0
        for block in body(self.client, fields):
            sent = block if most is None else block[: most - done]
            if flip_at is not None and done <= flip_at < done + len(sent):
                place = flip_at - done
                sent = sent[:place] + bytes([sent[place] ^ 1]) + sent[place + 1 :]
            self.server.send(sent)
            done += len(sent)
            if rate:
                self.proxy.pause(len(block) / rate)
            if most is not None and done >= most:
                return

    def swallow(self) -> None:
        """Read the request's body to nowhere."""
        fields = framing(self.head)
        if fields.get(b"expect", b"").lower() == b"100-continue":
            self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        for _ in body(self.client, fields):
            pass

    def fetch(self) -> None:
        """Wait for the server's whole answer."""
        head = self.server.head()
        while head.split(b" ", 2)[1].startswith(b"1"):
            head = self.server.head()
        status = head.split(b" ", 2)[1]
        empty = self.kind.startswith("HEAD ") or status in (b"204", b"304")
        self._reply = head + (b"" if empty else b"".join(body(self.server, framing(head))))

    @property
    def status(self) -> int:
        """The status of the answer fetched."""
        return int(self._reply.split(b" ", 2)[1])

    def pass_on(self) -> None:
        """Give the client the answer."""
        self.client.send(self._reply)

    def plainly(self) -> None:
        """Do what a proxy does."""
        self.forward()
        self.fetch()
        self.pass_on()

    def answer(self, status: int, code: str, message: str = "said by the test") -> None:
        """Answer in the server's place, as S3 words its errors."""
        self.swallow()
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
        content = b"" if self.kind.startswith("HEAD ") else text.encode()
        head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(content)}\r\n\r\n"
        self.client.send(head.encode() + content)

    def reset(self) -> None:
        """End both connections at once."""
        self.client.reset()
        self.server.reset()
        raise Hangup

    def hang(self) -> None:
        """Say nothing more until the proxy lets go; then end the connection."""
        self.proxy.wait_released()
        self.reset()


Fault = Callable[[Exchange], None]


@dataclass
class Rule:
    """From the `first` request of `kind` on (counted from 1), the fault meets `count` of them; None: all that follow.

    `kind` "*" means any request.
    """

    kind: str
    fault: Fault
    first: int = 1
    count: int | None = 1
    seen: int = 0
    met: int = 0

    def fits(self, kind: str) -> bool:
        """Count a request, and tell whether the fault meets it."""
        if self.kind not in ("*", kind):
            return False
        self.seen += 1
        if self.seen < self.first or (self.count is not None and self.seen >= self.first + self.count):
            return False
        self.met += 1
        return True


@dataclass
class Proxy:
    """The running proxy. `arrived` lists the kinds of requests in the order they came."""

    target: tuple[str, int]
    port: int = 0
    arrived: list[str] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    _listener: socket.socket | None = None
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _released: threading.Event = field(default_factory=threading.Event)
    _open: set[socket.socket] = field(default_factory=set)

    @property
    def endpoint(self) -> str:
        """What clients are told."""
        return f"http://127.0.0.1:{self.port}"

    def clear(self) -> None:
        """Forget rules and history, let go of everything that hangs, and end every connection."""
        with self._guard:
            self.rules.clear()
            self.arrived.clear()
            released, self._released = self._released, threading.Event()
        released.set()
        self._reset_all()

    def on(self, kind: str, fault: Fault, *, first: int = 1, count: int | None = 1) -> Rule:
        """Add a rule; the first that fits decides."""
        rule = Rule(kind, fault, first, count)
        with self._guard:
            self.rules.append(rule)
        return rule

    def count(self) -> Counter[str]:
        """Return how many requests of each kind came."""
        with self._guard:
            return Counter(self.arrived)

    def pause(self, seconds: float) -> None:
        """Let time pass, unless everything is let go of."""
        self._released.wait(seconds)

    def wait_released(self) -> None:
        """Wait until the test lets go."""
        self._released.wait(HANG_SECONDS)

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections, also those that stand, for the length of the block."""
        self._close()
        self._reset_all()
        try:
            yield
        finally:
            self.listen()

    def listen(self) -> None:
        """Accept connections, at the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True, name="proxy").start()

    def close(self) -> None:
        """End it all."""
        self.clear()
        self._close()

    def _close(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                # Wakes accept(), which a mere close would leave waiting.
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _reset_all(self) -> None:
        with self._guard:
            open_now, self._open = self._open, set()
        for one in open_now:
            Wire(one).reset()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True, name="proxied").start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, Hangup), client, socket.create_connection(self.target) as server:
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._guard:
                self._open |= {client, server}
            try:
                near, far = Wire(client), Wire(server)
                while True:
                    self._one(near, far)
            finally:
                with self._guard:
                    self._open -= {client, server}

    def _one(self, near: Wire, far: Wire) -> None:
        head = near.head()
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        kind = kind_of(method, target)
        exchange = Exchange(self, near, far, kind, unquote(urlsplit(target).path).lstrip("/"), head)
        with self._guard:
            self.arrived.append(kind)
            exchange.number = len(self.arrived)
            # Every rule counts, the first that fits acts.
            fitting = [rule for rule in self.rules if rule.fits(kind)]
        if fitting:
            fitting[0].fault(exchange)
        else:
            exchange.plainly()


@contextlib.contextmanager
def proxy_to(endpoint: str) -> Iterator[Proxy]:
    """Run a proxy in front of the server at `endpoint` for the length of the block."""
    place = urlsplit(endpoint)
    proxy = Proxy((str(place.hostname), int(place.port or 80)))
    proxy.listen()
    try:
        yield proxy
    finally:
        proxy.close()


def lose_reply(exchange: Exchange) -> None:
    """Let the server do it, and the client never hear of it."""
    exchange.forward()
    exchange.fetch()
    exchange.reset()


def cut_after(body_bytes: int) -> Fault:
    """Reset the connection when so many bytes of the body went through."""

    def fault(exchange: Exchange) -> None:
        exchange.forward(most=body_bytes)
        exchange.reset()

    return fault


def hang_after(body_bytes: int) -> Fault:
    """Read nothing more, say nothing more, close nothing."""

    def fault(exchange: Exchange) -> None:
        exchange.forward(most=body_bytes)
        exchange.hang()

    return fault


def say(status: int, code: str) -> Fault:
    """Answer with an error of S3's."""
    return lambda exchange: exchange.answer(status, code)


def flip(at: int) -> Fault:
    """Change one bit of the body on its way."""

    def fault(exchange: Exchange) -> None:
        exchange.forward(flip_at=at)
        exchange.fetch()
        exchange.pass_on()

    return fault


def slow(bytes_per_second: float) -> Fault:
    """Pass bodies on at a rate."""

    def fault(exchange: Exchange) -> None:
        exchange.forward(rate=bytes_per_second)
        exchange.fetch()
        exchange.pass_on()

    return fault


def late(seconds: float) -> Fault:
    """Do it, and answer late."""

    def fault(exchange: Exchange) -> None:
        exchange.forward()
        exchange.fetch()
        exchange.proxy.pause(seconds)
        exchange.pass_on()

    return fault


def calling(moment: str, act: Callable[[], None]) -> Fault:
    """Call `act` when the request is "arrived", "forwarded" (done by the server, unheard) or "answered"."""

    def fault(exchange: Exchange) -> None:
        if moment == "arrived":
            act()
            exchange.plainly()
            return
        exchange.forward()
        exchange.fetch()
        if moment == "forwarded":
            act()
        exchange.pass_on()
        if moment == "answered":
            act()

    return fault
