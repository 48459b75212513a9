"""TUN devices and sockets made by hand, to be passed to a daemon."""

import fcntl
import os
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x0002, 0x1000, 0x4000


def open_tun(space, ifname, flags=IFF_TUN | IFF_NO_PI):
    """A TUN of the space as an open file descriptor."""
    with space.entered():
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", ifname.encode(), flags))
    return fd


# Argument 1 is a socket over which the listening one goes out, argument 2 the path to bind it to.
LISTEN = """
import os, socket, sys
os.makedirs(os.path.dirname(sys.argv[2]), mode=0o755, exist_ok=True)
sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
sock.bind(sys.argv[2])
sock.listen(64)
socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b"it"], [sock.fileno()])
"""


def listening_socket(space, path):
    """A UNIX socket bound inside and listening: the path it carries means the same file there."""
    near, far = socket.socketpair()
    with near, far:
        space.run(sys.executable, "-c", LISTEN, far.fileno(), path, pass_fds=(far.fileno(),))
        _, fds, _, _ = socket.recv_fds(near, 16, 1)
    return socket.socket(fileno=fds[0])
