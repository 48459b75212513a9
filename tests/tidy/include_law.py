#!/usr/bin/env python3
"""Guard: base <- crypto <- noise <- tun <- daemon; each includes itself and those to its left.

agent may include base and crypto. Includes of ours are rooted at the repository. Left of tun no
header of the operating system, of threads or of the control plane's libraries is seen.
"""
import re
import sys

import source

ALLOWED = {room: source.CORE[: source.CORE.index(room) + 1] for room in source.CORE}
ALLOWED["daemon"] = source.CORE + ("daemon",)
ALLOWED["agent"] = ("base", "crypto", "agent")

# Header (as a regular expression), rooms that may include it, why not the others.
RESERVED = (
    (r"(openssl/.*|sodium\.h|sodium/.*|blake2\.h|intel-ipsec-mb\.h)", ("crypto",),
     "primitives live in crypto/"),
    (r"(boost|spdlog|fmt|CLI)/.*", ("daemon", "agent"), "control plane only"),
    (r"libmnl/.*|systemd/.*", ("tun", "daemon", "agent"), "kernel contact is in tun/ and right"),
    (r"liburing.*", ("tun",), "engines live in tun/"),
    (r"sys/.*|net/.*|netinet/.*|arpa/.*|linux/.*|unistd\.h|fcntl\.h|poll\.h|time\.h|ctime"
     r"|pthread\.h|sched\.h|signal\.h|csignal", ("tun", "daemon", "agent"),
     "no system call left of tun/: what it needs is injected"),
    (r"thread|mutex|shared_mutex|condition_variable|future|stop_token|semaphore|latch|barrier",
     ("tun", "daemon", "agent"), "no thread or lock left of tun/"),
    (r"random", ("daemon", "agent"), "entropy is injected: noise/entropy.hpp"),
    (r"functional|map|unordered_map|memory_resource|iostream|fstream|sstream|regex|filesystem",
     ("daemon", "agent"), "allocates; use what base/ has"),
    (r"string|vector|deque|list|set|unordered_set|memory", ("tun", "daemon", "agent"),
     "allocates; use what base/ has"),
)


def fault_of_ours(room, name):
    first = name.split("/")[0]
    if "/" not in name or first.startswith("."):
        return f'"{name}": write the path from the root of the repository'
    if first not in ALLOWED[room]:
        return f'{room}/ may not include "{name}": only {", ".join(ALLOWED[room])}'
    return None


def fault_of_system(room, name):
    if name.split("/")[0] in source.ROOMS + ("tests", "bench", "fuzz"):
        return f"<{name}>: ours are included with quotes"
    for pattern, rooms, why in RESERVED:
        if re.fullmatch(pattern, name) and room not in rooms:
            return f"{room}/ may not include <{name}>: {why}"
    return None


def main():
    root = source.arguments(__doc__).root
    faults = []
    for path in source.of_kind("cpp", root):
        room = path.parts[0]
        if room not in ALLOWED:
            continue
        for line, bracket, name in source.includes(source.read(path, root)):
            fault = (fault_of_ours(room, name) if bracket == '"'
                     else fault_of_system(room, name))
            if fault:
                faults.append((path, line, fault))
    return source.report(faults)


if __name__ == "__main__":
    sys.exit(main())
