"""What the reference says, told to people."""
