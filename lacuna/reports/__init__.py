"""Reports: pictures, checks and pages, all drawn from files."""
