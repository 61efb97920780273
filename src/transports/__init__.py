"""What moves the bytes: the I/O-free wire, and one small module per I/O library."""
