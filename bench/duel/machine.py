"""What the numbers belong to: processor, kernel, tools, the state of our sources."""

import os
import pathlib
import platform
import re

from lab.run import run
from peers import build
from peers.build import ROOT

FLAGS = ("aes", "vaes", "avx2", "avx512f", "avx512ifma", "vpclmulqdq", "hypervisor")


def first(pattern, text, default="unknown"):
    found = re.search(pattern, text, re.M)
    return found[1].strip() if found else default


def commit():
    """Of the tree this file is in; the program measured may be another one, see its version."""
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", ROOT]
    head = run([*git, "rev-parse", "--short=12", "HEAD"], check=False)
    if head.code != 0:
        return "unknown"
    changed = run([*git, "status", "--porcelain"], check=False).out.strip()
    return head.out.strip() + (" and changes" if changed else "")


def describe():
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    words = first(r"^(?:flags|Features)\s*:(.*)$", cpu, "").split()
    memory = pathlib.Path("/proc/meminfo").read_text()
    release = pathlib.Path("/etc/os-release")
    return {
        "cpu": first(r"^model name\s*:(.*)$", cpu, platform.machine()),
        "cores": os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in words],
        "memory_gb": round(int(first(r"^MemTotal:\s+(\d+)", memory, "0")) / 1e6, 1),
        "kernel": platform.release(),
        "system": first(r'^PRETTY_NAME="(.*)"$',
                        release.read_text() if release.exists() else ""),
        "iperf3": first(r"iperf ([\d.]+)", run(["iperf3", "--version"], check=False).text),
        "go": first(r"go version go(\S+)", run([build.go_toolchain() or "false", "version"],
                                               check=False).out),
        "rust": first(r"cargo (\S+)", run([build.rust_toolchain(0) or "false", "--version"],
                                          check=False).out),
        "load_before": round(os.getloadavg()[0], 2),
        "commit": commit(),
    }
