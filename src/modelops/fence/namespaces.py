"""Namespaces: a process that sees no other process, no network, and of the files only what was put before it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from modelops.fence.kernel import call, syscall
from modelops.fence.roots import DEVICES, SHARED, Roots, static_proc

__all__ = ["enter", "new_root"]

_NEW_FILES, _NEW_CGROUP, _NEW_NAME, _NEW_IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_NEW_USERS, _NEW_PIDS, _NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
_READ_ONLY, _NO_SETUID, _NO_DEVICES, _NO_PROGRAMS = 1, 2, 4, 8
_REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 32, 4096, 16384, 1 << 18
_DETACH, _HERE, _WITH_THOSE_BELOW = 2, -100, 0x8000
_MOUNT_SETATTR = 442
NOBODY = 65534


def enter(*, network: bool) -> None:
    """Move this process, which has no second thread, into namespaces of its own; its next child is the first there.

    An administrator needs no namespace of users for that, anybody else gets one in which he is himself alone.
    """
    kinds = _NEW_FILES | _NEW_PIDS | _NEW_IPC | _NEW_NAME | _NEW_CGROUP | (0 if network else _NEW_NETWORK)
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        with contextlib.suppress(OSError):
            call("unshare", kinds)
            return
    call("unshare", kinds | _NEW_USERS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user or NOBODY} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group or NOBODY} {group} 1")


def new_root(read: Roots, named: Iterable[str], folder: str, *, shared: bool) -> bool:
    """Make a file system of what may be read and the one folder that may be written, and leave the old one for good.

    ``named`` are the names under which the real paths of ``read`` are known; ``shared`` adds memory that processes of
    this namespace share by name. Tells whether there is a /proc of our own.
    """
    _mount(None, "/", None, _PRIVATE | _RECURSIVE)
    links = [(path, os.path.realpath(path)) for path in named if os.path.realpath(path) != path]
    links += [(path, target) for path in ("/bin", "/sbin", "/lib", "/lib64") for target in _link(path)]
    stage = next(path for path in ("/tmp", "/var", "/mnt", "/usr") if Path(path).is_dir())  # noqa: S108 - only a place
    _mount("tmpfs", stage, "tmpfs", _NO_SETUID | _NO_DEVICES, "mode=0755,size=16m")
    for name in ("new", "old"):
        Path(stage, name).mkdir(mode=0o755)
    call("pivot_root", stage.encode(), f"{stage}/old".encode())
    os.chdir("/")
    _mount("/new", "/new", None, _BIND | _RECURSIVE)
    for path in read:
        _show(path, _READ_ONLY | _NO_SETUID | _NO_DEVICES)
    for path in DEVICES:
        _show(path, _NO_SETUID | _NO_PROGRAMS)
    if shared:
        Path(f"/new{SHARED}").mkdir()
        _mount("tmpfs", f"/new{SHARED}", "tmpfs", _NO_SETUID | _NO_DEVICES | _NO_PROGRAMS, "mode=1777,size=4g")
    _show(folder, _NO_SETUID | _NO_DEVICES)
    for path, target in links:
        place = Path(f"/new{path}")
        if not os.path.lexists(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
    proc = _own_proc()
    _restrict("/new", _READ_ONLY | _NO_SETUID | _NO_DEVICES, below=False)
    os.chdir("/new")
    call("pivot_root", b".", b".")
    call("umount2", b".", _DETACH)
    os.chdir("/")
    return proc


def _link(path: str) -> list[str]:
    return [str(Path(path).readlink())] if Path(path).is_symlink() else []


def _show(path: str, attributes: int) -> None:
    """Let a path of the old file system be seen in the new one."""
    source, target = Path(f"/old{path}"), Path(f"/new{path}")
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(str(source), str(target), None, _BIND | _RECURSIVE)
    _restrict(str(target), attributes, below=True)


def _own_proc() -> bool:
    """Mount a /proc that knows the processes of this namespace; where that is forbidden, show what tells of none."""
    Path("/new/proc").mkdir(exist_ok=True)
    try:
        _mount("proc", "/new/proc", "proc", _NO_SETUID | _NO_DEVICES | _NO_PROGRAMS)
    except OSError:
        for path in static_proc():
            _show(path, _READ_ONLY | _NO_SETUID | _NO_DEVICES | _NO_PROGRAMS)
        return False
    device = Path("/new/dev")
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (device / name).symlink_to(f"/proc/self/{target}")
    return True


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    def text(value: str | None) -> bytes | None:
        return None if value is None else os.fsencode(value)

    call("mount", text(source), text(target), text(kind), ctypes.c_ulong(flags), text(options))


def _restrict(path: str, attributes: int, *, below: bool) -> None:
    """Take rights from a mount, and from those that came with it."""
    wanted = struct.pack("QQQQ", attributes, 0, 0, 0)
    how = _WITH_THOSE_BELOW if below else 0
    try:
        syscall("mount_setattr", _MOUNT_SETATTR, _HERE, os.fsencode(path), how, wanted, len(wanted))
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        # Before Linux 5.12 one mount at a time; what is mounted below belongs to others, and so cannot be written.
        _mount(None, path, None, _REMOUNT | _BIND | attributes)
