"""The runner `docker` in trouble: other projects on the engine, secrets, ports, volumes that rot or are lost."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import secrets
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from engine_world import needs_engine
from modelops import predictions
from modelops.errors import ModelOpsError
from modelops.spec.kinds.access_policy import ApiKey
from modelops.stores import Store
from modelops.targets import Packed, docker
from registry_world import free_port, needs_registry, registry
from targets.engine_box import Box, answers
from waiting import PATIENCE, wait_for

pytestmark = [needs_engine, pytest.mark.slow]


def test_after_a_refused_table_a_new_start_finds_the_old_one(box: Box, store: Store) -> None:
    """A release that only the server can refuse is taken out of the volume again, so a restart answers as before."""
    box.apply(box.table())
    manifest = json.loads(store.get(box.digests[0]))
    config = store.put(b"{}")
    manifest["config"] = {**manifest["config"], "digest": config, "size": 2}
    broken = store.put(json.dumps(manifest).encode())
    good, box.digests = box.digests, [broken, broken]
    with pytest.raises(ModelOpsError, match="table-refused"):
        docker.apply(box.params(), box.site, box.table())
    box.digests = good
    (name,) = (each for each in box.ids() if not each.endswith("-front"))
    with box.engine.client() as client:
        client.containers.get(name).restart(timeout=0)
    wait_for(lambda: answers(box))
    assert docker.observe(box.params(), box.site).routes == box.table()


def test_what_rotted_in_the_volume_is_copied_again(box: Box) -> None:
    """A blob with other bytes, and what a killed copier left, are put right by the next apply."""
    box.apply(box.table())
    front, (server,) = f"{box.prefix}-staging-front", [each for each in box.ids() if not each.endswith("-front")]
    box.inside(
        front,
        "import pathlib; top = pathlib.Path('/srv/modelops')\n"
        "for blob in (top / 'store/blobs/sha256').iterdir(): blob.write_bytes(blob.read_bytes()[:-1])\n"
        "(top / 'incoming-0').mkdir(); (top / 'incoming-0/routes.json').write_text('{')",
    )
    with box.engine.client() as client:
        client.containers.get(server).remove(force=True)
    box.apply(box.table(0.5))
    box.ask()


def test_a_full_disk_leaves_the_old_routes(box: Box) -> None:
    """No room for an artifact: exit 4 in the engine's words, callers are answered; with room the next pass goes on."""
    with box.engine.client() as client:
        options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=0755,uid=10001,gid=10001"}
        client.volumes.create(f"{box.prefix}-staging-state", driver="local", driver_opts=options)
    box.apply(box.table())
    front = f"{box.prefix}-staging-front"
    filler = "import pathlib; file = pathlib.Path('/srv/modelops/filler')"
    box.inside(
        front,
        f"{filler}.open('wb')\n"
        "import contextlib\n"
        "with contextlib.suppress(OSError):\n    while True: file.write(bytes(4096)); file.flush()",
    )
    with pytest.raises(ModelOpsError, match="engine-refused") as caught:
        box.apply(box.table(0.5))
    assert (caught.value.exit, caught.value.retryable) == (4, True)
    assert docker.observe(box.params(), box.site).routes == box.table()
    box.ask()
    box.inside(front, f"{filler}; assert not list(file.parent.glob('incoming-*')); file.unlink()")
    box.apply(box.table(0.5))


def test_another_project_of_the_same_name_is_left_alone(box: Box, tmp_path: Path) -> None:
    """Who would have the names of another repository is refused, touches nothing and reads nothing."""
    box.site = replace(box.site, repository=lambda: "1" * 40)
    box.apply(box.table())
    before = box.ids()
    id = box.ask()["parameters"]["prediction_id"]
    assert box.logged(id)
    for number, repository in enumerate(("2" * 40, "")):
        other = replace(box.site, runtime=tmp_path / str(number), repository=lambda found=repository: found)
        for question in (
            lambda site: docker.apply(box.params(), site, box.table()),
            lambda site: docker.observe(box.params(), site),
            lambda site: docker.stop(box.params(), site),
            lambda site: docker.endpoint(box.params(), site),
            lambda site: box.logged(id, site=site),
        ):
            with pytest.raises(ModelOpsError, match="name-taken") as caught:
                question(other)
            assert caught.value.exit == 4
    assert box.ids() == before
    box.ask()


@pytest.mark.parametrize("kind", ["networks", "volumes"])
def test_another_environment_of_the_same_names_is_left_alone(box: Box, kind: str) -> None:
    """a-b of c and b of c-a are the same names: whoever comes second is refused before anything is made."""
    stem, owner = f"{box.prefix}-staging", {"dev.modelops.repository": "", "dev.modelops.environment": "other"}
    with box.engine.client() as client:
        getattr(client, kind).create(stem if kind == "networks" else f"{stem}-log", labels=owner)
    with pytest.raises(ModelOpsError, match=r"of somebody else.*name-taken"):
        docker.apply(box.params(), box.site, box.table())
    assert box.ids() == {}


def test_keys_stay_where_they_are(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a container holds an API key; its caller is let in; without the variable, what runs is left alone."""
    key = secrets.token_hex(16)
    monkeypatch.setenv("FRAUD_KEY", key)
    table = box.table(keys=(ApiKey(name="shop", variable="FRAUD_KEY"),))
    box.apply(table)
    box.ask(key=key)
    box.ask(status=401)
    box.ask(key=hashlib.sha256(key.encode()).hexdigest(), status=401)
    before = box.ids()
    with box.engine.client() as client:
        for name in before:
            assert key not in json.dumps(client.containers.get(name).attrs)
    monkeypatch.delenv("FRAUD_KEY")
    with pytest.raises(ModelOpsError, match="FRAUD_KEY is not set"):
        docker.apply(box.params(), box.site, table)
    assert box.ids() == before


def test_a_front_without_its_new_port_keeps_the_old_one(box: Box) -> None:
    """Another port that somebody has: callers go on at the old one; once it is free, the front moves there."""
    box.apply(box.table())
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(ModelOpsError, match="port-taken"):
            box.apply(box.table(), port=port)
        wait_for(lambda: answers(box))
        assert f"{box.prefix}-staging-front" in box.ids()
    box.apply(box.table(), port=port)
    box.ask(port)
    assert not [name for name in box.ids() if name.endswith("-former")]
    with pytest.raises(OSError, match="refused"):
        box.ask()


def test_the_log_is_whole_while_its_front_is_away(box: Box) -> None:
    """A server that writes is asked for its own moment, also where the container with the ports has ended."""
    box.apply(box.table())
    id = box.ask()["parameters"]["prediction_id"]
    front = f"{box.prefix}-staging-front"
    with box.engine.client() as client:
        client.containers.get(front).stop(timeout=1)
        assert box.logged(id)
        client.containers.get(front).remove(force=True)
    assert box.logged(id)


def test_a_copy_outlives_its_volume(box: Box, tmp_path: Path) -> None:
    """A volume that another machine made anew has files of the same names: the older copies are put aside, whole."""
    box.apply(box.table())
    id = box.ask()["parameters"]["prediction_id"]
    assert box.logged(id)
    box.engine.clear(box.prefix)
    docker.apply(box.params(), replace(box.site, runtime=tmp_path / "other"), box.table())
    newer = box.ask()["parameters"]["prediction_id"]
    assert box.logged(newer)
    (aside,) = (box.site.runtime / "carried" / "earlier").iterdir()
    assert predictions.find(aside, id) is not None


@needs_registry
def test_an_image_is_pushed_by_its_digest(box: Box, tmp_path: Path) -> None:
    """What is built is in the registry under the digest that is told; a registry that is away is told, exit 4."""
    files = {"Dockerfile": f"FROM {box.engine.image}\nLABEL x=y\n"}
    packed = Packed(f"{box.prefix}/fraud:1-0123456789ab", "none", "", {}, files)
    with registry(tmp_path / "registry") as host:
        built = docker.build(box.params(), packed, f"{host}/models/fraud", lambda said: None)
        assert built.pushed is not None
        name, _, digest = built.pushed.partition("@")
        assert name == f"{host}/models/fraud"
        kinds = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
        with contextlib.closing(http.client.HTTPConnection(host, timeout=PATIENCE)) as connection:
            connection.request("GET", f"/v2/models/fraud/manifests/{digest}", headers={"Accept": kinds})
            manifest = connection.getresponse().read()
        assert digest == f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        assert json.loads(manifest)["config"]["digest"] == built.image
    with pytest.raises(ModelOpsError, match="image-not-pushed") as caught:
        docker.build(box.params(), packed, f"{host}/models/fraud", lambda said: None)
    assert caught.value.exit == 4
    with box.engine.client() as client:
        client.images.remove(built.image, force=True)
