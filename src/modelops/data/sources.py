"""Which files a source is: a file, a folder, a pattern or a URL, and what lies beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelops.data.acquire import check_url
from modelops.data.formats import is_data, require_readable
from modelops.data.manifest import Found, check_path, found, walk
from modelops.errors import Exit, Location, failure
from modelops.spec.kinds.data_snapshot import Source

__all__ = ["MOST_BESIDE", "beside", "listed", "path_source", "url_source"]

MOST_BESIDE = 100
"""Files beside the data that a snapshot names."""


def path_source(
    path: Path, repository_root: Path, *, owner: str, upstream: Sequence[str] = ()
) -> tuple[Source, tuple[str, ...]]:
    """Return the source of a file, a folder, or the files that a pattern such as ``d/*.csv`` names, and the paths.

    Below the repository the location is relative; a file whose own name has the signs of a pattern is that file.
    """
    resolved = path.resolve()
    paths: tuple[str, ...]
    if resolved.exists():
        folder, paths = (resolved, ()) if resolved.is_dir() else (resolved.parent, (resolved.name,))
    else:
        folder, paths = _matched(path)
    root = repository_root.resolve()
    location = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.as_posix()
    return Source(type="files", location=location, owner=owner, upstream=tuple(upstream)), paths


def _matched(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder above the first sign of a pattern, and the files below it that match."""
    parts = path.parts
    first = next((index for index, part in enumerate(parts) if any(sign in part for sign in "*?[")), None)
    if first is None:
        raise failure("data-missing", f"{path} does not exist", location=Location(str(path)))
    folder = Path(*parts[:first]).resolve()
    pattern = "/".join(parts[first:])
    try:
        found = sorted(folder.glob(pattern)) if folder.is_dir() else []
    except (ValueError, NotImplementedError) as error:
        raise failure("bad-pattern", f"{path} is no pattern of files: {error}", exit=Exit.USAGE) from None
    names = [each.relative_to(folder).as_posix() for each in found if each.is_file()]
    for inner in (each for each in found if each.is_dir()):
        below = inner.relative_to(folder).as_posix()
        names += [f"{below}/{file.path}" for file in walk(inner, is_data)]
    names = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    if not names:
        raise failure("data-missing", f"no file matches {path}", location=Location(str(path)))
    return folder, tuple(dict.fromkeys(names))


def url_source(url: str, *, owner: str, upstream: Sequence[str] = ()) -> tuple[Source, tuple[str, ...]]:
    """Return the source of one file behind a URL, and its path."""
    check_url(url)
    location, _, name = url.rpartition("/")
    if not name or location.endswith("/"):
        raise failure("bad-url", f"{url} names no file", exit=Exit.USAGE)
    return Source(type="files", location=location, owner=owner, upstream=tuple(upstream)), (name,)


def listed(folder: Path, paths: Sequence[str]) -> list[Found]:
    """Return the files that were named, or every file of data of the folder."""
    if not folder.is_dir():
        raise failure("data-missing", f"the folder {folder} does not exist", location=Location(str(folder)))
    if not paths:
        files = walk(folder, lambda name: is_data(name))
        if not files:
            raise failure(
                "data-missing", f"{folder} holds no file of data that is read", location=Location(str(folder))
            )
        return files
    files = []
    for path in sorted(set(paths)):
        check_path(path)
        try:
            files.append(found(path, (folder / path).stat()))
        except FileNotFoundError:
            raise failure("data-missing", f"{folder / path} does not exist", location=Location(path)) from None
    return files


def beside(folder: Path, source: Source) -> list[str]:
    """Return the files of a folder that are no tables; one that may hold data is refused."""
    if source.type == "store":
        return []
    names = [file.path for file in walk(folder, lambda name: not is_data(name))]
    require_readable(names)
    return names
