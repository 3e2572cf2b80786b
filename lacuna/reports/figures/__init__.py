"""Pictures of brains, connections and groups."""
