"""What a reviewer reads in the pull requests that modelops opens: one view each, over the case that it is told of."""
