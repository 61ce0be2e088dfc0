"""Tell the story of tests/world by one version of modelops, and keep what it wrote as an asset of that version.

    python tests/assets/make.py [--program "PYTHON -m modelops"]

The asset is named after the version that the program says it is, and one that is there is never made again: what it is
for is that later versions go on reading exactly these bytes. Make it from the commit that is released.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from world import story
from world.shop import Shop, customers

HERE = Path(__file__).resolve().parent
RUNTIME = ("routes.json", "status.json", "monitor", "predictions", "rollouts")
"""What of an environment's runtime is kept; the rest belongs to a process or a machine."""
README = """# Written by modelops {version}

What `tests/assets/make.py` left after telling the story of `tests/world/story.py` with modelops {version}. Never
changed and never made again: every later version reads these bytes.

| path | what it is |
| --- | --- |
| `origin.bundle` | the bare remote with all its refs, pull requests of the embedded forge among them |
| `modelops/store` | the store of the clone, with the artifacts of all releases |
| `modelops/runs.sqlite` | the ledger of training runs |
| `modelops/runtime/ENV` | routing table, conditions, state of the monitor and the prediction log at the end |
| `on-trial/runtime/ENV` | the same while release 3 was on trial, with the state of its rollout |
| `on-trial/commit` | the tip of main at that time |
| `modelops/keys/local.pem` | the key that signed, made for this story alone; nobody else trusts it |
| `predictions.txt` | one prediction id of each month of traffic |

The story: release 1 goes to production at once; its traffic drifts and the monitor opens a retraining pull request;
release 2, made from it, wins a canary; release 3 is tried, paused, resumed, fails on strange customers and is denied.
"""


def keep_runtime(shop: Shop, place: Path) -> None:
    """Copy what lasts of the runtime, with the write-ahead logs folded into their files."""
    for folder in sorted((shop.root / ".modelops" / "runtime").iterdir()):
        for name in RUNTIME:
            source, target = folder / name, place / folder.name / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.lock"))
            elif source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
    for path in place.rglob("*.sqlite"):
        fold(path)


def fold(path: Path) -> None:
    """Write a database's write-ahead log into it and remove the log."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def keep(shop: Shop, asset: Path, predictions: list[str]) -> None:
    """Write the end of the story."""
    shop.git("bundle", "create", "-q", str(asset / "origin.bundle"), "--all", at=shop.origin)
    kept, place = shop.root / ".modelops", asset / "modelops"
    shutil.copytree(kept / "store", place / "store")
    shutil.copytree(kept / "keys", place / "keys")
    shutil.copy(kept / "runs.sqlite", place / "runs.sqlite")
    fold(place / "runs.sqlite")
    keep_runtime(shop, place / "runtime")
    (asset / "predictions.txt").write_text("\n".join(predictions) + "\n", encoding="utf-8")


def keep_trial(shop: Shop, asset: Path) -> None:
    """Write what runs while release 3 is on trial, with some traffic behind it."""
    place = asset / "on-trial"
    place.mkdir()
    shop.reconcile()
    shop.ask(customers(30, 29, fee=75.0))
    shop.reconcile()
    (place / "commit").write_text(shop.git("rev-parse", "main", at=shop.origin) + "\n", encoding="utf-8")
    shop.stop()
    keep_runtime(shop, place / "runtime")


def make(folder: Path, asset: Path, program: list[str]) -> None:
    """Tell the story in a folder and keep its end."""
    shop, predictions = story.proposed(folder, *program), []
    try:
        for state in story.STATES[1:]:
            story.advance(shop, state)
            if state in story.NEEDS_SERVER:
                (answer,) = shop.ask(customers(1, 99))
                predictions.append(answer["parameters"]["prediction_id"])
            if state == "resumed":
                keep_trial(shop, asset)
            print(state, flush=True)
        shop.stop()
        keep(shop, asset, predictions)
    finally:
        shop.stop()


def main() -> None:
    """Make the asset of the program's version."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--program", default=f"{shlex.quote(sys.executable)} -m modelops")
    program = shlex.split(words.parse_args().program)
    with tempfile.TemporaryDirectory(prefix="modelops-asset-") as folder:
        version = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
        asset = HERE / f"v{version}"
        if asset.exists():
            sys.exit(f"{asset} is there already and stays as it is")
        made = Path(folder) / "asset"
        made.mkdir()
        make(Path(folder) / "story", made, program)
        (made / "README.md").write_text(README.format(version=version), encoding="utf-8")
        shutil.copytree(made, asset)
    print(asset)


if __name__ == "__main__":
    main()
