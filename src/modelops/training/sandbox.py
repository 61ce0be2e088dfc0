"""What training code may touch: it reads Python and its folder, writes its folder, starts nothing and calls nobody.

Two fences, since neither is whole: an audit hook, which names the path or host in its error but sees Python only, and
Landlock where the kernel has it, which native code cannot pass either. Limits on memory and file size come from the
operating system. This keeps mistakes and hidden inputs out of a build; it is no jail for hostile native code.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import site
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

__all__ = ["confine", "die_with_parent", "landlock_version", "readable_roots"]

_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/etc", "/sys", "/opt", "/nix/store")
_PROC = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/filesystems",
    "/proc/mounts",
    "/proc/sys",
    "/proc/version",
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SPARE_MEMORY = 64 << 20
_MAXIMUM_FILE = 4 << 30

_CHANGES = frozenset(
    {
        "os.chmod",
        "os.chown",
        "os.link",
        "os.mkdir",
        "os.mkfifo",
        "os.mknod",
        "os.remove",
        "os.removexattr",
        "os.rename",
        "os.rmdir",
        "os.setxattr",
        "os.symlink",
        "os.truncate",
        "os.utime",
        "shutil.rmtree",
    }
)
_PROCESSES = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.kill",
        "os.killpg",
        "os.posix_spawn",
        "os.spawn",
        "os.system",
        "pty.spawn",
        "subprocess.Popen",
    }
)
_NETWORK = frozenset(
    {
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyaddr",
        "socket.gethostbyname",
        "socket.sendmsg",
        "socket.sendto",
    }
)

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_SIGKILL = 9

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ = (1 << 0) | (1 << 2) | (1 << 3)
_WRITE = sum(1 << bit for bit in (1, *range(4, 13)))
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_NET = (1 << 0) | (1 << 1)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, so that no build outlives the one who waits for it.

    ``parent`` is its process id; when that ended before it could be asked for, this process ends now.
    """
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def confine(scratch: Path, memory_bytes: int) -> None:
    """Restrict this process for good to reading Python and ``scratch``, writing ``scratch``, and no network.

    ``memory_bytes`` is what it may allocate on top of what it already uses; beyond, Python raises MemoryError.
    """
    folder = Path(os.path.realpath(scratch))
    readable = readable_roots(folder)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAXIMUM_FILE, _MAXIMUM_FILE))
    limit = _data_bytes() + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit + _SPARE_MEMORY))
    _landlock(folder, readable)
    sys.addaudithook(_hook(str(folder), tuple(readable)))


def free_spare_memory() -> None:
    """Give a process that ran out of memory the little it needs to report that."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def readable_roots(scratch: Path) -> list[str]:
    """Return the folders and files that training code may read: the system, Python, its libraries and ``scratch``."""
    python = (sys.prefix, sys.base_prefix, sys.exec_prefix, *site.getsitepackages(), *sys.path)
    own = (f"/proc/{os.getpid()}", "/proc/self", "/proc/thread-self")
    wanted = (str(scratch), *_SYSTEM, *_PROC, *_DEVICES, *own, *python)
    real = dict.fromkeys(os.path.realpath(path) for path in wanted if path and Path(path).exists())
    return [path for path in real if path != "/"]


def landlock_version() -> int:
    """Return the version of Landlock that the kernel offers, 0 for none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, 0, 1)))


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _data_bytes() -> int:
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0


def _hook(scratch: str, readable: tuple[str, ...]) -> Callable[[str, tuple[Any, ...]], None]:
    """Return the audit hook; it raises PermissionError with the path, the program or the host in its message."""
    inside = scratch + os.sep

    def within(path: str, roots: Iterable[str]) -> bool:
        return any(path == root or path.startswith(root + os.sep) for root in roots)

    def check_open(path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int) or path is None:
            return
        writes = bool(flags & _WRITING) if isinstance(flags, int) else any(letter in str(mode) for letter in "wax+")
        real = os.path.realpath(os.fsdecode(path))
        if writes and not real.startswith(inside) and real not in _DEVICES:
            raise PermissionError(errno.EACCES, "training code may write in its scratch folder only", real)
        if not writes and not within(real, readable):
            raise PermissionError(errno.EACCES, "training code may read its data, its code and Python only", real)

    def check_change(event: str, arguments: tuple[Any, ...]) -> None:
        for path in arguments[:2] if event in ("os.rename", "os.link") else arguments[:1]:
            if isinstance(path, (str, bytes, os.PathLike)):
                real = os.path.join(os.path.realpath(os.path.dirname(os.fsdecode(path)) or "."), "")  # noqa: PTH118, PTH120
                if not (real == inside or real.startswith(inside)):
                    raise PermissionError(
                        errno.EACCES, "training code may change its scratch folder only", os.fsdecode(path)
                    )

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            check_open(*arguments)
        elif event in _CHANGES:
            check_change(event, arguments)
        elif event in _PROCESSES:
            raise PermissionError(errno.EPERM, "training code may not start or signal processes", event)
        elif event in _NETWORK:
            where = next((argument for argument in arguments if isinstance(argument, (str, tuple))), event)
            raise PermissionError(errno.EPERM, "training code may not use the network", str(where))

    return hook


def _landlock(scratch: Path, readable: Iterable[str]) -> None:
    """Apply Landlock as far as the kernel's version goes; without it the audit hook stands alone."""
    version = landlock_version()
    if version < 1:
        return
    libc = _libc()
    files = _READ | _WRITE | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("QQ", files, _NET) if version >= 4 else struct.pack("Q", files)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return
    for path in readable:
        _allow(libc, ruleset, path, _READ)
    for path in _DEVICES:
        _allow(libc, ruleset, path, files & (_READ | _WRITE | _TRUNCATE))
    _allow(libc, ruleset, str(scratch), files)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(libc: Any, ruleset: int, path: str, access: int) -> None:
    try:
        folder = Path(path).is_dir()
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    # A rule on a file may not name rights that only folders have.
    rights = access if folder else access & ((1 << 0) | (1 << 1) | (1 << 2) | _TRUNCATE)
    libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
    os.close(descriptor)
