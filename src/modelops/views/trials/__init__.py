"""What is said of trials that nobody was served by: simulated, replayed from the log, and rehearsed on it."""
