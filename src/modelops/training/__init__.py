"""Training: builds a model's artifact in a confined process, once per distinct inputs, and evaluates it."""
