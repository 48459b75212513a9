"""TUN devices and sockets made by hand, to be passed to a daemon."""

import fcntl
import os
import socket
import struct

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000


def open_tun(space, ifname, flags=IFF_TUN | IFF_NO_PI):
    """A TUN of the space as an open file descriptor."""
    with space.entered():
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", ifname.encode(), flags))
    return fd


def listening_socket(space, ifname):
    """The UAPI socket of an interface, bound and listening."""
    directory = space.path("/run/wireguard")
    directory.mkdir(exist_ok=True, mode=0o755)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(directory / f"{ifname}.sock"))
    sock.listen(64)
    return sock
