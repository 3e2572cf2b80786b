"""Options for atlases, shared by all commands that use parcels."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def add_atlases(parser: Any) -> None:
    """Add ``--parcel-atlases``, ``--custom-parcellation`` and ``--atlas-dir`` to a parser or argument group."""
    parser.add_argument(
        '--parcel-atlases',
        nargs='+',
        metavar='NAME',
        help="atlases, such as schaefer2018parcels100networks7; see 'lacuna info atlases'",
    )
    parser.add_argument(
        '--custom-parcellation',
        nargs=4,
        action='append',
        dest='custom_parcellations',
        metavar=('NAME', 'NIFTI', 'LABELS', 'SPACE'),
        help='label image, label table and space; may be given several times',
    )
    parser.add_argument('--atlas-dir', type=Path, metavar='DIR', help='folder with atlases in BIDS names')
