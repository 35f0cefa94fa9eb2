"""One TCP connection with a request each 20 ms for some seconds; prints how many were answered and how many packets went twice.

Runs at the vantage point: `python -m tests.e2e.flow ADDRESS SECONDS`. TCP_INFO's total of retransmissions (linux/tcp.h, offset 100)
says what HTTP alone hides: a lost packet.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time

REQUEST = b"GET /whoami HTTP/1.1\r\nHost: flow\r\n\r\n"
TOTAL_RETRANS = 100


def main() -> None:
    """Ask until the time is over."""
    address, seconds = sys.argv[1], float(sys.argv[2])
    answered, longest = 0, 0.0
    with socket.create_connection((address, 80), timeout=10) as connection:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            connection.sendall(REQUEST)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            longest = max(longest, time.monotonic() - began)
            answered += 1
            time.sleep(0.02)
        about = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    retransmitted = struct.unpack_from("=I", about, TOTAL_RETRANS)[0]
    print(json.dumps({"answered": answered, "retransmitted": retransmitted, "longestMs": longest * 1000}))


if __name__ == "__main__":
    main()
