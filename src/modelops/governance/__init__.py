"""Governance: who approved what, how rollouts ended, and the records of both."""
