"""GitOps for machine-learning models: a git repository is the control plane."""

__version__ = "0.1.0"
