"""The first process of a space: keeps its namespaces alive and reaps what is orphaned there.

It ends when its standard input ends, that is, when the test run ends in any way at all; the
kernel then kills every process of the pid namespace and the network namespace goes with them.
"""

import signal
import subprocess
import sys


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for command in ("mount -t proc proc /proc", "mount -t sysfs sysfs /sys",
                    "mount -t tmpfs tmpfs /run", "ip link set lo up",
                    "sysctl -qw net.ipv4.ping_group_range=0",
                    "sysctl -qw net.ipv6.conf.default.accept_dad=0"):
        subprocess.run(command.split(), check=command.startswith(("mount", "ip")))
    # After this line children are reaped by the kernel, ours and adopted ones alike.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
