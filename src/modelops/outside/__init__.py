"""One tool at a time for models that others train and serve: tables in, a verdict out, no repository needed."""
