"""The wheel of the modelops that runs, and the line that installs it elsewhere by its hash, wherever it came from.

The plain name on a public index belongs to whoever took it first, so it is never asked for: what runs here is what is
installed there, from the place that PEP 610 recorded with its hash, or from a wheel of these very files.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit

from modelops.digests import digest_bytes
from modelops.errors import Exit, failure

__all__ = ["Wheel", "own_wheel"]

_PACKAGE = "modelops"
_NOT_PACKED = frozenset({"direct_url.json", "INSTALLER", "REQUESTED", "RECORD"})
_EPOCH = (1980, 1, 1, 0, 0, 0)
_BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


@dataclass(frozen=True, slots=True)
class Wheel:
    """How modelops is installed elsewhere: from a URL, or from a file that goes along; always by its SHA-256.

    ``origin`` says where the one that runs came from; ``data`` is None where the URL is all that is needed.
    """

    name: str
    sha256: str
    origin: str
    url: str | None = None
    data: bytes | None = None

    def requirement(self, folder: str) -> str:
        """Return the line of a requirements file, for a wheel that lies in ``folder`` of where pip is started."""
        place = f"{_PACKAGE} @ {self.url}" if self.url is not None else f"./{folder}/{self.name}"
        return f"{place} --hash=sha256:{self.sha256}"


def own_wheel() -> Wheel:
    """Return the wheel of the modelops that runs.

    A checkout is built as it lies there. Anything else is taken by the URL and hash that were recorded when it was
    installed, or packed again from the installed files, each of which must still be what was installed.
    """
    top = Path(__file__).parents[3]
    if (top / "pyproject.toml").is_file() and Path(__file__).is_relative_to(top / "src"):
        return _built(top)
    try:
        installed = distribution(_PACKAGE)
    except PackageNotFoundError:
        raise failure(
            "no-own-wheel",
            f"the modelops of {Path(__file__).parents[1]} was never installed, so nobody can say what it is",
            exit=Exit.NO,
            hint="install it by a wheel, or from git with a commit, and run this again",
        ) from None
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    return _by_url(origin) or _packed(installed, _told(origin))


def _by_url(origin: dict[str, object]) -> Wheel | None:
    """Return the wheel that was installed from a URL whose hash was recorded; others can fetch it as well."""
    url, archive = origin.get("url"), origin.get("archive_info")
    if not isinstance(url, str) or not isinstance(archive, dict):
        return None
    hashes = archive.get("hashes") or dict([str(archive.get("hash") or "=").split("=", 1)])
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.path.endswith(".whl") or not hashes.get("sha256"):
        return None
    return Wheel(parts.path.rpartition("/")[2], hashes["sha256"], url, url=url)


def _told(origin: dict[str, object]) -> str:
    """Return in words where an installation came from: what others can look up, never a folder of this machine."""
    url, version = str(origin.get("url") or ""), origin.get("vcs_info")
    if isinstance(version, dict):
        return f"{version.get('vcs')}+{url}@{version.get('commit_id')}"
    return "a file of the machine where it was set up" if url.startswith("file:") else url or "a package index"


def _built(top: Path) -> Wheel:
    """Return a wheel of a checkout as it lies there; it needs the build backend of this project."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-I", "-c", _BUILD, folder]
        done = subprocess.run(command, cwd=top, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        made = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not made:
            last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise failure(
                "no-own-wheel",
                f"modelops runs from a checkout, and no wheel can be built of it: {last}",
                exit=Exit.NO,
                hint="pip install hatchling, or install modelops by a wheel, and run this again",
            )
        return _of_file(made[0].name, made[0].read_bytes(), "a checkout, as it lay there")


def _of_file(name: str, data: bytes, origin: str) -> Wheel:
    return Wheel(name, digest_bytes(data).removeprefix("sha256:"), origin, data=data)


def _packed(installed: Distribution, origin: str) -> Wheel:
    """Return a wheel of the installed files; it has the same bytes whenever the same files are packed."""
    rows: list[tuple[str, str, str]] = []
    tags: list[str] = []
    info = ""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(installed.files or (), key=str):
            path = file.as_posix()
            if path.startswith("..") or "__pycache__" in path or path.endswith(".pyc"):
                continue
            if ".dist-info/" in path:
                info = path.partition("/")[0]
            if path.rpartition("/")[2] in _NOT_PACKED and ".dist-info/" in path:
                continue
            data = Path(str(file.locate())).read_bytes()
            digest = _urlsafe(data)
            if file.hash is not None and (file.hash.mode, file.hash.value) != ("sha256", digest):
                raise failure(
                    "no-own-wheel",
                    f"{path} of modelops is not what was installed",
                    exit=Exit.NO,
                    hint="install modelops again, and run this again",
                )
            if path.endswith(".dist-info/WHEEL"):
                tags = [line.partition(": ")[2] for line in data.decode().splitlines() if line.startswith("Tag: ")]
            archive.writestr(_member(path), data)
            rows.append((path, f"sha256={digest}", str(len(data))))
        if not tags:
            raise failure("no-own-wheel", "modelops was installed by a tool that keeps no record", exit=Exit.NO)
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows([*rows, (f"{info}/RECORD", "", "")])
        archive.writestr(_member(f"{info}/RECORD"), record.getvalue().encode())
    return _of_file(f"{info.removesuffix('.dist-info')}-{tags[0]}.whl", stream.getvalue(), origin)


def _member(path: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(path, _EPOCH)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o644 << 16
    return member


def _urlsafe(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
