"""The Wisconsin diagnostic breast cancer data of 1995, as it ships with scikit-learn, as one CSV file.

Text rather than Parquet, because a Parquet file also records the version of the library that wrote it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sklearn.datasets import load_breast_cancer


def main() -> None:
    """Write ``tumors.csv``: a record number, 30 measurements of cell nuclei and the diagnosis."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    data = load_breast_cancer(as_frame=True)
    frame = data.frame.rename(columns=lambda name: name.replace(" ", "_"))
    frame["diagnosis"] = frame.pop("target").map(dict(enumerate(data.target_names)))
    frame.insert(0, "record", [f"wdbc-{number:03d}" for number in range(len(frame))])
    frame.to_csv(options.output / "tumors.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
