"""What lies on voxels: spaces, transforms, masks and atlases."""
