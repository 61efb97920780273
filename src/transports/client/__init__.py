"""The I/O-free wire, and everything else that the transports share."""
