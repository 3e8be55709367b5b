"""Serve TLS, and HTTP in it, with a certificate: python3 tls_server.py FILE ADDRESS:PORT. Prints `ready` first."""

import socket
import ssl
import sys
import threading


def serve(plain: socket.socket, context: ssl.SSLContext) -> None:
    """One connection."""
    try:
        with context.wrap_socket(plain, server_side=True) as one:
            while b"\r\n\r\n" not in one.recv(65536):
                pass
            one.sendall(b"HTTP/1.1 200 OK\r\nServer: lab\r\nContent-Length: 0\r\n\r\n")
    except OSError:
        pass  # the client went away: not this server's fault


def main() -> None:
    """The program."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    address, _, port = sys.argv[2].rpartition(":")
    with socket.create_server((address, int(port))) as listener:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0], context), daemon=True).start()


if __name__ == "__main__":
    main()
