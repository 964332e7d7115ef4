"""The network interface that leads to another node.

gloo listens where this machine's own name points to, which on many is a loopback address: ranks of other nodes then
wait for it in vain. So it is told.
"""

import fcntl
import socket
import struct

SIOCGIFADDR = 0x8915  # linux/sockios.h
NAME_BYTES = 15
DISCARD_PORT = 9
"""Nothing is sent there: a datagram socket that is connected has chosen its way."""


def interface_to(address: str) -> str | None:
    """The interface from which `address` (IPv4, or a name of it) is reached; None if that is not to be told.

    OSError for a name that does not resolve.
    """
    family, kind, protocol, _, where = socket.getaddrinfo(address, DISCARD_PORT, type=socket.SOCK_DGRAM)[0]
    if family != socket.AF_INET:
        return None
    with socket.socket(family, kind, protocol) as opened:
        try:
            opened.connect(where)
        except OSError:  # no way there: connecting will say so
            return None
        local = opened.getsockname()[0]
    return next((name for _, name in socket.if_nameindex() if _ipv4(name) == local), None)


def _ipv4(name: str) -> str | None:
    request = struct.pack("256s", name.encode()[:NAME_BYTES])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        try:
            answer = fcntl.ioctl(opened.fileno(), SIOCGIFADDR, request)
        except OSError:  # it has none
            return None
    return socket.inet_ntoa(answer[20:24])
