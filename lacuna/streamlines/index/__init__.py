"""The index: which streamlines visit which voxels."""
