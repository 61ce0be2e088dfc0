"""Statistics of streams: numbers that come one after the other, in which something may change at any time."""
