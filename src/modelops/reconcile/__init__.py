"""The loop: observe the world, plan in pure code, apply one action at a time, report conditions."""
