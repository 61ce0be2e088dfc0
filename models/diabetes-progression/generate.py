"""The diabetes study of Efron, Hastie, Johnstone and Tibshirani (2004), unscaled, as one CSV file.

The source codes sex as 1 and 2 and does not say which is which; the file keeps the codes as text.
Text rather than Parquet, because a Parquet file also records the version of the library that wrote it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sklearn.datasets import load_diabetes

NAMES = {
    "bp": "blood_pressure", "s1": "cholesterol", "s2": "ldl", "s3": "hdl", "s4": "cholesterol_hdl_ratio",
    "s5": "log_triglycerides", "s6": "glucose", "target": "progression",
}  # fmt: skip


def main() -> None:
    """Write ``diabetes.csv``: a record number, ten baseline measurements and the progression one year later."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    frame = load_diabetes(as_frame=True, scaled=False).frame.rename(columns=NAMES)
    frame["sex"] = frame["sex"].map({1.0: "code-1", 2.0: "code-2"})
    frame.insert(0, "record", [f"patient-{number:03d}" for number in range(len(frame))])
    frame.to_csv(options.output / "diabetes.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
