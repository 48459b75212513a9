#!/usr/bin/env python3
"""Debian's kernel and busybox, unpacked below build/vm.

Neither is installed: a kernel that is has an initramfs and a boot loader's menu made for it, and
this machine is not to boot it. Only `apt-get download` and `dpkg-deb` are used, without root.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
CACHE = ROOT / "build/vm"
METAPACKAGE = "linux-image-cloud-amd64"  # depends on the image of the day
KERNEL, BUSYBOX = CACHE / "kernel", CACHE / "busybox"
REMEDY = "./dev vm fetches it (Debian 12 on amd64)"


def output(*argv, cwd=None):
    return subprocess.run(argv, cwd=cwd, check=True, text=True, timeout=300,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


def current_image():
    """Name of the package that the metapackage stands for today."""
    found = re.search(r"Depends: (linux-image-\S+)", output("apt-cache", "depends", METAPACKAGE))
    if not found:
        raise LookupError(f"{METAPACKAGE} is not in the package lists")
    return found[1]


def candidate(package):
    """The version that apt would install."""
    found = re.search(r"Candidate: (\d\S*)", output("apt-cache", "policy", package))
    if not found:
        raise LookupError(f"{package} is not in the package lists")
    return found[1]


def unpacked(package):
    """The folder of the package's files, which is there as a whole or not at all."""
    folder = CACHE / f"{package}_{candidate(package)}"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="new-") as fresh:
        output("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package, cwd=fresh)
        archive, = pathlib.Path(fresh).glob("*.deb")
        output("dpkg-deb", "-x", str(archive), f"{fresh}/files")
        try:
            os.rename(f"{fresh}/files", folder)
        except OSError:
            if not folder.is_dir():  # else another run was quicker
                raise
    return folder


def point(link, folder):
    fresh = link.with_name(f"new-{link.name}-{os.getpid()}")
    fresh.symlink_to(folder.name)
    fresh.rename(link)


def fetch():
    CACHE.mkdir(parents=True, exist_ok=True)
    point(KERNEL, unpacked(current_image()))
    point(BUSYBOX, unpacked("busybox-static"))


def missing():
    """One line per package that is not there."""
    needed = ((METAPACKAGE, KERNEL, "boot"), ("busybox-static", BUSYBOX, "bin/busybox"))
    return [f"{package} is not unpacked as {link}: {REMEDY}"
            for package, link, inner in needed if not (link / inner).exists()]


def main():
    for tool in ("apt-cache", "apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            return f"{tool} is missing: the guest is made of packages of Debian 12"
    try:
        fetch()
    except (LookupError, OSError, subprocess.SubprocessError) as error:
        return f"{error}\n{getattr(error, 'stderr', '') or ''}"
    print(f"guest: {KERNEL.resolve().name}, {BUSYBOX.resolve().name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
