"""The audit hook: it stops Python code of the repository with a sentence, before the kernel would with a number.

Native code passes it by; what it says is for people who made a mistake, and what holds them is the rest of the fence.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from modelops.fence.roots import DEVICES, roots, static_proc

__all__ = ["watch"]

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

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


def watch(folder: Path, code: Path, withheld: Mapping[str, str]) -> None:
    """Watch this process for good.

    ``withheld`` are paths below ``code`` that are kept from it, each with the reason as the end of a sentence; what
    imports or opens one of them is told so.
    """
    own = (f"/proc/{os.getpid()}", "/proc/self", "/proc/thread-self")
    real = Path(os.path.realpath(folder))
    readable = (str(real), *roots(real), *DEVICES, *static_proc(), *own)
    said = {str(Path(os.path.realpath(code), path)): f"{path} {why}" for path, why in withheld.items()}
    sys.meta_path.append(_Withheld(withheld))
    sys.addaudithook(_hook(str(real), readable, said))


class _Withheld:
    """The last finder of modules: it says why one that is withheld is not there."""

    def __init__(self, withheld: Mapping[str, str]) -> None:
        self._withheld = withheld

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Raise an ImportError for a module whose file is withheld; any other is just not found."""
        stem = name.replace(".", "/")
        for file in self._withheld:
            # Of a package whose files are all withheld not even the folder is there.
            if file == f"{stem}.py" or file.startswith(f"{stem}/"):
                raise ImportError(_sentence(f"{file} {self._withheld[file]}"), name=name)
        return None


def _sentence(what: str) -> str:
    return f"{what}, so training cannot read it"


def _hook(
    scratch: str, readable: tuple[str, ...], withheld: Mapping[str, str]
) -> Callable[[str, tuple[Any, ...]], None]:
    """Return the audit hook; it raises PermissionError with the path, the program or the host in its message."""
    inside = scratch + os.sep

    def within(path: str, roots: Iterable[str]) -> bool:
        return any(path == root or path.startswith(root + os.sep) for root in roots)

    def check_open(path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int) or path is None:
            return
        writes = bool(flags & _WRITING) if isinstance(flags, int) else any(letter in str(mode) for letter in "wax+")
        real = os.path.realpath(os.fsdecode(path))
        if real in withheld and not writes:
            raise PermissionError(errno.EACCES, _sentence(withheld[real]), path)
        if writes and not real.startswith(inside) and real not in DEVICES:
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
