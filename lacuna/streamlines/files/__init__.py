"""Readers and writers of tractogram files."""
