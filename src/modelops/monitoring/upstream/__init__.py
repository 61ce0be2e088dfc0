"""Where data come from: what lies below a source, and which source the drift of its features comes from."""
