"""The image of a process, searched."""

import contextlib


def places_in_memory(pid, wanted):
    """Where the bytes are, as "address in mapping"."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            fields = line.split()
            first, last = (int(word, 16) for word in fields[0].split("-"))
            if fields[1].startswith("r") and fields[-1] not in ("[vvar]", "[vsyscall]"):
                with contextlib.suppress(OSError, ValueError):
                    memory.seek(first)
                    image, at = memory.read(last - first), -1
                    while (at := image.find(wanted, at + 1)) >= 0:
                        found.append(f"{first + at:x} in {' '.join(fields[5:]) or fields[0]}")
    return found
