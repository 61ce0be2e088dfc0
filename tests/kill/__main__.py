"""The kill drill from the command line: prints a table of verbs, kills and ends, and exits with 1 where ends differ.

    python tests/kill [--runs 12] [--mode event --mode chain] [--verb rollback] [--states FOLDER] [--seed 1]

States are made once in FOLDER (a temporary one by default) and used again when the same FOLDER is given.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kill.drill import MODES, VERBS, States, drill_all, table


def main() -> int:
    """Drill what is asked for."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--verb", action="append", choices=list(VERBS), help="default: all")
    words.add_argument("--mode", action="append", choices=MODES, help="default: event, chain and time")
    words.add_argument("--runs", type=int, default=8, help="runs of each verb in each mode")
    words.add_argument("--states", type=Path, help="where the states of the story are kept")
    words.add_argument("--seed", type=int, default=1)
    asked = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelops-kill-") as folder:
        states = States((asked.states or Path(folder)).resolve())
        states.folder.mkdir(parents=True, exist_ok=True)
        modes = asked.mode or ["event", "chain", "time"]
        names = asked.verb or list(VERBS)
        results = drill_all(
            states, names, modes, asked.runs, seed=asked.seed, say=lambda line: print(line, file=sys.stderr, flush=True)
        )
    print(table(results))
    return int(any(result.differs for result in results))


if __name__ == "__main__":
    sys.exit(main())
