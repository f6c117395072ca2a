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


class Way:
    """Leads a free port to a socket, until the stage is left. It may come to lead to another."""

    def __init__(self, stage, path):
        self.path = str(path)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        stage.endings.append(self.listener.close)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        """Takes connections and opens the socket for each."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self.path)
                except OSError:
                    client.close()
                    continue
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()
