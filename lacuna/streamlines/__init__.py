"""Read, move, index and query tractograms."""
