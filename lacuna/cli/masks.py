"""Options for the values of masks, shared by all commands that read masks."""

from __future__ import annotations

from typing import Any

from lacuna.images.mask_values import GRADED


def add_mask_values(parser: Any) -> None:
    """Add ``--binarize``, ``--graded-masks`` and ``--mask-scale`` to a parser or argument group."""
    parser.add_argument(
        '--binarize',
        type=float,
        metavar='T',
        help='for masks that are not 0 and 1: values above T are lesion',
    )
    parser.add_argument(
        '--graded-masks',
        choices=GRADED,
        help='masks with values between 0 and 1: refuse them, or cut each streamline by the greatest value along it '
        f'(default: {GRADED[0]})',
    )
    parser.add_argument(
        '--mask-scale',
        type=float,
        metavar='S',
        help='for graded masks: the value that means a whole voxel, such as 100 for percent (default: 1)',
    )
