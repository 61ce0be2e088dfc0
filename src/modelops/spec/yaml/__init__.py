"""YAML with the place of every value: strict reading, editing by span, canonical writing."""
