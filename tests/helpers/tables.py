"""Tables read as what was written."""

import pandas as pd

# the default of older versions of pandas loses the last digit
_EXACT = {} if int(pd.__version__.split('.')[0]) > 2 else {'float_precision': 'round_trip'}


def read_exact(path, **options):
    """A tab-separated table, indexed by its first column."""
    return pd.read_csv(path, sep='\t', index_col=0, **_EXACT, **options)
