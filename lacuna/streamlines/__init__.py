"""Tractograms: read, moved, indexed and queried."""
