"""The image of a process, searched."""

import re

from lab.run import LabError

# Of the kernel, or of a ring: the process keeps nothing there by itself.
NOT_OURS = ("[vvar]", "[vvar_vclock]", "[vsyscall]", "anon_inode:[io_uring]")


def image_of(memory, first, last):
    """All of a mapping: a read may be short."""
    memory.seek(first)
    image = bytearray()
    while len(image) < last - first:
        piece = memory.read(last - first - len(image))
        if not piece:
            raise LabError(f"{first:x}-{last:x}: {len(image)} bytes of it could be read")
        image += piece
    return image


def places_in_memory(pid, wanted):
    """Where the bytes are, as "address in mapping"."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            fields = line.split()
            first, last = (int(word, 16) for word in fields[0].split("-"))
            if fields[1].startswith("r") and fields[-1] not in NOT_OURS:
                image, at = image_of(memory, first, last), -1
                while (at := image.find(wanted, at + 1)) >= 0:
                    found.append(f"{first + at:x} in {' '.join(fields[5:]) or fields[0]}")
    return found


def flags_at(pid, place):
    """VmFlags of the mapping where places_in_memory() found something: "lo" is locked memory."""
    address, inside = int(place.split()[0], 16), False
    with open(f"/proc/{pid}/smaps") as smaps:
        for line in smaps:
            if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
                inside = int(bounds[1], 16) <= address < int(bounds[2], 16)
            elif inside and line.startswith("VmFlags:"):
                return line.split()[1:]
    return []
