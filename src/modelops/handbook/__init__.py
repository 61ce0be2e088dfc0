"""The reference as it is asked: by error code, kind, field, plugin, verb or exit code."""
