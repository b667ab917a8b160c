"""Money and tokens, without I/O."""
