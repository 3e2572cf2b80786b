"""Files, caches, locks, names, processes and progress."""
