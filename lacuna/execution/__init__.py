"""Runs: plan what is missing, compute it, and record what happened."""
