"""Workflows to run or embed, built from arguments."""
