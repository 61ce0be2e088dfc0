"""The other end: what a caller sends a server beside questions."""
