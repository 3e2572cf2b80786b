"""Nodes, each a thin wrapper of one function or method."""
