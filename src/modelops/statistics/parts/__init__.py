"""What is said of several parts of the same rows at once: segments, bins of scores, features, single values."""
