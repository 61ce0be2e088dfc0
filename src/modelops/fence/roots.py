"""What fenced code may read besides its own folder: Python, the system's programs and libraries, a handful of /etc."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["DEVICES", "SHARED", "Roots", "roots", "static_proc", "wanted"]

_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/libx32", "/bin", "/sbin", "/nix/store", "/gnu/store")
_KERNEL = ("/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
SHARED = "/dev/shm"  # noqa: S108 - a private one
_STATIC = ("cpuinfo", "meminfo", "stat", "filesystems", "version", "loadavg", "uptime", "sys")

# What finding libraries, names, hosts, certificates, fonts and times needs; no password and no key lies there.
_ETC = (
    *(
        "ld.so.cache",
        "ld.so.conf",
        "ld.so.conf.d",
        "alternatives",
        "localtime",
        "timezone",
        "locale.alias",
        "locale.conf",
    ),
    *("passwd", "group", "nsswitch.conf", "hosts", "resolv.conf", "host.conf", "gai.conf", "services", "protocols"),
    *("ssl/certs", "ssl/openssl.cnf", "ssl/cert.pem", "pki/tls/certs", "pki/tls/cert.pem", "pki/ca-trust/extracted"),
    *("ca-certificates", "ca-certificates.conf", "crypto-policies", "mime.types", "magic", "os-release", "fonts"),
)


class Roots(tuple[str, ...]):
    """Real paths, none below another, without the folder that is written."""

    __slots__ = ()


def static_proc() -> list[str]:
    """Return the files of /proc that tell of the machine and of no process."""
    return [f"/proc/{name}" for name in _STATIC if os.path.exists(f"/proc/{name}")]  # noqa: PTH110


def wanted(folder: Path) -> list[str]:
    """Return what is read, as it is named by whoever reads it; some of it may be a link, or lie below another."""
    python = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.executable, *site.getsitepackages(), *sys.path)
    named = (*_SYSTEM, *_KERNEL, *(f"/etc/{name}" for name in _ETC), *python, *_programs())
    return [path for path in dict.fromkeys(named) if path.startswith("/") and _narrow(path, folder)]


def roots(folder: Path) -> Roots:
    """Return the real paths that may be read, shortest first and none below another."""
    real = sorted({os.path.realpath(path) for path in wanted(folder)})
    kept: list[str] = []
    for path in real:
        if _narrow(path, folder) and not (kept and _below(path, kept[-1])):
            kept.append(path)
    return Roots(kept)


def _programs() -> Iterable[str]:
    """Yield the folders of PATH, which may hold programs of their own; those of a home are nobody's but its owner's."""
    home = _home()
    for path in os.environ.get("PATH", "").split(os.pathsep):
        if path.startswith("/") and not _below(os.path.realpath(path), home):
            yield path


def _home() -> str:
    """Return the home of this user; one without an entry and a variable has none."""
    home = os.path.expanduser("~")  # noqa: PTH111 - pathlib raises for a user without an entry
    return os.path.realpath(home) if home.startswith("/") else "/nonexistent"


def _narrow(path: str, folder: Path) -> bool:
    """Tell whether a path is there and no wider than its purpose: it holds neither a home nor what is being built."""
    real = os.path.realpath(path)
    inner = (os.path.realpath(folder), _home())
    return os.path.lexists(real) and real != "/" and not any(_below(one, real) for one in inner)


def _below(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")
