"""The way to the relay and back: limits, time-outs, attempts, connections."""
