"""Figures of brains, connections and groups."""
