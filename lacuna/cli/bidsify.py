"""``lacuna bidsify``: create a BIDS dataset from a folder or table of masks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lacuna.cli.masks import add_mask_values
from lacuna.errors import EXIT_DONE, EXIT_FAILED
from lacuna.images.mask_values import GRADED


def add_parser(commands: Any) -> None:
    """Add ``bidsify`` to the commands."""
    parser = commands.add_parser(
        'bidsify',
        help='make a BIDS dataset from a folder of masks',
        description='Copy lesion masks into a BIDS dataset that lacuna run can read. The participant is the sub-XXX in '
        'the name of the file or of its folder. Without sub-XXX, it is all letters and digits of the file name, or of '
        'the folder name if several files share a name (P01/lesion.nii.gz, P02/lesion.nii.gz). Each mask is checked; '
        'unusable masks are reported and left out, and the exit code is then 1. No file is ever overwritten.',
    )
    parser.add_argument(
        'source',
        metavar='IN',
        type=Path,
        help='folder of NIfTI masks, or a table (.csv, .tsv) with the columns subject and path (relative to the '
        'table), and optionally session and label',
    )
    parser.add_argument('target', metavar='OUT_DIR', type=Path, help='folder of the dataset')
    parser.add_argument(
        '--space',
        metavar='S',
        required=True,
        help='standard space of the masks: MNI152NLin6Asym or MNI152NLin2009cAsym',
    )
    parser.add_argument('--session', metavar='S', help='session of masks without one in their name or row')
    parser.add_argument(
        '--label',
        metavar='L',
        default='lesion',
        help='label of masks without one in their name or row (default: lesion)',
    )
    add_mask_values(parser)
    parser.add_argument(
        '--pattern',
        metavar='GLOB',
        help="take only files whose names match, such as '*lesion*.nii.gz'; with a slash: whose paths match",
    )
    parser.add_argument('-v', '--verbose', action='count', default=0, help='list all masks')
    parser.set_defaults(run=run, graded_masks=GRADED[0], mask_scale=1.0)


def run(args: argparse.Namespace) -> int:
    """Copy the masks and print the result; return 1 if a mask was left out."""
    from lacuna.bids.bidsify import MAPPING, bidsify
    from lacuna.cli.output import warn

    found = bidsify(
        args.source,
        args.target,
        space=args.space,
        session=args.session,
        label=args.label,
        binarize=args.binarize,
        graded_masks=args.graded_masks,
        mask_scale=args.mask_scale,
        pattern=args.pattern,
        show_progress=True,
    )
    if args.verbose:
        for path in found.written:
            print(path)
    warn([*found.faults, *(f'warning: {line}' for line in found.warnings)], everything=args.verbose > 0)
    same = f', {len(found.kept)} already there' if found.kept else ''
    left_out = f', {len(found.faults)} left out' if found.faults else ''
    print(f'{len(found.written)} masks written{same}{left_out}')
    if found.written or found.kept:
        print(f'{args.target / MAPPING} lists the source of each mask')
    return EXIT_FAILED if found.faults else EXIT_DONE
