"""TLS in front of a plain test server: an authority that nobody knows, and a forwarder that shows its certificate.

The forwarder only moves bytes, so what the server says is what the client reads.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

BLOCK = 1 << 16


@dataclass(frozen=True)
class Authority:
    """A self-made certificate authority. `bundle` is what a client must trust; `chain` and `key` are the server's."""

    bundle: Path
    chain: Path
    key: Path


def make_authority(folder: Path) -> Authority:
    """Make an authority and a certificate of it for 127.0.0.1."""
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name, server_name = _name("zpb test authority"), _name("zpb test server")
    root = (
        _certificate(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    leaf = (
        _certificate(server_name, authority_name, server_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    made = Authority(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    made.bundle.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    made.chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return made


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )


@contextlib.contextmanager
def tls_forwarder(target_port: int, authority: Authority) -> Iterator[int]:
    """Accept TLS on a loopback port, yielded, and pass the bytes to the plain server at `target_port`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.chain, authority.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = threading.Thread(target=_accept, args=(listener, context, target_port), daemon=True)
        worker.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            # Wakes accept(), which a mere close would leave waiting.
            listener.shutdown(socket.SHUT_RDWR)
            worker.join(10)


def _accept(listener: socket.socket, context: ssl.SSLContext, target_port: int) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(client, context, target_port), daemon=True).start()


def _serve(client: socket.socket, context: ssl.SSLContext, target_port: int) -> None:
    """Serve one connection; a client that hangs up or does not trust us is no error here."""
    with (
        contextlib.suppress(OSError),
        client,
        context.wrap_socket(client, server_side=True) as secure,
        socket.create_connection(("127.0.0.1", target_port)) as plain,
    ):
        back = threading.Thread(target=_pump, args=(plain, secure), daemon=True)
        back.start()
        _pump(secure, plain)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(BLOCK):
            sink.sendall(block)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
