"""Where the checkout and the shared test data are."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / 'shared'
