"""The first process of a space: keeps its namespaces alive and reaps what is orphaned there.

It ends when its standard input ends, that is, when the test run ends in any way at all; the
kernel then kills every process of the pid namespace and the network namespace goes with them.
"""

import ctypes
import os
import signal
import subprocess
import sys

SYSCTLS = {
    "net/ipv4/ping_group_range": "0 0",
    "net/ipv6/conf/default/accept_dad": "0",
}


def mount(kind, target):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(kind.encode(), target.encode(), kind.encode(), 0, None) != 0:
        sys.exit(f"mount {kind} on {target}: {os.strerror(ctypes.get_errno())}")


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for kind, target in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run")):
        mount(kind, target)
    for name, value in SYSCTLS.items():
        with open(f"/proc/sys/{name}", "w") as file:
            file.write(value)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # After this line children are reaped by the kernel, ours and adopted ones alike.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
