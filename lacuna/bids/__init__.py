"""The BIDS dataset: masks, results, and their names, sidecars and tables."""
