"""The words: every kind of file that modelops reads, strict, frozen, and remembering where it was written."""
