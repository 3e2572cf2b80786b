"""Data to run on: normative connectomes, and the synthetic tutorial."""
