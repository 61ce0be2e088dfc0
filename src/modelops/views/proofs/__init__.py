"""Views of proof: what is approved, signed, chained, excepted and fenced, and what is not."""
