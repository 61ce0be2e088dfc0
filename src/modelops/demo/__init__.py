"""The story that the demo tells, and the traffic in it."""
