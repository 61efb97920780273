"""The sans-IO core: no socket, no event loop, no clock, no randomness, no file."""
