"""A real Docker engine for tests: the one that DOCKER_HOST names, or a daemon of their own where they may start one."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from modelops.digests import digest_bytes
from modelops.locks import pins_of, serving_part
from modelops.targets.docker import collect
from modelops.targets.docker.image import USER
from waiting import wait_for

ROOT = Path(__file__).parents[1]
DAEMON = shutil.which("dockerd")
BRIDGE, SUBNET = "mobr-tests", "172.30.77.1/24"


def _why_not() -> str | None:
    if importlib.util.find_spec("docker") is None:
        return "no Docker SDK here: pip install 'modelops[docker]'"
    if os.environ.get("DOCKER_HOST"):
        return None
    if DAEMON is None or os.geteuid() != 0:
        return "no Docker engine here: set DOCKER_HOST, or as root apt-get install docker.io"
    return None


needs_engine = pytest.mark.skipif(_why_not() is not None, reason=_why_not() or "")


@dataclass
class Engine:
    """An engine and an image on it that can serve; ``own`` where the tests may stop and start it."""

    host: str
    own: Daemon | None = None
    image: str = ""

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """Yield a client of the SDK."""
        import docker

        client = docker.DockerClient(base_url=self.host, version="1.41", timeout=60)
        try:
            yield client
        finally:
            client.close()

    def clear(self, prefix: str) -> None:
        """Remove everything whose name begins so."""
        with self.client() as client:
            for container in client.containers.list(all=True):
                if container.name.startswith(prefix):
                    container.remove(force=True)
            for one in (*client.networks.list(), *client.volumes.list()):
                # An engine has networks of its own, which stay.
                if one.name.startswith(prefix) and one.name not in ("bridge", "host", "none"):
                    one.remove()


@dataclass
class Daemon:
    """A daemon with folders, a socket and a bridge of its own."""

    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None)
    runtime: str | None = None

    @property
    def host(self) -> str:
        """Its address."""
        return f"unix://{self.folder}/docker.sock"

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert DAEMON is not None
        here = self.folder
        words = [DAEMON, "--data-root", f"{here}/data", "--exec-root", f"{here}/exec", "-p", f"{here}/pid"]
        words += ["-H", self.host, "--bridge", BRIDGE, "--mtu", "1400"]
        if self.runtime is not None:
            words += ["--add-runtime", f"tests={self.runtime}", "--default-runtime", "tests"]
        with (here / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        process = self.process
        wait_for(lambda: process.poll() is not None or self._answers())
        if process.poll() is not None:
            last = (here / "log").read_text(errors="replace").strip().splitlines()[-1:]
            pytest.skip(f"no Docker engine can be started here: {' '.join(last)[:200]}")

    def _answers(self) -> bool:
        import docker

        # Where nobody listens yet the SDK would leave its own end open.
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(self.host.removeprefix("unix://")):
                return False
        client = docker.DockerClient(base_url=self.host, version="1.41", timeout=5)
        try:
            return bool(client.ping())
        except (docker.errors.DockerException, OSError):
            return False
        finally:
            client.close()

    def stop(self) -> None:
        """End it, and with it what it runs."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def engine(runtime: str | None = None) -> Iterator[Engine]:
    """Yield an engine with an image; daemons of one machine share its packet filter, so there is one at a time.

    With a ``runtime``, a program that is called as runc is, it is a daemon of the tests' own, unless that of
    DOCKER_HOST has another one than runc, too.
    """
    found = Engine(os.environ.get("DOCKER_HOST") or "")
    if found.host and (runtime is None or _runtime(found) != "runc"):
        found.image = _image(found)
        yield found
        return
    with (Path(tempfile.gettempdir()) / "modelops-tests-engine.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A socket's path is short.
        folder = Path(tempfile.mkdtemp(prefix="moe-"))
        _bridge()
        daemon = Daemon(folder, runtime=runtime)
        try:
            daemon.start()
            found = Engine(daemon.host, daemon)
            found.image = _image(found)
            yield found
            found.clear("")
        finally:
            daemon.stop()
            subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)
            shutil.rmtree(folder, ignore_errors=True)


def _runtime(found: Engine) -> str:
    with found.client() as client:
        return str(client.info()["DefaultRuntime"])


def _bridge() -> None:
    made = [
        ["link", "add", BRIDGE, "type", "bridge"],
        ["addr", "add", SUBNET, "dev", BRIDGE],
        ["link", "set", BRIDGE, "up"],
    ]
    for words in made:
        done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
        if done.returncode and "exists" not in done.stderr and "already assigned" not in done.stderr:
            pytest.skip(f"no network can be made here: {done.stderr.strip()}")


def _image(found: Engine) -> str:
    """Return the id of an image of this machine's Python, what a server needs of it, and modelops as it lies here."""
    sources = [Path(__file__), ROOT / "requirements.lock", *sorted((ROOT / "src").rglob("*.py"))]
    tag = digest_bytes(b"".join(map(Path.read_bytes, sources))).removeprefix("sha256:")[:12]
    with found.client() as client:
        for known in client.images.list(f"modelops-tests:{tag}"):
            return str(known.id)
    with tempfile.TemporaryDirectory() as folder:
        packages, tree = Path(folder, "packages"), Path(folder, "tree")
        lock = (ROOT / "requirements.lock").read_bytes()
        for pin in pins_of(serving_part(lock)):
            if not pin.counts:
                continue
            for file in distribution(pin.name).files or ():
                source = Path(str(file.locate()))
                if ".." not in file.parts and source.is_file() and source.suffix != ".pyc":
                    (packages / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source, packages / file)
        shutil.copytree(ROOT / "src" / "modelops", packages / "modelops", ignore=shutil.ignore_patterns("__pycache__"))
        collect.prune(packages)
        collect.compiled(packages)
        # The first Python on the path is that of the tests.
        before = os.environ["PATH"]
        real = Path(sys.executable).resolve()
        os.environ["PATH"] = f"{real.parent}:{before}"
        try:
            collect.gather(packages, tree)
        finally:
            os.environ["PATH"] = before
        shutil.copytree(packages, tree / "opt" / "modelops")
        for name in ("tmp", *collect.STATE):
            (tree / name).mkdir(parents=True, exist_ok=True)
        archive = Path(folder, "image.tar")
        with tarfile.open(archive, "w") as tar:

            def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
                mine = any(member.name.startswith(state) for state in collect.STATE)
                member.uid = member.gid = USER if mine else 0
                member.uname = member.gname = ""
                return member

            for path in sorted(tree.iterdir()):
                tar.add(path, path.name, filter=owned)
        changes = [
            f"ENV PATH={real.parent}:/usr/bin PYTHONPATH=/opt/modelops PYTHONDONTWRITEBYTECODE=1 PYTHONUTF8=1",
            'ENTRYPOINT ["python", "-m", "modelops"]',
            f"USER {USER}:{USER}",
            "WORKDIR /var/lib/modelops",
        ]
        with found.client() as client:
            client.api.import_image(src=str(archive), repository="modelops-tests", tag=tag, changes=changes)
            return str(client.images.get(f"modelops-tests:{tag}").id)
