"""Synthetic anatomy: bundles, parcels and lesions in the shape of a brain, the same on every run.

Good for learning and for tests, never for research: the landmarks are approximations from textbook anatomy.
"""
