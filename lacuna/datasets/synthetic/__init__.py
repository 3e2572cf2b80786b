"""Synthetic anatomy: bundles, parcels and lesions in the shape of a brain, the same on every run.

For learning and tests, never for research: the landmarks are approximations from textbook anatomy.
"""
