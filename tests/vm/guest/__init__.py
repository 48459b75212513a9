"""A virtual machine with the kernel's own WireGuard, and what it is made of.

debian     packages of Debian, unpacked and not installed
initramfs  all files of the guest, in one archive made here
machine    QEMU, and commands run in the guest
meeting    a tunnel between the daemon under test and the guest's kernel
talk       such a tunnel under steady traffic, for the change of its keys
"""
