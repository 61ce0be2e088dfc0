"""`python -m modelops`."""

from modelops.cli import main

main()
