"""The guest's files: busybox, `wg` of this machine, the modules, and init.sh.

The archive is written here in the kernel's own format (Documentation/driver-api/early-userspace/
buffer-format.rst): neither cpio(1) nor initramfs-tools is needed.
"""

import pathlib
import re
import shutil

from guest.debian import BUSYBOX, KERNEL
from lab.run import LabError, run

# What is not built into Debian's kernel. ipv6 is.
MODULES = ("virtio_pci", "virtio_console", "virtio_net", "wireguard")
TOOLS = ("wg",)
FOLDERS = ("bin", "dev", "modules", "proc", "run", "sys", "tmp")


class Archive:
    """Members of a cpio archive in the "newc" format."""

    def __init__(self):
        self.bytes, self.folders = bytearray(), set()

    def _member(self, name, mode, data=b""):
        encoded = name.encode() + b"\0"
        fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        self.bytes += b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        self._pad()
        self.bytes += data
        self._pad()

    def _pad(self):
        self.bytes += bytes(-len(self.bytes) % 4)

    def folder(self, path):
        path = path.strip("/")
        if path not in ("", ".") and path not in self.folders:
            self.folder(str(pathlib.PurePath(path).parent))
            self.folders.add(path)
            self._member(path, 0o040755)

    def file(self, path, data, mode=0o100755):
        self.folder(str(pathlib.PurePath(path).parent))
        self._member(path.strip("/"), mode, data)

    def finish(self):
        self._member("TRAILER!!!", 0)
        return bytes(self.bytes)


def libraries(program):
    """Paths of the shared objects, the loader among them, that a program of this machine needs."""
    return sorted(set(re.findall(r"(/\S+) \(0x", run(["ldd", program]).out)))


def modules():
    """(name, content) of MODULES and of all they depend on, in the order to load them.

    The package has no modules.dep, which is made where a kernel is installed; each module says
    itself what it needs. A name that is not there is built in.
    """
    paths = {path.stem.replace("-", "_"): path for path in (KERNEL / "lib/modules").rglob("*.ko")}
    found = {}

    def add(name):
        if name not in paths or name in found:
            return
        data = paths[name].read_bytes()
        for needed in re.search(rb"\0depends=([^\0]*)\0", data)[1].decode().split(","):
            add(needed.replace("-", "_"))
        found[name] = data

    for name in MODULES:
        add(name)
    if "wireguard" not in found:
        raise LabError(f"no wireguard.ko in {KERNEL.resolve()}")
    return list(found.items())


def kernel():
    return next((KERNEL / "boot").glob("vmlinuz-*"))


def build():
    """The archive, uncompressed: unpacking is what a slow processor would spend its time on."""
    archive = Archive()
    for folder in FOLDERS:
        archive.folder(folder)
    archive.file("/init", pathlib.Path(__file__).with_name("init.sh").read_bytes())
    archive.file("/bin/busybox", (BUSYBOX / "bin/busybox").read_bytes())
    shared = set()
    for tool in TOOLS:
        program = pathlib.Path(shutil.which(tool)).resolve()
        archive.file(f"/bin/{tool}", program.read_bytes())
        shared.update(libraries(program))
    for path in sorted(shared):
        archive.file(path, pathlib.Path(path).read_bytes())
    for number, (name, data) in enumerate(modules()):
        archive.file(f"/modules/{number:02}-{name}.ko", data)
    return archive.finish()
