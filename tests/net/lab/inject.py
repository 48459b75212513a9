"""A system call made by another process, as an intruder in it would make it (x86-64 only)."""

import contextlib
import ctypes
import errno
import os
import platform
import signal

from lab.run import wait_for

PTRACE_CONT, PTRACE_SINGLESTEP = 7, 9
PTRACE_GETREGS, PTRACE_SETREGS = 12, 13
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
WALL = 0x40000000  # threads as well

NUMBERS = {
    "mmap": 9, "mprotect": 10, "ioctl": 16, "socket": 41, "clone": 56, "execve": 59, "chmod": 90,
    "ptrace": 101, "setuid": 105, "capset": 126, "mount": 165, "openat": 257, "setns": 308,
    "prctl": 157, "bpf": 321, "io_uring_setup": 425, "io_uring_register": 427, "getpid": 39,
    "fork": 57, "vfork": 58, "unshare": 272, "process_vm_readv": 310, "execveat": 322,
    "io_uring_enter": 426, "clone3": 435, "pidfd_getfd": 438, "sched_setscheduler": 144,
}


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in (
        "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
        "fs_base gs_base ds es fs gs").split()]


libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long

possible = platform.machine() == "x86_64"


def ptrace(request, thread, data=None):
    if libc.ptrace(request, thread, None, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def stopped(thread):
    """Waits for its next stop: True, or False where it has ended instead."""
    _, status = os.waitpid(thread, WALL)
    return os.WIFSTOPPED(status)


@contextlib.contextmanager
def attached(thread):
    """Stopped wherever it is."""
    ptrace(PTRACE_ATTACH, thread)
    stopped(thread)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            ptrace(PTRACE_DETACH, thread)


def is_behind_call(thread):
    """Whether it stopped behind a `syscall` instruction, and not on its way to one."""
    registers = Registers()
    ptrace(PTRACE_GETREGS, thread, ctypes.byref(registers))
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        memory.seek(registers.rip - 2)
        return memory.read(2) == b"\x0f\x05"


@contextlib.contextmanager
def held(thread):
    """Stopped inside a system call that waits."""
    with contextlib.ExitStack() as stack:
        def is_held():
            stack.enter_context(attached(thread))
            if is_behind_call(thread):
                return True
            stack.close()
            return False

        wait_for(is_held, "the thread to wait in a system call", pause=0.001)
        yield


def call(thread, name, *arguments):
    """What the kernel answers: a number, the name of an errno, or "killed".

    The thread waits behind the `syscall` instruction of epoll_wait or io_uring_enter: two bytes
    back it is carried out again, with our registers.
    """
    with held(thread):
        before, ours = Registers(), Registers()
        for registers in (before, ours):
            ptrace(PTRACE_GETREGS, thread, ctypes.byref(registers))
        ours.rip -= 2
        ours.rax, ours.orig_rax = NUMBERS[name], 2 ** 64 - 1  # so that nothing is restarted
        for register, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), arguments):
            setattr(ours, register, value)
        ptrace(PTRACE_SETREGS, thread, ctypes.byref(ours))
        ptrace(PTRACE_SINGLESTEP, thread)
        if not stopped(thread):
            return "killed"
        try:
            ptrace(PTRACE_GETREGS, thread, ctypes.byref(ours))
        except ProcessLookupError:
            return "killed"
        result = ctypes.c_longlong(ours.rax).value
        ptrace(PTRACE_SETREGS, thread, ctypes.byref(before))
        return errno.errorcode[-result] if -4096 < result < 0 else result


def fault(thread):
    """It goes on where no memory is."""
    with held(thread):
        registers = Registers()
        ptrace(PTRACE_GETREGS, thread, ctypes.byref(registers))
        registers.rip, registers.orig_rax = 0, 2 ** 64 - 1
        ptrace(PTRACE_SETREGS, thread, ctypes.byref(registers))


def ended_by(status):
    """The signal's name, of what subprocess says of a process."""
    return signal.Signals(-status).name if status is not None and status < 0 else None
