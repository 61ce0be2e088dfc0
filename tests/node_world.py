"""A real cluster of one node for tests: controllers, a kubelet and Services on an engine of the tests' own."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster_world import ApiServer, api_server
from engine_world import Engine, engine
from registry_world import BINARY, registry

USER = 10001
"""Whose the files of a pod are."""
_RUNC = """#!{python}
import json, os, pathlib, sys
# A root without CAP_SYS_RESOURCE may not give a process what a kubelet asks for its pods.
words = sys.argv[1:]
for at, word in enumerate(words):
    if word == "--bundle":
        file = pathlib.Path(words[at + 1], "config.json")
        said = json.loads(file.read_bytes())
        if (said["process"].get("oomScoreAdj") or 0) < 0:
            said["process"]["oomScoreAdj"] = 0
            file.write_text(json.dumps(said))
os.execvp("runc", ["runc", *words])
"""


@dataclass
class Node:
    """A cluster of one node, and an image of a server that the node can have."""

    server: ApiServer
    engine: Engine
    image: str

    def pods(self, namespace: str) -> dict[str, dict[str, Any]]:
        """Return the pods of a namespace that are not on their way out."""
        with self.server.cluster(namespace) as cluster:
            found = cluster.listed("Pod")
        return {each["metadata"]["name"]: each for each in found if "deletionTimestamp" not in each["metadata"]}

    @contextlib.contextmanager
    def claim(self, namespace: str, name: str, content: Path | None = None) -> Iterator[Path]:
        """Yield a folder that pods have as a claim: one that they write to, or a copy of what they only read."""
        # What a test makes is for its user alone, and the pods have another one.
        folder = Path(tempfile.mkdtemp(prefix="mov-"))
        if content is not None:
            shutil.copytree(content, folder, dirs_exist_ok=True)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        shutil.chown(folder, USER, USER)
        modes = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{name}-{namespace}"},
            "spec": {
                **modes,
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": str(folder)},
                "claimRef": {"namespace": namespace, "name": name},
            },
        }
        asked = {**modes, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": f"{name}-{namespace}"}
        try:
            with self.server.cluster(namespace) as cluster:
                cluster.ask_raw("POST", "/api/v1/persistentvolumes", volume)
                cluster.create(
                    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": asked}
                )
            yield folder
        finally:
            shutil.rmtree(folder)


@contextlib.contextmanager
def one_node(folder: Path) -> Iterator[Node]:
    """Yield a cluster whose node runs pods; all of it ends, and what it made on this machine goes."""
    assert BINARY is not None, "it was looked for before"
    runtime = folder / "runc"
    runtime.write_text(_RUNC.format(python=Path(sys.executable).resolve()))
    runtime.chmod(0o755)
    with engine(str(runtime)) as found, registry(folder / "registry") as host:
        repository = f"{host}/modelops-tests"
        with found.client() as client:
            image = client.images.get(found.image)
            image.tag(repository, "tests")
            client.images.push(repository, "tests")
            pushed = client.images.get(found.image).attrs["RepoDigests"]
            pause = client.containers.create(found.image, entrypoint=["python", "-c", "import signal; signal.pause()"])
            # What holds a pod's network only has to wait.
            changes = ['ENTRYPOINT ["python", "-c", "import signal; signal.pause()"]', "CMD []"]
            pause.commit("modelops-tests-pause", "1", changes="\n".join(changes))
            pause.remove()
        with api_server() as server:
            server.start_node(found.host, "modelops-tests-pause:1")
            yield Node(server, found, next(each for each in pushed if each.startswith(repository)))
        found.clear("k8s_")
