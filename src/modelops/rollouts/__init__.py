"""Rollouts: their state, what traffic said in each step, and what a plan would decide."""
