"""Synthetic anatomy: bundles, parcels and lesions in the shape of a brain, identical in every run.

For tutorials and tests, not for research: the landmarks are approximated from anatomy textbooks.
"""
