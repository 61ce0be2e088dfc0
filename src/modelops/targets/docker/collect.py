"""Runs while an image is built: leaves out of the packages what no server needs, and gathers what they do need.

It is copied into the build as it is, so it knows nothing but Python's own library. ``python collect.py PACKAGES INTO``
makes the tree of an image; with ``--minimal`` it holds the interpreter, its library and what the loader of shared
libraries finds for them, so that the image needs no distribution: no shell, no package manager.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

USER = 10001
STATE = ("var/lib/modelops", "srv/modelops")
"""The folders that volumes are mounted on: a new volume takes over whose they are."""
UNUSED = (
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "onnxruntime/capi/libonnxruntime.so*",
    "bin",
)
"""What tools on models need, and the C library, which the module for Python has within itself."""
UNUSED_LIBRARY = ("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "distutils", "pydoc_data")
FOREIGN = ("site-packages", "dist-packages", "__pycache__", "config-*", "sitecustomize.py", "EXTERNALLY-MANAGED")
SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/mime.types",
)


def prune(packages: Path) -> None:
    """Remove tests, stubs and tools."""
    for pattern in UNUSED:
        for found in packages.glob(pattern):
            shutil.rmtree(found) if found.is_dir() else found.unlink()
    for folder in sorted(packages.rglob("test*"), reverse=True):
        if folder.name in ("test", "tests") and folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
    for stub in packages.rglob("*.pyi"):
        stub.unlink()


def compiled(packages: Path) -> None:
    """Compile by the hash of each source, with no time in it, so that equal sources give equal files."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(packages, quiet=2, invalidation_mode=mode, stripdir=str(packages))


def copy(source: Path, into: Path) -> None:
    """Copy a file or link to the same place in the tree, with everything that its links lead to."""
    target = into / source.relative_to("/")
    if target.exists() or target.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        copy(source.parent / source.readlink(), into)
        return
    shutil.copy2(source, target)


def libraries(found: set[Path], packages: Path) -> set[Path]:
    """Return what the loader takes for programs and modules, but for what the packages bring along."""
    needed = set()
    for file in sorted(found):
        told = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False).stdout
        for line in told.splitlines():
            words = line.replace("=>", " ").split()
            needed |= {Path(word) for word in words if word.startswith("/")}
    return {path for path in needed if path.exists() and not path.is_relative_to(packages)}


def gather(packages: Path, into: Path) -> None:
    """Copy the interpreter, its library and all that both and the packages are linked with."""
    program = shutil.which("python")
    if program is None or shutil.which("ldd") is None:
        sys.exit("the base image has no program python, or no ldd")
    library = Path(sysconfig.get_path("stdlib"))
    skipped = shutil.ignore_patterns(*UNUSED_LIBRARY, *FOREIGN)
    shutil.copytree(library, into / library.relative_to("/"), ignore=skipped, dirs_exist_ok=True)
    modules = {path for root in (library, packages) for path in root.rglob("*.so*") if path.is_file()}
    modules.add(Path(sys.executable).resolve())
    for path in libraries(modules, packages):
        copy(path, into)
    for name in (program, *(path for path in SYSTEM if Path(path).exists())):
        copy(Path(name), into)
    (into / "etc").mkdir(exist_ok=True)
    home = STATE[0]
    (into / "etc/passwd").write_text(f"root:x:0:0::/root:/\nmodelops:x:{USER}:{USER}::/{home}:/\n")
    (into / "etc/group").write_text(f"root:x:0:\nmodelops:x:{USER}:\n")


def main(packages: Path, into: Path, minimal: bool) -> None:
    """Make the tree."""
    prune(packages)
    compiled(packages)
    if minimal:
        gather(packages, into)
    shutil.copytree(packages, into / packages.relative_to("/"), symlinks=True)
    (into / "tmp").mkdir(exist_ok=True)
    (into / "tmp").chmod(0o1777)
    for folder in STATE:
        (into / folder).mkdir(parents=True)
        os.chown(into / folder, USER, USER)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), "--minimal" in sys.argv[3:])
