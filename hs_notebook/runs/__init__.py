"""What runs of many questions share, over rows or for a benchmark: price and pot, the bar, each outcome."""
