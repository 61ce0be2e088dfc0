"""Reports that are handed on: a structure of sections and tables, from which a page and Markdown are made."""
