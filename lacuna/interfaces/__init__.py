"""Nipype interfaces, each a thin wrapper of one function or method."""
