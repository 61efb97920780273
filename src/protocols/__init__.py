"""The sans-IO core: no socket, no event loop, no clock, no randomness, no file."""

VERSION = "0.1.0"
"""The version of tokenwire, here for the user-agent."""
