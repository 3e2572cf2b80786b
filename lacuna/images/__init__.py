"""Images and their spaces: masks, maps, atlases and transforms."""
