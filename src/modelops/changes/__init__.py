"""Changes: building, judging, proposing, releasing and reproducing models."""
