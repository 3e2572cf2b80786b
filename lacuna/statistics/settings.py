"""Choices of the settings of an analysis; imports nothing, for fast start of the command."""

#: output that each kind of features is read from; the lesion mask is not an output
KINDS = {
    'voxels': 'disconnection_map',
    'parcels': 'roi_disconnection',
    'edges': 'disconnection_matrix',
    'networks': 'network_disconnection',
    'bundles': 'bundle_disconnection',
    'load': 'lesion_load',
    'lesion': '',
}
#: kinds of features that are voxels
IMAGES = ('voxels', 'lesion')
TESTS = ('ols', 'brunner-munzel')
