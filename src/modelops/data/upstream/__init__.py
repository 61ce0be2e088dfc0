"""Today's data of a source: held against what it promises, and read for what a model's objective came to."""
