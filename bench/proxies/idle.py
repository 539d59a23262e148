"""Clients that have their answer and stay connected."""

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from processes import Failure

WANTED = 65_536


def raise_limit() -> int:
    """Open files that this process, and what it starts, may have from now on."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (WANTED, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            return limit
        except (OSError, ValueError):
            continue
    return hard


def ask(client: socket.socket, path: str) -> None:
    """One request, and its whole answer."""
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += receive(client)
    head, body = answer.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 200"):
        raise Failure(f"an idle client got {head.splitlines()[0]!r}")
    [length] = [int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length:")]
    while len(body) < length:
        body += receive(client)


def receive(client: socket.socket) -> bytes:
    piece = client.recv(65_536)
    if not piece:
        raise Failure("an idle client's connection was closed")
    return piece


@contextmanager
def clients(port: int, path: str, count: int) -> Iterator[None]:
    """So many, one after the other, so that none of the upstream's connections is theirs alone."""
    held: list[socket.socket] = []
    try:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port), timeout=10)
            held.append(client)
            ask(client, path)
        yield
    finally:
        for client in held:
            client.close()
