"""Texts of people's files: the words and forms that are known, and the one way in which they become values."""
