"""Threat 23: the key of whoever builds. No code of the repository finds it, in no process and in no file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelops.evidence.keys import generate_key
from modelops.fence.kernel import LINUX

pytestmark = pytest.mark.skipif(not LINUX, reason="the fence is the kernel's, and this one is not Linux")

STEAL = """
import os, pathlib, sys
found = ["RAN"]

def look(where, read):
    try:
        found.extend(f"STOLEN {where}" for text in read() if "SECRET-OF-THE-RUNNER" in text or "PRIVATE KEY" in text)
    except OSError as error:
        found.append(f"refused {where} {type(error).__name__}")

def ancestors():
    pid = os.getppid()
    while pid > 1:
        yield pathlib.Path(f"/proc/{pid}/environ").read_text()
        pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])

def everybody(name):
    for path in pathlib.Path("/proc").glob(f"[0-9]*/{name}"):
        try:
            yield path.read_text(errors="replace")
        except OSError:
            pass

def memories():
    for path in pathlib.Path("/proc").glob("[0-9]*/mem"):
        if path.parent.name != str(os.getpid()):
            try:
                path.open("rb").close()
                yield "PRIVATE KEY"
            except OSError:
                pass

def keys():
    for top in (pathlib.Path(sys.argv[2]), *pathlib.Path.cwd().parents):
        for path in (top / ".modelops" / "keys").glob("*.pem"):
            yield path.read_text()

look("the environment", lambda: os.environ.values())
look("an ancestor", ancestors)
look("a process", lambda: everybody("environ"))
look("a command line", lambda: everybody("cmdline"))
look("a memory", memories)
look("a key", keys)
look("the key by its path", lambda: [pathlib.Path(sys.argv[2], ".modelops/keys/local.pem").read_text()])
for path in (".git/config", ".modelops/store/written", ".modelops/cache/written", "models/m/written"):
    try:
        pathlib.Path(sys.argv[2], path).open("a").close()
        found.append(f"STOLEN a write to {path}")
    except OSError as error:
        found.append(f"refused {path} {type(error).__name__}")
rows = "".join(f"{n},{text}\\n" for n, text in enumerate(found))
pathlib.Path(sys.argv[1], "rows.csv").write_text("n,found\\n" + rows)
"""

IN_PROCESS = """
import sys, pathlib
from modelops.data.acquire import Place, run_command
from modelops.fence import Terms
from modelops.spec.kinds.data_snapshot import Source
root, made = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
source = Source(type="command", command=("python", "steal.py", "{output}", str(root)), owner="mallory")
terms = Terms(without=("namespaces",))
run_command(source, Place(root, root / "models" / "m", root / ".modelops" / "cache", terms=terms), made)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "models" / "m").mkdir(parents=True)
    (root / "models" / "m" / "steal.py").write_text(STEAL)
    (root / ".modelops" / "store").mkdir(parents=True)
    (root / ".gitignore").write_text(".modelops/\n")
    generate_key(root / ".modelops" / "keys" / "local.pem")
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    return root


def secrets(root: Path) -> dict[str, str]:
    key = (root / ".modelops" / "keys" / "local.pem").read_text()
    return {**os.environ, "MODELOPS_SIGNING_KEY": key, "GH_TOKEN": "SECRET-OF-THE-RUNNER"}


def stolen(text: str) -> list[str]:
    assert "RAN" in text
    return [line for line in text.splitlines() if "STOLEN" in line]


def test_a_data_command_finds_no_key(repository: Path) -> None:
    """`modelops data snapshot` holds key and token in its environment; the command that it runs finds neither."""
    words = [
        "data",
        "snapshot",
        "m",
        "--name",
        "s",
        "--owner",
        "ada",
        "--command",
        f"python steal.py {{output}} {repository}",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "modelops", *words],
        cwd=repository,
        env=secrets(repository),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (rows,) = (repository / ".modelops" / "cache" / "data").glob("*/rows.csv")
    assert stolen(rows.read_text()) == []
    assert rows.read_text().count("refused") >= 5
    assert rows.stat().st_uid == os.getuid()
    assert not (repository / "models" / "m" / "written").exists()


def test_nor_where_namespaces_are_not_to_be_had(repository: Path, tmp_path: Path) -> None:
    """The same on a machine that grants no namespaces."""
    made = tmp_path / "made"
    command = [sys.executable, "-c", IN_PROCESS, str(repository), str(made)]
    subprocess.run(command, env=secrets(repository), check=True)
    assert stolen((made / "rows.csv").read_text()) == []


def test_the_command_line_hides_its_memory(tmp_path: Path) -> None:
    """Whatever holds a key is not to be read by another process of the same user, and git is not handed the key."""
    code = (
        "import sys, ctypes, json\nsys.argv = ['modelops', '--version']\n"
        "from modelops.cli import main\nfrom modelops.repository.process import clean_environment\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(json.dumps([ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), 'MODELOPS_SIGNING_KEY' in clean_environment()]))"
    )
    environment = {**os.environ, "MODELOPS_SIGNING_KEY": "-----BEGIN PRIVATE KEY-----\nx"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, False]


def test_the_doctor_says_where_keys_lie(repository: Path) -> None:
    """Each key with its protection, no text of one; the answer is measured and the exit code says whether all holds."""
    done = subprocess.run(
        [sys.executable, "-m", "modelops", "doctor", "--output", "json"],
        cwd=repository, env=secrets(repository), capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert done.returncode == (0 if all(one["holds"] for one in found["fence"]) else 1)
    where = [one["where"] for one in found["keys"]]
    assert where == ["$MODELOPS_SIGNING_KEY", str(repository / ".modelops" / "keys" / "local.pem")]
    assert "only its owner" in found["keys"][1]["protection"]
    assert "PRIVATE KEY" not in done.stdout + done.stderr
