"""A seccomp program: the system calls that a function of a model has no use for, refused by the kernel.

No other process and no thread (so no daemon, no fork bomb, no processor time beside one's own limit), no socket, nobody
else's memory or descriptors, no keyring, no memory that outlives its process, no namespaces, no mounts. Files are left
to others: which there are is the mount namespace's matter. Numbers from the kernel's tables, for x86_64
arch/x86/entry/syscalls/syscall_64.tbl and for aarch64 include/uapi/asm-generic/unistd.h; instructions as in seccomp(2).
"""

from __future__ import annotations

import platform
import struct

CALLS = {
    # name: (x86_64, aarch64); None where the machine has no such call.
    "clone": (56, 220), "fork": (57, None), "vfork": (58, None), "kill": (62, 129), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "process_madvise": (440, 440), "socket": (41, 198), "socketpair": (53, 199),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180), "setsid": (112, 157), "setpgid": (109, 154),
}  # fmt: skip
"""Refused with EPERM."""

MACHINES = {"x86_64": (0, 0xC000003E), "amd64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Of each machine its column in CALLS and its AUDIT_ARCH."""

CLONE3 = 435
X32 = 0x40000000

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER_AT, ARCH_AT = 0, 4
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050000 | 1, 0x00050000 | 38


def program(machine: str | None = None) -> bytes:
    """The instructions (8 bytes each) for this machine, or none where its numbers are not known here."""
    known = MACHINES.get((machine or platform.machine()).lower())
    if known is None:
        return b""
    column, arch = known
    code = [
        _line(LOAD, ARCH_AT),
        _line(EQUAL, arch, 1, 0),
        _line(RETURN, KILL),  # calls of another machine's table (32 bit) have other numbers
        _line(LOAD, NUMBER_AT),
        _line(AT_LEAST, X32, 0, 1),
        _line(RETURN, KILL),
        _line(EQUAL, CLONE3, 0, 1),
        _line(RETURN, ENOSYS),  # as on an older kernel: glibc asks by clone then
    ]
    for numbers in CALLS.values():
        number = numbers[column]
        if number is not None:
            code += [_line(EQUAL, number, 0, 1), _line(RETURN, EPERM)]
    return b"".join([*code, _line(RETURN, ALLOW)])


def _line(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, k)
