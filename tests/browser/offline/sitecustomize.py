"""Python imports this at its start if its folder is on PYTHONPATH: it refuses connections to other hosts and notes them.

Each refused call becomes a line in the file that BYOL_CALLS names. An audit hook sees the calls of every library, and
the processes that a server starts inherit it.
"""

import os
import socket
import sys

HERE = {"", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::", socket.gethostname()}


def refuse(event: str, arguments: tuple) -> None:
    if event == "socket.connect":
        where = arguments[1]
        host = where[0] if isinstance(where, tuple) else ""  # the path of a Unix socket is on this machine
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0] or ""
    else:
        return
    host = host.decode() if isinstance(host, bytes) else str(host)
    if host not in HERE and not host.startswith("127."):
        with open(os.environ["BYOL_CALLS"], "a", encoding="utf-8") as file:
            file.write(f"{event} {host} by {' '.join(sys.argv[:3])}\n")
        raise ConnectionRefusedError(f"{host} is another host")


sys.addaudithook(refuse)
