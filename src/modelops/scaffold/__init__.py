"""Scaffolding: a new repository, an example model, or a working model from a table that nobody has seen before."""

from modelops.scaffold.files import project_folder, refuse_existing, write_new
from modelops.scaffold.lock import environment_lock
from modelops.scaffold.model import Draft, Wish, draft_model

__all__ = ["Draft", "Wish", "draft_model", "environment_lock", "project_folder", "refuse_existing", "write_new"]
