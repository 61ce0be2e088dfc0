"""Threat 4: code of the repository is hostile. Training and data commands try every way out of the one fence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelops.data.acquire import Limits, Place, run_command
from modelops.errors import Exit, ModelOpsError
from modelops.fence import PROMISES, Bounds, Held, Terms, missing, promises, seccomp
from modelops.fence.bounds import MEANS, Means
from modelops.fence.program import run_program
from modelops.fence.text import one_line, printable
from modelops.fence.trial import Found, measure
from modelops.spec.kinds.data_snapshot import Source
from modelops.views.proofs import fence as view
from threats.outside_world import outside_world, processes_with
from threats.ways_out import ATTEMPTS
from training.building_blocks import Workshop
from waiting import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fence is the kernel's, and this one is not Linux")

WITHOUT: tuple[tuple[Means, ...], ...] = ((), ("namespaces",), ("namespaces", "stranger"))
"""What the machine is said not to offer: nothing, namespaces as on a hosted runner, a user id of its own either."""

IDS = ["everything", "no namespaces", "no namespaces, no stranger"]

COMMAND = """
import sys
sys.path.insert(0, ".")
from ways import tried
import json, pathlib
pathlib.Path(sys.argv[1], "report.json").write_text(json.dumps(tried(json.loads(sys.argv[2]))))
"""

TRAINING = """
import json
from ways import programs, tried

WORLD = json.loads(open(__file__.replace("train.py", "world.json")).read())


def train(features, target, parameters, seed):
    print("REPORT " + json.dumps(tried(WORLD, also=(programs,))), flush=True)
    raise RuntimeError("reported")
"""


def got(report: dict[str, str]) -> dict[str, str]:
    return {name: what for name, what in report.items() if not what.startswith("refused ")}


def place_of(root: Path, terms: Terms = Terms(), seconds: float = 60) -> Place:
    model = root / "models" / "m"
    model.mkdir(parents=True, exist_ok=True)
    return Place(root, model, root / ".modelops" / "cache", limits=Limits(command_seconds=seconds), terms=terms)


def command(*words: str, network: bool = False, files: tuple[str, ...] = ()) -> Source:
    return Source(type="command", command=("python", *words), network=network, files=files, owner="mallory")


@pytest.mark.parametrize("without", WITHOUT, ids=IDS)
def test_a_data_command_gets_nowhere(tmp_path: Path, without: tuple[Means, ...]) -> None:
    """Sixty ways out, from Python and past it: each is refused, and nothing outside has changed."""
    key = tmp_path / ".modelops" / "keys" / "local.pem"
    store = tmp_path / ".modelops" / "store"
    key.parent.mkdir(parents=True)
    key.write_text("-----BEGIN PRIVATE KEY-----")
    store.mkdir()
    held: list[Held] = []
    place = place_of(tmp_path, Terms(without=without, heard=held.append))
    (place.model_folder / "ways.py").write_text(ATTEMPTS)
    (place.model_folder / "generate.py").write_text(COMMAND)
    with outside_world(tmp_path / "outside", key, store, tmp_path / "models", tmp_path / ".modelops") as outside:
        run_command(command("generate.py", "{output}", json.dumps(outside.told)), place, tmp_path / "made")
        assert outside.untouched()
    report = json.loads((tmp_path / "made" / "report.json").read_text())
    assert len(report) > 60
    assert not got(report)
    assert sorted(path.name for path in place.model_folder.iterdir()) == ["generate.py", "ways.py"]
    (one,) = held
    assert one.namespaces == ("namespaces" not in without and not dict(one.why).get("namespaces"))
    assert not missing(one)


@pytest.mark.parametrize("without", [*WITHOUT[:2], pytest.param(WITHOUT[2], marks=pytest.mark.slow)], ids=IDS)
def test_training_gets_nowhere(workshop: Workshop, without: tuple[Means, ...]) -> None:
    """The same ways out of training, which may not even start a process; the test rows are among what is outside."""
    root = workshop.root
    private = [root / "scratch", root / ".modelops"]
    private[1].mkdir()
    with outside_world(root / "outside", *private) as outside:
        files = {"ways.py": ATTEMPTS.encode(), "world.json": json.dumps(outside.told).encode()}
        with pytest.raises(ModelOpsError) as caught:
            workshop.build(workshop.request(TRAINING, files), terms=Terms(without=without))
        assert outside.untouched()
    assert "RuntimeError: reported" in caught.value.first.message
    log = next((root / ".modelops" / "runs").glob("*.log")).read_text()
    report = json.loads(next(line for line in log.splitlines() if line.startswith("REPORT ")).removeprefix("REPORT "))
    assert len(report) > 70
    assert not got(report)


LEAVES = """
import os, pathlib, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-S", "-E", "-c", "import time; time.sleep(300)", sys.argv[2]])
    os._exit(0)
time.sleep(0.3)
pathlib.Path(sys.argv[1], "a.csv").write_text("x\\n1\\n")
if sys.argv[3] == "hang":
    time.sleep(300)
"""


@pytest.mark.parametrize("without", WITHOUT[:2], ids=IDS[:2])
@pytest.mark.parametrize("how", ["ends", "hang"])
def test_no_process_outlives_its_command(tmp_path: Path, without: tuple[Means, ...], how: str) -> None:
    """A process twice removed, in a session of its own, ends with the command, be that at its end or at its limit."""
    mark = f"left-by-{tmp_path.name}-{os.getpid()}"
    place = place_of(tmp_path, Terms(without=without), seconds=1.5 if how == "hang" else 60)
    (place.model_folder / "leave.py").write_text(LEAVES)
    source = command("leave.py", "{output}", mark, how)
    if how == "hang":
        with pytest.raises(ModelOpsError, match="ran longer than"):
            run_command(source, place, tmp_path / "made")
    else:
        run_command(source, place, tmp_path / "made")
        assert (tmp_path / "made" / "a.csv").exists()
    assert processes_with(mark) == []


RUNS = """
import sys, pathlib
from modelops.data.acquire import Place, run_command
from modelops.fence import Terms
from modelops.spec.kinds.data_snapshot import Source
root = pathlib.Path(sys.argv[1])
source = Source(type="command", command=("python", "leave.py", "{output}", sys.argv[2], "hang"), owner="o")
terms = Terms(without=tuple(sys.argv[3].split(",")) if sys.argv[3] else ())
run_command(source, Place(root, root / "models" / "m", root / "cache", terms=terms), root / "made")
"""


@pytest.mark.parametrize("without", WITHOUT[:2], ids=IDS[:2])
def test_no_process_outlives_whoever_started_it(tmp_path: Path, without: tuple[Means, ...]) -> None:
    """When modelops itself is killed with no time to clean up, what it fenced ends all the same."""
    mark = f"orphan-of-{tmp_path.name}-{os.getpid()}"
    place = place_of(tmp_path)
    (place.model_folder / "leave.py").write_text(LEAVES)
    with subprocess.Popen([sys.executable, "-c", RUNS, str(tmp_path), mark, ",".join(without)]) as process:
        wait_for(lambda: len(processes_with(mark)) >= 3)
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: processes_with(mark) == [])


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import os, sys; os.symlink('/etc/passwd', sys.argv[1] + '/a.csv')", "left a.csv, which is no plain file"),
        ("import os, sys; os.mkfifo(sys.argv[1] + '/a.csv')", "left a.csv, which is no plain file"),
        ("import os, sys; open('x', 'w'); os.link('x', sys.argv[1] + '/a.csv')", "left a.csv, which is no plain file"),
        ("import shutil, sys, os; shutil.rmtree(sys.argv[1]); os.symlink('/etc', sys.argv[1])", "no plain file"),
    ],
)
def test_what_a_command_leaves_is_plain_files(tmp_path: Path, program: str, says: str) -> None:
    """A link, a pipe or a second name in place of data is refused, so that nobody reads a file of ours through it."""
    with pytest.raises(ModelOpsError) as caught:
        run_command(command("-c", program, "{output}"), place_of(tmp_path), tmp_path / "made")
    assert caught.value.first.code == "source-command"
    assert says in caught.value.first.message
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("modes", ["", "os.chmod('.', 0); "])
def test_a_maze_is_left_behind_by_nobody(tmp_path: Path, modes: str) -> None:
    """Folders nested deeper than any path is long are an error of the command, and are gone afterwards."""
    program = f"import os, sys; os.chdir(sys.argv[1])\nfor n in range(3000): os.mkdir('d'); os.chdir('d')\n{modes}"
    place = place_of(tmp_path)
    with pytest.raises(ModelOpsError, match="left what cannot be read"):
        run_command(command("-c", program, "{output}"), place, tmp_path / "made")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]


def test_a_command_sees_the_files_that_its_source_lists(tmp_path: Path) -> None:
    """Besides what the command names nothing else of the folder is in its copy; a file that is absent is said."""
    place = place_of(tmp_path)
    for name in ("generate.py", "lists/a.txt", "train.py", "secret-plans.txt"):
        target = place.model_folder / name
        target.parent.mkdir(exist_ok=True)
        target.write_text("")
    program = (
        "import os, sys, pathlib; f = pathlib.Path(sys.argv[1], 'seen'); f.write_text(repr(sorted(os.listdir('.'))))"
    )
    (place.model_folder / "generate.py").write_text(program)
    run_command(command("generate.py", "{output}", files=("lists",)), place, tmp_path / "made")
    assert (tmp_path / "made" / "seen").read_text() == "['generate.py', 'lists']"
    with pytest.raises(ModelOpsError, match=r"lists 'gone\.txt'"):
        run_command(command("generate.py", "{output}", files=("gone.txt",)), place, tmp_path / "made")


def test_the_network_is_there_for_those_who_declare_it(tmp_path: Path) -> None:
    """With ``network: true`` a command connects by TCP; Unix and raw sockets stay out of its reach."""
    program = (
        "import json, pathlib, socket, sys\n"
        "said = []\n"
        "try: socket.create_connection(('127.0.0.1', int(sys.argv[2])), 5); said.append('connected')\n"
        "except OSError as error: said.append(str(error))\n"
        "for family, kind in ((socket.AF_UNIX, 1), (socket.AF_INET, 3), (16, 3)):\n"
        "    try: socket.socket(family, kind); said.append('opened')\n"
        "    except OSError: pass\n"
        "pathlib.Path(sys.argv[1], 'said').write_text(json.dumps(said))\n"
    )
    place = place_of(tmp_path)
    with outside_world(tmp_path / "outside") as outside:
        port = str(outside.told["tcp"])
        run_command(command("-c", program, "{output}", port, network=True), place, tmp_path / "made")
        assert json.loads((tmp_path / "made" / "said").read_text()) == ["connected"]
        run_command(command("-c", program, "{output}", port), place, tmp_path / "made")
        assert "connected" not in (tmp_path / "made" / "said").read_text()


def test_a_weak_machine_is_refused_where_the_project_asks_for_more(tmp_path: Path) -> None:
    """Nothing of the repository runs when a promise that is required does not hold; the reasons are said."""
    terms = Terms(require=("files", "network"), without=("namespaces", "landlock", "seccomp", "stranger"))
    place = place_of(tmp_path, terms)
    with pytest.raises(ModelOpsError) as caught:
        run_command(command("-c", "open('ran', 'w')", "{output}"), place, tmp_path / "made")
    assert (caught.value.first.code, caught.value.exit) == ("fence-too-weak", Exit.WORLD)
    assert "files, network" in caught.value.first.message
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
def test_training_is_refused_there_too(workshop: Workshop) -> None:
    """The build of a machine that cannot keep what the project requires ends before a line of its code has run."""
    terms = Terms(require=("sockets",), without=("seccomp",))
    code = "raise SystemExit('it ran')\n\ndef train(features, target, parameters, seed): ...\n"
    with pytest.raises(ModelOpsError) as caught:
        workshop.build(workshop.request(code), terms=terms)
    assert (caught.value.first.code, caught.value.exit) == ("fence-too-weak", Exit.WORLD)
    assert "it ran" not in next((workshop.root / ".modelops" / "runs").glob("*.log")).read_text()


def test_the_doctor_measures_and_is_not_blind(tmp_path: Path) -> None:
    """What holds here is tried; with every means left out the same attempts get through, and are named."""
    private = tmp_path / "private"
    private.mkdir()
    held, found = measure([private])
    assert [one.promise for one in found] == list(PROMISES)
    assert {one.promise for one in found if one.holds} == set(promises(held))
    held, bare = measure([private], Terms(without=MEANS))
    through = {one.promise: one.through for one in bare}
    assert {one.promise for one in bare if one.holds} == {"processes"}
    assert f"reading {private}" in through["files"]
    assert "a connection by TCP" in through["network"]
    assert "a signal to another process" in through["signals"]


def test_what_does_not_hold_is_said() -> None:
    """After a run in one line, and by the doctor with what the kernel refused and what to do about it."""
    whole = Held(namespaces=True, own_proc=True, landlock=7, seccomp=True)
    bare = Held(why=(("landlock", "the kernel has none"),))
    assert view.weak(whole) is None
    assert "files, secrets, network, sockets, signals, rights" in str(view.weak(bare))
    found = [Found("files", False, "", ("reading /etc/shadow",)), Found("secrets", True, "Landlock", ())]
    said = view.text(bare, found, ("files",), [("$KEY", "hidden")])
    assert "DOES NOT HOLD" in said
    assert "files (required)" in said
    assert "reading /etc/shadow got through" in said
    assert "landlock: the kernel has none" in said
    assert "use a kernel from 5.13 on" in said
    data = view.data(bare, found, ("files",), [("$KEY", "hidden")])
    assert [(one["promise"], one["holds"], one["required"]) for one in data["fence"]] == [
        ("files", False, True), ("secrets", True, False),
    ]  # fmt: skip
    assert data["lacking"][0]["means"] == "landlock"


@pytest.mark.parametrize("machine", sorted(seccomp.ARCHITECTURES))
@pytest.mark.parametrize("programs", [True, False])
def test_the_filter_refuses_what_it_should(machine: str, programs: bool) -> None:
    """The filter is run as the kernel runs it, on every number: foreign calls and the doors fail, plain calls pass."""
    steps = seccomp.program(machine, programs=programs, network=False, signals=True, modes=True, own=7)
    numbers = seccomp.numbers(machine)

    def verdict(name: str | int, *arguments: int, architecture: int = seccomp.ARCHITECTURES[machine]) -> int:
        number = numbers[name] if isinstance(name, str) else name
        words = {0: number, 4: architecture} | {16 + 8 * index: value for index, value in enumerate(arguments)}
        accumulator, at = 0, 0
        while True:
            code, jump, skip, value = steps[at]
            at += 1
            if code == 0x20:
                accumulator = words.get(value, 0)
            elif code == 0x54:
                accumulator &= value
            elif code == 0x06:
                return value
            else:
                right = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
                at += jump if right else skip

    allow = 0x7FFF0000
    assert verdict(0) == allow
    assert verdict(0, architecture=0x40000003) != allow
    assert verdict(0x40000000) != allow
    assert all(verdict(name) != allow for name in ("ptrace", "mount", "bpf", "keyctl", "io_uring_setup", "socket"))
    assert verdict("clone", 0x00010F00) == allow
    assert (verdict("clone", 17) == allow) == programs
    assert verdict("clone", 0x10000000 | 17) != allow
    assert (verdict("execve") == allow) == programs
    assert (verdict("kill", 9) == allow) == programs
    assert verdict("kill", 7) == allow
    assert [verdict("prlimit64", pid) == allow for pid in (0, 7, 9)] == [True, True, False]
    assert [verdict("setpriority", *who) == allow for who in ((0, 0), (0, 9), (2, 0))] == [True, False, False]


def test_the_limits_of_a_command(tmp_path: Path) -> None:
    """Memory, the size of a file and the number of processes are bounded."""
    place = tmp_path / "inside"
    place.mkdir()
    program = (
        "import os\n"
        "try: bytearray(3 << 29)\n"
        "except MemoryError: print('memory')\n"
        "try:\n"
        "    with open('large', 'wb') as file: file.truncate(3 << 20)\n"
        "except OSError: print('size')\n"
        "children = 0\n"
        "try:\n"
        "    for _ in range(80):\n"
        "        if os.fork() == 0: __import__('time').sleep(60); os._exit(0)\n"
        "        children += 1\n"
        "except OSError: print('processes', children < 64)\n"
    )
    bounds = Bounds(str(place), programs=True, memory=1 << 29, file_size=2 << 20, processes=60)
    arguments = [sys.executable, "-S", "-E", "-c", "import signal; signal.signal(signal.SIGXFSZ, 1)\n" + program]
    ended = run_program(arguments, {"PATH": os.defpath}, bounds, place, 30)
    said = ended.output.split("\n")
    assert said[:2] == ["memory", "size"]
    if ended.held.namespaces or ended.held.user is not None:
        assert said[2] == "processes True"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("::add-mask::x", " .::add-mask::x"),
        ("fine\n  ::error file=a::hi", "fine\n   .::error file=a::hi"),
        ("##[group]x\r::stop", " .##[group]x\n .::stop"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07", "red "),
        ("turned \u202e round\x00", "turned \\u202e round\\u0000"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_fenced_code_says_commands_nobody(said: str, shown: str) -> None:
    """Workflow commands, terminal sequences, turns of writing and half letters lose their power, not their words."""
    assert printable(said) == shown


def test_a_report_is_one_line_and_bounded() -> None:
    """What names a file or a code is one line, however long and broken it was."""
    assert one_line("a\nb\u2028c") == "a | b\\u2028c"
    assert len(one_line("x" * 99_999)) == 4000
