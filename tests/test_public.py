"""The public names, after every module of the package was imported."""

import pkgutil
from importlib import import_module

import numpy as np
import pandas as pd

import lacuna


def modules():
    return [each.name for each in pkgutil.walk_packages(lacuna.__path__, 'lacuna.')]


def _cohort():
    features = pd.DataFrame({'a': np.arange(12.0) % 5})
    return features, pd.DataFrame({'score': np.arange(12.0) % 7})


def test_every_public_name_twice(toy, tmp_path):
    """No module of the package takes the place of a name, and none works only once."""
    for name in modules():
        if not name.endswith('__main__'):
            import_module(name)
    use = {
        '__version__': lambda: lacuna.__version__.split('.'),
        'Lesion': lambda: lacuna.Lesion.__name__,
        'Tractogram': lambda: lacuna.Tractogram(toy.tracks).disconnect(toy.mask).summary,
        'RunResult': lambda: lacuna.RunResult.__dataclass_fields__,
        'run': lambda: (
            lacuna.run(tmp_path / 'bids', tmp_path / 'out', connectome_path=toy.tracks, report='none')
            .finished[0]
            .outputs
        ),
        'stats': lambda: (
            lacuna.stats(*_cohort(), 'score', volume=False, permutations=9, cv='none')
            .families[0]
            .table['t']
            .tolist()
        ),
        'Statistics': lambda: lacuna.Statistics.__name__,
        'load_results': lambda: [lesion.summary for lesion in lacuna.load_results(tmp_path / 'out')],
    }
    assert use.keys() == set(lacuna.__all__)
    for name, call in use.items():
        assert call() == call(), name
