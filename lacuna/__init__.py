"""Lacuna: structural lesion network mapping."""

__version__ = '0.1.0.dev0'
