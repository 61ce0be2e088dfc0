"""Artifacts: the feature frame, the package of a model's bytes, and predictions from it.

Importing this package loads neither scikit-learn nor pandas nor onnxruntime.
"""

from modelops.artifacts.frame import columns, frame
from modelops.artifacts.package import Artifact, BlobStore, Stored, open_artifact, pack, put_artifact, verify_artifact
from modelops.artifacts.predictor import Outputs, Predictor, load_predictor
from modelops.artifacts.record import BuildRecord
from modelops.artifacts.signature import Input, Signature

__all__ = [
    "Artifact",
    "BlobStore",
    "BuildRecord",
    "Input",
    "Outputs",
    "Predictor",
    "Signature",
    "Stored",
    "columns",
    "frame",
    "load_predictor",
    "open_artifact",
    "pack",
    "put_artifact",
    "verify_artifact",
]
