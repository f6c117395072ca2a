"""A way to a socket of the file system, for who can reach ports of loopback alone."""

import contextlib
import socket
import threading


def pump(source, target):
    """Passes on what comes, until it ends."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def serve(listener, path):
    """Takes connections and opens the socket for each."""
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(path)
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()


def forward(stage, path):
    """Leads a free port to the socket, until the stage is left; returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    stage.endings.append(listener.close)
    threading.Thread(target=serve, args=(listener, path), daemon=True).start()
    return listener.getsockname()[1]
