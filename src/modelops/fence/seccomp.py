"""A filter of system calls: the doors of the kernel that neither training nor a data command has a use for.

The filter is a program of the classic packet filter, built for x86-64 and arm64; elsewhere there is none.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from modelops.fence.kernel import PR_SET_SECCOMP, prctl

__all__ = ["ARCHITECTURES", "install", "numbers", "program"]

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_FOREIGN = 0x40000000
"""x86-64 numbers from here on are another way to make the same calls (x32)."""

_COMMON = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_open": 434, "clone3": 435,
    "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443, "process_mrelease": 448,
    "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466, "open_tree_attr": 467, "file_setattr": 469,
}  # fmt: skip
_NUMBERS = {
    "x86_64": {
        "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "add_key": 248,
        "request_key": 249, "keyctl": 250, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "mount": 165,
        "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "kexec_load": 246,
        "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176, "swapon": 167,
        "swapoff": 168, "reboot": 169, "acct": 163, "quotactl": 179, "iopl": 172, "ioperm": 173, "modify_ldt": 154,
        "name_to_handle_at": 303, "open_by_handle_at": 304, "syslog": 103, "settimeofday": 164, "clock_settime": 227,
        "adjtimex": 159, "clock_adjtime": 305, "sethostname": 170, "setdomainname": 171, "fanotify_init": 300,
        "move_pages": 279, "migrate_pages": 256, "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65,
        "semctl": 66, "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "semtimedop": 220, "mq_open": 240,
        "vhangup": 153, "lookup_dcookie": 212, "socket": 41, "socketpair": 53, "clone": 56, "fork": 57, "vfork": 58,
        "execve": 59, "execveat": 322, "kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129,
        "rt_tgsigqueueinfo": 297, "prlimit64": 302, "chmod": 90, "fchmod": 91, "fchmodat": 268, "chown": 92,
        "fchown": 93, "lchown": 94, "fchownat": 260, "utime": 132, "utimes": 235, "futimesat": 261, "utimensat": 280,
        "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198,
        "fremovexattr": 199, "ioctl": 16, "setpriority": 141, "sched_setscheduler": 144, "sched_setparam": 142,
        "ioprio_set": 251, "sched_setaffinity": 203, "sched_setattr": 314,
    },
    "aarch64": {
        "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "add_key": 217,
        "request_key": 218, "keyctl": 219, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "mount": 40,
        "umount2": 39, "pivot_root": 41, "chroot": 51, "unshare": 97, "setns": 268, "kexec_load": 104,
        "kexec_file_load": 294, "init_module": 105, "finit_module": 273, "delete_module": 106, "swapon": 224,
        "swapoff": 225, "reboot": 142, "acct": 89, "quotactl": 60, "name_to_handle_at": 264, "open_by_handle_at": 265,
        "syslog": 116, "settimeofday": 170, "clock_settime": 112, "adjtimex": 171, "clock_adjtime": 266,
        "sethostname": 161, "setdomainname": 162, "fanotify_init": 262, "move_pages": 239, "migrate_pages": 238,
        "shmget": 194, "shmctl": 195, "shmat": 196, "semget": 190, "semctl": 191, "semtimedop": 192, "semop": 193,
        "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189, "mq_open": 180, "vhangup": 58,
        "lookup_dcookie": 18, "socket": 198, "socketpair": 199, "clone": 220, "execve": 221, "execveat": 281,
        "kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "prlimit64": 261,
        "fchmod": 52, "fchmodat": 53, "fchown": 55, "fchownat": 54, "utimensat": 88, "setxattr": 5, "lsetxattr": 6,
        "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16, "ioctl": 29, "setpriority": 140,
        "sched_setscheduler": 119, "sched_setparam": 118, "ioprio_set": 30,
        "sched_setaffinity": 122, "sched_setattr": 274,
    },
}  # fmt: skip

_NEVER = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise", "process_mrelease"),
    *("add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd", "lookup_dcookie", "syslog"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "move_pages", "migrate_pages", "fanotify_init"),
    *("mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig"),
    *("fsmount", "fspick", "mount_setattr", "unshare", "setns", "kexec_load", "kexec_file_load", "init_module"),
    *("finit_module", "delete_module", "swapon", "swapoff", "reboot", "acct", "quotactl", "quotactl_fd", "iopl"),
    *("ioperm", "modify_ldt", "name_to_handle_at", "open_by_handle_at", "settimeofday", "clock_settime", "adjtimex"),
    *("clock_adjtime", "sethostname", "setdomainname", "vhangup", "shmget", "shmat", "shmctl", "semget", "semop"),
    *("semctl", "semtimedop", "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "setxattr", "lsetxattr", "fsetxattr"),
    *("setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat", "chown", "fchown", "lchown"),
    *("fchownat", "file_setattr"),
)
_SIGNALS = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")
_MODES = ("chmod", "fchmod", "fchmodat", "fchmodat2", "utime", "utimes", "futimesat", "utimensat")
_OF_ITSELF = ("prlimit64", "sched_setscheduler", "sched_setparam", "sched_setattr")
"""Calls whose first argument names a process, 0 for the caller."""

_NEW_NAMESPACES = 0x7E020080
_THREAD = 0x00010000
_STREAM, _DATAGRAM, _TYPE = 1, 2, 0xF
_INET, _INET6 = 2, 10
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000

Step = tuple[int, int, int, int]
"""One instruction: what it does, how many to skip if so, how many if not, and a value."""


def _load(offset: int) -> Step:
    return (_LOAD, 0, 0, offset)


def _argument(index: int) -> Step:
    return _load(16 + 8 * index)


def _give(value: int) -> Step:
    return (_RETURN, 0, 0, value)


def _refuse(number: int = errno.EPERM) -> Step:
    return _give(_FAIL | number)


def numbers(machine: str) -> dict[str, int]:
    """Return the numbers of the calls that the filter knows, for a kind of processor."""
    return _COMMON | _NUMBERS[machine]


class _Filter:
    """The instructions so far; each rule leaves the number of the call where the next one looks for it."""

    def __init__(self, machine: str) -> None:
        self._numbers = numbers(machine)
        self.steps: list[Step] = [
            _load(4), (_EQUAL, 1, 0, ARCHITECTURES[machine]), _refuse(),
            _load(0), (_AT_LEAST, 0, 1, _FOREIGN), _refuse(),
        ]  # fmt: skip

    def rule(self, name: str, *steps: Step) -> None:
        """Do some steps, which end in a return, for one call; one that the processor lacks needs no rule."""
        if name in self._numbers:
            self.steps += [(_EQUAL, 0, len(steps), self._numbers[name]), *steps]

    def only(self, name: str, argument: int, value: int, error: int = errno.EPERM) -> None:
        """Allow a call only with one value of an argument."""
        self.rule(name, _argument(argument), (_EQUAL, 1, 0, value), _refuse(error), _give(_ALLOW))


def program(machine: str, *, programs: bool, network: bool, signals: bool, modes: bool, own: int) -> list[Step]:
    """Return the filter for a kind of processor.

    ``signals`` says that something else keeps signals inside, ``modes`` that no file of others is in reach; ``own`` is
    the id of the process that the filter is for.
    """
    made = _Filter(machine)
    for name in _NEVER:
        made.rule(name, _refuse())
    for name in (*_OF_ITSELF, *(() if modes else ("sched_setaffinity",))):
        made.rule(name, _argument(0), (_EQUAL, 2, 0, 0), (_EQUAL, 1, 0, own), _refuse(), _give(_ALLOW))
    for name, process in (("setpriority", 0), ("ioprio_set", 1)):
        itself = (_argument(1), (_EQUAL, 2, 0, 0), (_EQUAL, 1, 0, own))
        made.rule(name, _argument(0), (_EQUAL, 0, 3, process), *itself, _refuse(), _give(_ALLOW))
    made.rule("ioctl", _argument(1), (_EQUAL, 1, 0, _TIOCSTI), (_EQUAL, 0, 1, _TIOCLINUX), _refuse(), _give(_ALLOW))
    made.rule("clone3", _refuse(errno.ENOSYS))
    _starting(made, programs)
    _sockets(made, network)
    if not programs or not signals:
        for name in _SIGNALS:
            made.only(name, 0, own) if name in ("kill", "tgkill") else made.rule(name, _refuse())
    if not modes:
        for name in _MODES:
            # A data command that copies or unpacks files goes on: without modes and times of their own.
            made.rule(name, _give(_FAIL) if programs else _refuse())
    return [*made.steps, _give(_ALLOW)]


def _starting(made: _Filter, programs: bool) -> None:
    """Allow threads; processes to those alone who may start programs, and new namespaces to nobody."""
    if programs:
        made.rule("clone", _argument(0), (_ANY_BIT, 0, 1, _NEW_NAMESPACES), _refuse(), _give(_ALLOW))
        return
    made.rule("clone", _argument(0), (_ANY_BIT, 1, 0, _THREAD), _refuse(), _give(_ALLOW))
    for name in ("fork", "vfork", "execve", "execveat"):
        made.rule(name, _refuse())


def _sockets(made: _Filter, network: bool) -> None:
    """Allow no socket, or with the network what speaks TCP and what asks a name server; pairs reach nobody else."""
    if not network:
        made.rule("socket", _refuse())
        return
    kinds = (_argument(1), (_AND, 0, 0, _TYPE), (_EQUAL, 2, 0, _STREAM), (_EQUAL, 1, 0, _DATAGRAM))
    families = (_argument(0), (_EQUAL, 2, 0, _INET), (_EQUAL, 1, 0, _INET6), _refuse(errno.EAFNOSUPPORT))
    made.rule("socket", *families, *kinds, _refuse(), _give(_ALLOW))


def install(*, programs: bool, network: bool, signals: bool, modes: bool) -> None:
    """Put the filter on this process and on all that it starts; an OSError says why there can be none."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no filter of system calls is known for {machine}")
    steps = program(machine, programs=programs, network=network, signals=signals, modes=modes, own=os.getpid())
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
    prctl(PR_SET_SECCOMP, 2, ctypes.byref(header))
