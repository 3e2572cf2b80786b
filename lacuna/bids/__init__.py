"""The dataset: masks in, results out, their names, sidecars and tables."""
