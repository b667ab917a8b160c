"""The wire, without I/O: bytes in, objects out."""
