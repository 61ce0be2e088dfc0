"""What several gates share: asking, disturbing, groups and findings; none of it is a gate."""
