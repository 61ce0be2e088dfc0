"""What is said of data: snapshots, what changed between two, and where their files are."""
