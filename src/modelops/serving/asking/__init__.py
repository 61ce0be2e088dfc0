"""From a question to its answer: who waits how long, which release is asked, who is to blame, what is logged."""
