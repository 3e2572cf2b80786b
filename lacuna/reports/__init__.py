"""Reports: figures, checks and pages, all made from files."""
