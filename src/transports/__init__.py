"""Transports, which move the bytes: one small module for each I/O library."""
