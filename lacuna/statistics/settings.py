"""What an analysis can be asked for; loads nothing, so that the command can name it."""

#: the output behind each kind of features; the mask itself is not an output
KINDS = {
    'voxels': 'disconnection_map',
    'parcels': 'roi_disconnection',
    'edges': 'disconnection_matrix',
    'networks': 'network_disconnection',
    'bundles': 'bundle_disconnection',
    'load': 'lesion_load',
    'lesion': '',
}
#: kinds that lie on voxels
IMAGES = ('voxels', 'lesion')
TESTS = ('ols', 'brunner-munzel')
