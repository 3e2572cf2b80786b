"""The streamline index: which streamlines visit which voxels."""
