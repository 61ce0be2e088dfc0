"""Images of releases: what they are built from, what is in them, and what is refused before anything is built."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from modelops.errors import ModelOpsError
from modelops.locks import pins_of
from modelops.locks.wheel import Wheel
from modelops.releases.sbom import bill_of_materials
from modelops.spec.routing import RoutingTable
from modelops.stores import open_at
from modelops.targets.docker import collect
from modelops.targets.docker.building import tarred
from modelops.targets.docker.image import BASES, Image, base_of
from modelops.targets.docker.inside import unpacked
from reconcile.conftest import *  # noqa: F403 - the stages of a small repository, with their fixtures
from reconcile.docker_world import AtEngine
from reconcile.loop_world import MODEL, World

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
BASE = "localhost:5000/python@sha256:" + "ab" * 32
WHEEL = Wheel("modelops-1-py3-none-any.whl", "cd" * 32, "a test", data=b"what is installed")


@pytest.fixture(scope="module")
def released(stages: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a repository with a release whose lock pins what a server needs."""
    world = stages("merged").copy(tmp_path_factory.mktemp("packages"))
    world.approved({"requirements.lock": LOCK}, "Pin")
    world.ok("release", "--yes")
    world.stop()
    return world


def packed(world: World, folder: Path, *words: str) -> Mapping[str, object]:
    found: Mapping[str, object] = world.ok(
        "package", MODEL, "1", "--base", BASE, "--files-only", "--to", str(folder), "-o", "json", *words
    ).json
    return found


def test_everything_that_answers_is_in_the_build(released: World, tmp_path: Path) -> None:
    """The build holds the artifact, verified, the table that names it, the serving part of the lock, and modelops."""
    said = packed(released, tmp_path)
    assert (said["image"], said["base"], said["files"]) == (None, BASE, str(tmp_path))
    table = RoutingTable.model_validate_json((tmp_path / "routes/routes.json").read_bytes())
    (arm,) = table.models[MODEL].arms
    assert (arm.release, arm.weight, arm.digest) == (1, 1.0, said["artifact"])
    from modelops.artifacts import verify_artifact

    verify_artifact(open_at(f"oci-layout:{tmp_path / 'store'}", tmp_path, {}), arm.digest)
    pinned = {pin.name: pin for pin in pins_of((tmp_path / "requirements.lock").read_bytes())}
    assert "onnxruntime" in pinned
    assert not {"pandas", "scikit-learn", "pyarrow", "onnx", "scipy"} & set(pinned)
    assert all(pin.hashed for pin in pinned.values())
    assert re.fullmatch(
        r"\./wheels/modelops-\S+\.whl --hash=sha256:[0-9a-f]{64}\n", (tmp_path / "modelops.txt").read_text()
    )
    dockerfile = (tmp_path / "Dockerfile").read_text()
    assert f"FROM {BASE} AS build\n" in dockerfile
    assert "\nFROM scratch\n" in dockerfile
    assert "\nUSER 10001:10001\n" in dockerfile
    assert "HEALTHCHECK" in dockerfile


def test_an_image_says_whose_it_is(released: World, tmp_path: Path) -> None:
    """Owner, release and digests are labels, by the names of the OCI where it has one."""
    labels = packed(released, tmp_path)["labels"]
    assert isinstance(labels, dict)
    assert labels["org.opencontainers.image.title"] == labels["dev.modelops.model"] == MODEL
    assert labels["org.opencontainers.image.version"] == labels["dev.modelops.release"] == "1"
    assert labels["dev.modelops.owner"] == "growth"
    assert labels["org.opencontainers.image.base.digest"] == BASE.partition("@")[2]
    dockerfile = (tmp_path / "Dockerfile").read_text()
    for key, value in labels.items():
        assert f'LABEL "{key}"="{value}"\n' in dockerfile


def test_the_same_release_gives_the_same_build(released: World, tmp_path: Path) -> None:
    """Twice packaged, every file is equal, the bill of materials too."""
    one, two = packed(released, tmp_path / "one"), packed(released, tmp_path / "two")
    assert one["name"] == two["name"]
    paths = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(paths) > 8
    for path in paths:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path


def test_the_bill_names_what_is_in_it(released: World, tmp_path: Path) -> None:
    """Base, every package with its version and hashes, modelops and the model are in the bill of materials."""
    said = packed(released, tmp_path)
    bill = json.loads((tmp_path / "sbom.cdx.json").read_bytes())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    by_name = {each["name"]: each for each in bill["components"]}
    pinned = {pin.name: pin.version for pin in pins_of((tmp_path / "requirements.lock").read_bytes()) if pin.counts}
    assert {name: by_name[name]["version"] for name in pinned} == pinned
    assert by_name["localhost:5000/python"]["hashes"][0]["content"] == "ab" * 32
    assert by_name[MODEL]["hashes"][0]["content"] == str(said["artifact"]).removeprefix("sha256:")
    (wheel,) = (tmp_path / "wheels").iterdir()
    assert by_name["modelops"]["hashes"][0]["content"] in (tmp_path / "modelops.txt").read_text()
    assert wheel.name.startswith(f"modelops-{by_name['modelops']['version']}-")
    references = [each["bom-ref"] for each in bill["components"]]
    assert len(references) == len(set(references))
    assert sorted(bill["dependencies"][0]["dependsOn"]) == sorted(references)


def test_a_bill_is_valid_cyclonedx() -> None:
    """The schema of CycloneDX 1.6 takes it; its own library has that schema."""
    validation = pytest.importorskip(
        "cyclonedx.validation.json", reason="no cyclonedx-python-lib[json-validation] here"
    )
    schema = pytest.importorskip("cyclonedx.schema")
    bill = bill_of_materials("crm/churn", "3", BASES["3.12"], LOCK, WHEEL, "sha256:" + "1" * 64, {"a": "b"})
    found = validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(bill.decode())
    assert found is None, found


def test_unknown_releases_and_targets_are_refused(released: World, tmp_path: Path) -> None:
    """There is no release 9, kubernetes makes no images, a base without a digest is none, and nothing is written."""
    asked = (
        (("package", MODEL, "9"), 2, "unknown-release"),
        (("package", "none", "1"), 2, "unknown-model"),
        (("package", MODEL, "1", "--target", "local"), 2, "not-a-packager"),
        (("package", MODEL, "1", "--base", "python:3.12"), 2, "bad-param"),
        (("package", MODEL, "1", "--files-only", "--push", "localhost:5000/x"), 2, "nothing to --push"),
    )
    for words, code, says in asked:
        done = released.run(*words, "--to", str(tmp_path / "none"))
        assert (done.code, says in done.err) == (code, True), done.err
    assert not (tmp_path / "none").exists()


def test_an_engine_that_does_not_answer_is_told(released: World, tmp_path: Path) -> None:
    """Nobody listens on the socket: exit 4, with its address; the files are there for another builder."""
    pytest.importorskip("docker", reason="no Docker SDK here: pip install 'modelops[docker]'")
    world = AtEngine(released.folder, f"unix://{tmp_path}/none.sock")
    done = world.run("package", MODEL, "1", "--base", BASE, "--to", str(tmp_path / "files"))
    assert (done.code, "[engine-unreachable]" in done.err, world.host in done.err) == (4, True, True), done.err
    assert (tmp_path / "files" / "Dockerfile").is_file()


@pytest.mark.parametrize("text", ["a \"b\" $HOME ${x} \\ `c` 'd'", "two\nlines\r\n FROM scratch", "größe — ü", "a\\"])
def test_labels_cannot_break_out(text: str) -> None:
    """Whatever an owner or a description is, it is one value on one line, in which nothing is expanded."""
    image = Image(BASE, "", frozenset(), WHEEL, labels={"x": text})
    (line,) = [line for line in str(image.files()["Dockerfile"]).splitlines() if line.startswith("LABEL")]
    value = re.fullmatch(r'LABEL "x"="((?:[^"\\$]|\\["\\$])*)"', line)
    assert value is not None
    assert re.sub(r"\\(.)", r"\1", value[1]) == " ".join(text.split())


def test_the_base_follows_the_lock() -> None:
    """What is named counts, then the Python that is named, then that of the lock."""
    head = "# What models are trained and served with, on Python 3.13 and newer.\nnumpy==2\n"
    assert base_of(head, None, None) == BASES["3.13"]
    assert base_of(head, None, "3.11") == BASES["3.11"]
    assert base_of(head, BASE, "3.11") == BASE
    assert base_of(LOCK, None, None) == BASES["3.12"]
    other = head.replace("3.13", "3.15")
    with pytest.raises(ModelOpsError, match=r"the lock is for Python 3\.15.*no-base"):
        base_of(other, None, None)
    assert base_of(other, BASE, None) == BASE


def test_python_code_gets_its_whole_lock_and_a_distribution() -> None:
    """What ONNX Runtime does not serve needs the very versions that it was checked with."""
    onnx, code = (Image(BASE, LOCK, frozenset({engine}), WHEEL) for engine in ("onnx", "sklearn"))
    assert onnx.minimal
    assert not code.minimal
    assert code.packages == LOCK
    assert str(code.files()["Dockerfile"]).count(f"FROM {BASE}") == 2
    assert onnx.tag != code.tag == Image(BASE, LOCK, frozenset({"sklearn"}), WHEEL).tag


@pytest.mark.parametrize("cut", [100, 700, 1500])
def test_an_archive_that_is_cut_off_is_no_shorter_one(cut: int) -> None:
    """Files come by their own names, wherever their folders lead; an end that is too early is told."""
    data = tarred({"../../a": b"x" * 600, "/etc/b": b"y"})
    parts = [data[at : at + 97] for at in range(0, len(data), 97)]
    assert [(name, file.read()) for name, file in unpacked(parts)] == [("a", b"x" * 600), ("b", b"y")]
    with pytest.raises(tarfile.TarError):
        [file.read() for _, file in unpacked([data[:cut]])]


def test_the_archive_of_a_build_is_deterministic() -> None:
    """No time and no owner of this machine goes to the engine."""
    assert tarred({"b": "1", "a": b"2"}) == tarred({"a": b"2", "b": "1"})


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ldd") is None, reason="only root may try a root of its own")
def test_what_is_gathered_runs_by_itself(tmp_path: Path) -> None:
    """In the gathered tree, as the root of a process, Python imports what servers need; there is no shell."""
    packages = Path("/opt") / f"modelops-test-{os.getpid()}"
    try:
        (packages / "thing" / "tests").mkdir(parents=True)
        (packages / "thing" / "__init__.py").write_text("VALUE = 7\n")
        (packages / "thing" / "tests" / "data.bin").write_bytes(b"x")
        (packages / "thing" / "__init__.pyi").write_text("VALUE: int\n")
        words = [str(packages), str(tmp_path / "image"), "--minimal"]
        path = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
        if shutil.which("python", path=path) is None:
            pytest.skip("the Python of this machine has no program of the name python")
        subprocess.run([sys.executable, "-I", str(Path(collect.__file__)), *words], check=True, env={"PATH": path})
    finally:
        shutil.rmtree(packages)
    image = tmp_path / "image"
    installed = image / packages.relative_to("/")
    kept = sorted(str(path.relative_to(image)) for path in installed.rglob("*") if path.is_file())
    assert [Path(path).suffix for path in kept] == [".py", ".pyc"]
    assert not (image / "bin" / "sh").exists()
    assert (image / "var/lib/modelops").stat().st_uid == 10001
    code = "import ssl, sqlite3, zlib, ctypes, asyncio, socket, thing; print(thing.VALUE)"
    inside, entered = shutil.which("python", path=path), shutil.which("chroot", path=f"{path}:/usr/sbin:/sbin")
    assert inside is not None
    assert entered is not None
    done = subprocess.run(
        [entered, str(image), inside, "-S", "-c", code],
        env={"PYTHONPATH": str(packages)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_the_onnx_check_reads_as_the_package_does() -> None:
    """What is described of ONNX has the names and numbers of the package onnx."""
    import onnx

    from modelops.artifacts import onnx_described

    for name, fields in onnx_described._MESSAGES.items():
        theirs = getattr(onnx, name).DESCRIPTOR.fields_by_name
        for field, number, label, kind in fields:
            assert theirs[field].number == number, f"{name}.{field}"
            assert theirs[field].is_repeated == (label == onnx_described._MANY), f"{name}.{field}"
            assert theirs[field].message_type is None or theirs[field].message_type.name == kind, f"{name}.{field}"
    assert onnx_described.HERE == onnx.TensorProto.DEFAULT


@pytest.mark.parametrize("place", [b"\x70\x02", b"\x70\x01\x70\x02"])
def test_a_tensor_that_may_be_elsewhere_is_refused(place: bytes) -> None:
    """A place that is unknown, or said after the one of another file, is not read as none."""
    import onnx

    from modelops.artifacts.onnx_session import check_model

    tensor = place + onnx.TensorProto(name="far").SerializeToString()
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    with pytest.raises(ModelOpsError, match="its tensor 'far' is in another file"):
        check_model(b"\x3a" + bytes([len(graph)]) + graph)


def test_a_name_that_is_no_text_is_refused() -> None:
    """The wire takes any bytes for a domain; what cannot be read is not let in."""
    from modelops.artifacts.onnx_session import check_model

    entry = b"\x0a\x01\xff"
    with pytest.raises(ModelOpsError, match="bad-model"):
        check_model(b"\x42" + bytes([len(entry)]) + entry)


def test_a_sparse_value_in_another_file_is_refused() -> None:
    """Tensors of attributes are looked at in every form that they have."""
    import onnx

    from modelops.artifacts.onnx_session import check_model

    model = onnx.ModelProto()
    node = model.graph.node.add(op_type="Constant")
    sparse = node.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR).sparse_tensor
    sparse.values.name, sparse.values.data_location = "far", onnx.TensorProto.EXTERNAL
    with pytest.raises(ModelOpsError, match="its tensor 'far' is in another file"):
        check_model(model.SerializeToString())
