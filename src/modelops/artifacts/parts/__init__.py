"""Models of other libraries inside of an artifact: how they stand in a tree of estimators, and how they come there."""
