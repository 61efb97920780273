"""The I/O-free wire, and what the transports share."""
