"""Environment locks: read with their conditions, made of what is installed, and made by real resolvers."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from git_world import git
from modelops.cli import main
from modelops.errors import ModelOpsError
from modelops.locks import compare_lock, environment_lock, installed_packages, pins_of, resolve, resolving
from modelops.locks.resolving import read_requirements, unlocked

ROOT = Path(__file__).parents[2]
NOW = "{}.{}".format(*sys.version_info[:2])


def wheel(folder: Path, name: str, version: str, *requires: str) -> str:
    """Write a wheel with nothing in it and return its SHA-256."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for file, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{file},sha256={digest},{len(text)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(file), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path) -> dict[str, str]:
    """The variables by which both resolvers read a folder instead of the network."""
    folder = tmp_path / "index"
    wheel(folder, "alpha", "1.0", "beta>=1", "gamma; python_version < '3'")
    wheel(folder, "beta", "1.0")
    wheel(folder, "beta", "2.0")
    own = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(folder), "UV_CACHE_DIR": str(tmp_path / "cache")}
    own |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "UV_NO_CONFIG": "1", "PIP_CONFIG_FILE": os.devnull}
    return {**os.environ, **own}


@pytest.fixture(params=["uv", "pip"])
def resolver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each resolver that may be on a machine."""
    if request.param == "pip":
        monkeypatch.setattr(resolving, "_uv", lambda: None)
    elif resolving._uv() is None:
        pytest.skip("uv is not installed")
    return str(request.param)


def test_a_resolver_pins_by_hash_what_is_installed(index: dict[str, str], resolver: str, tmp_path: Path) -> None:
    """Everything that is needed is there with its hash, in the version that is installed, and pip installs it so."""
    made = resolve(["alpha"], {"beta": "1.0"}, package="no-such-package", environ=index)
    pins = {pin.name: pin for pin in pins_of(made.text)}
    assert {name: pin.version for name, pin in pins.items()} == {"alpha": "1.0", "beta": "1.0"}
    assert all(pin.hashed for pin in pins.values())
    assert hashlib.sha256((tmp_path / "index/beta-1.0-py3-none-any.whl").read_bytes()).hexdigest() in made.text.decode()
    (tmp_path / "requirements.lock").write_bytes(made.text)
    install = [sys.executable, "-m", "pip", "install", "--require-hashes", "-r", "requirements.lock", "--target", "t"]
    subprocess.run(install, cwd=tmp_path, env=index, check=True, capture_output=True)
    newer = resolve(["alpha"], {"beta": "1.0"}, package="no-such-package", upgrade=True, environ=index)
    assert b"beta==2.0" in newer.text


def test_what_cannot_be_resolved_is_said_without_passwords(index: dict[str, str], resolver: str) -> None:
    """The resolver's words are handed on, but for what stands before the @ of an index."""
    hidden = index | {"PIP_FIND_LINKS": "", "UV_FIND_LINKS": ""}
    del hidden["PIP_NO_INDEX"], hidden["UV_NO_INDEX"]
    where = "http://ada:hunter2@127.0.0.1:9/simple"
    hidden |= {"PIP_INDEX_URL": where, "UV_INDEX_URL": where, "PIP_RETRIES": "0", "UV_HTTP_RETRIES": "0"}
    with pytest.raises(ModelOpsError) as error:
        resolve(["delta"], {}, package="no-such-package", environ=hidden)
    assert error.value.first.code == "resolver-failed"
    assert error.value.exit == 4
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("line", ["-r other.txt", "--index-url https://x", "./local", "x @ https://e.com/x.whl", "a b"])
def test_requirements_are_names_and_versions(line: str) -> None:
    """Options, paths and URLs are refused with their line."""
    with pytest.raises(ModelOpsError, match=r"requirements\.in:3:1"):
        read_requirements(f"# ours\nlightgbm>=4 # why\n{line}\n".encode(), "requirements.in")
    assert read_requirements(b"lightgbm>=4 # why\n", "requirements.in") == ["lightgbm>=4"]


def test_what_requirements_ask_for_after_the_lock_is_told() -> None:
    """A package without a pin and a pin that does not do; what is for another Python or met is none."""
    lock = b"lightgbm==4.5.0 \\\n    --hash=sha256:aa\nscipy==1.0\n"
    wanted = ["lightgbm>=4.6", "scipy", "polars>1", "old==1; python_version < '3'"]
    assert unlocked(wanted, lock) == ("lightgbm>=4.6 (the pin is 4.5.0)", "polars>1 (no pin)")


def test_the_verb_checks_requirements_and_refuses_extras_that_there_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check looks at requirements.in too, and an extra that modelops lacks is refused with those it has."""
    git(tmp_path, "init", "-q")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.lock").write_bytes((ROOT / "requirements.lock").read_bytes())
    (tmp_path / "requirements.in").write_text("polars\n")
    with pytest.raises(SystemExit) as ended:
        main(["lock", "--check"])
    assert ended.value.code == 1
    assert "requirements.in asks for polars (no pin): modelops lock" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["lock", "--extra", "nix"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "modelops has no extra 'nix'" in said
    assert "xgboost" in said


def test_what_modelops_ships_is_a_whole_lock() -> None:
    """Where just that is installed, a new repository gets a lock with hashes for every Python and machine."""
    shipped = (ROOT / "requirements.lock").read_bytes()
    made = environment_lock(shipped)
    assert made == shipped
    found = compare_lock(made, installed_packages())
    assert found.hashed == found.pins > 40
    assert (found.other, found.absent) == ((), ())


def test_another_version_is_pinned_without_a_hash() -> None:
    """What the shipped lock does not have is pinned as it is installed, and the head says what to do."""
    shipped = (ROOT / "requirements.lock").read_bytes().replace(b"\nnumpy==", b"\nnumpy==0.", 1)
    made = environment_lock(shipped)
    assert made.splitlines()[1].startswith(b"# 1 pins have no hash")
    assert b"modelops lock" in made.splitlines()[1]
    found = compare_lock(made, installed_packages())
    assert (found.hashed, found.other, found.absent) == (found.pins - 1, (), ())


def test_pins_for_other_pythons_do_not_count() -> None:
    """Of two pins of one package, that for this Python is compared; a condition that cannot be read hides nothing."""
    lock = (
        f"numpy==1.0 ; python_version < '{NOW}' \\\n    --hash=sha256:aa\n"
        f"numpy==2.0 ; python_version >= '{NOW}' \\\n    --hash=sha256:bb\n"
        "pywin32==1 ; sys_platform == 'win32'\nscipy==1 ; what is this\n"
    ).encode()
    found = compare_lock(lock, {"numpy": "2.0", "scipy": "1"})
    assert (found.pins, found.hashed, found.other, found.absent) == (2, 1, (), ())


def test_the_serving_part_keeps_pins_as_they_are_and_names_what_is_absent() -> None:
    """Hashes and conditions stay with their pins, other engines need the whole, and a lock without them is an error."""
    from modelops.locks import serving_part

    names = [
        "click", "httptools", "httpx", "msgspec", "numpy", "onnxruntime", "orjson", "prometheus-client", "protobuf",
        "pydantic", "uvloop",
    ]  # fmt: skip
    lock = "".join(f"{name}==1.0 ; python_version >= '3' \\\n    --hash=sha256:{name}\n" for name in names)
    lock += "pandas==1.0 \\\n    --hash=sha256:p\npydantic-core==1.0 \\\n    --hash=sha256:c\n"
    part = serving_part(lock.encode()).decode()
    assert "pandas" not in part
    assert part.partition("\n")[2] == lock.replace("pandas==1.0 \\\n    --hash=sha256:p\n", "")
    assert serving_part(lock.encode(), ["onnx", "scikit-learn"]) == lock.encode()
    with pytest.raises(ModelOpsError) as caught:
        serving_part(lock.replace("onnxruntime==1.0", "other==1.0").encode())
    assert caught.value.first.code == "lock-incomplete"
    assert "no onnxruntime," in caught.value.first.message
    with pytest.raises(ModelOpsError, match="there is no lock yet"):
        serving_part(b"")
