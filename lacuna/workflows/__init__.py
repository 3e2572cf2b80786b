"""Graphs to run or to embed: arguments in, workflow out."""
