"""``lacuna run snm``: from masks to maps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lacuna.cli.output import print_plan, print_result, set_up_logging
from lacuna.errors import EXIT_DONE, EXIT_FAILED, InputError
from lacuna.execution.config import ENGINES, ON_EMPTY, REPORTS, RunConfig, config_of, read_settings
from lacuna.execution.execute import prepare, run_config
from lacuna.execution.pools import Pools
from lacuna.images.spaces import RESOLUTIONS, SPACES
from lacuna.utils.cache import cache_dir
from lacuna.utils.cache_contents import using
from lacuna.utils.processes import stopped_by_sigterm


def add_parser(commands: Any) -> None:
    """Add ``run`` to the commands."""
    parser = commands.add_parser('run', help='compute disconnection', description='Compute disconnection.')
    methods = parser.add_subparsers(metavar='METHOD', required=True)
    snm = methods.add_parser(
        'snm',
        help='structural network mapping',
        description='Which streamlines of a normative tractogram each lesion cuts: maps, matrices, tables, reports.',
        usage='lacuna run snm BIDS_DIR|MASK OUTPUT_DIR --connectome-path TRACTOGRAM [options]',
        argument_default=argparse.SUPPRESS,
        epilog='Exit codes: 0 all done; 1 a mask failed, the others are finished; 2 wrong usage or unusable input.',
    )
    add_arguments(snm)
    snm.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of a run; the parser's ``argument_default`` has to be SUPPRESS.

    What is not given is not in the namespace: it comes from ``--config``, or is the default of `RunConfig`.
    """
    parser.add_argument(
        'source', type=Path, metavar='BIDS_DIR|MASK', help='BIDS dataset with masks, or one mask'
    )
    parser.add_argument('output_dir', type=Path, metavar='OUTPUT_DIR', help='folder of the results')
    parser.add_argument(
        '--connectome-path',
        type=Path,
        metavar='TRACTOGRAM',
        help='normative tractogram (.tck, .trk, .trk.gz, .trx), or the name of one that was fetched',
    )
    parser.add_argument(
        '--config',
        type=Path,
        metavar='OUTPUT_DIR|FILE',
        help='settings of the last run into a folder, or of any (logs/*/settings.toml); what is given beside it wins',
    )

    chosen = parser.add_argument_group('which masks')
    # both spellings, as in fMRIPrep
    for option, name, metavar in (
        ('participant-label', 'participants', 'L'),
        ('session-id', 'sessions', 'S'),
    ):
        spellings = (f'--{option}', f'--{option.replace("-", "_")}')
        chosen.add_argument(*spellings, nargs='+', dest=name, metavar=metavar, help='all by default')
    chosen.add_argument(
        '--pattern', metavar='GLOB', help="of the masks' names, such as '*label-acuteinfarct_mask.nii.gz'"
    )
    chosen.add_argument(
        '--bids-filter-file',
        type=Path,
        metavar='FILE',
        help='JSON with what pybids is asked for, such as {"mask": {"session": "01", "desc": "lesion"}}',
    )
    chosen.add_argument(
        '--chunk', metavar='I/N', help='only the I-th of N parts of the participants, for a job of a cluster'
    )
    chosen.add_argument(
        '--binarize',
        type=float,
        metavar='T',
        help='for masks that are not 0 and 1: values above T are lesion',
    )
    chosen.add_argument(
        '--on-empty', choices=ON_EMPTY, help=_default('on_empty', 'for a mask without voxels')
    )

    spaces = parser.add_argument_group('spaces and numbers')
    spaces.add_argument('--mask-space', metavar='SPACE', help=f'{", ".join(SPACES)}; found out by default')
    spaces.add_argument(
        '--connectome-space', metavar='SPACE', help='of the tractogram; by default from its sidecar (.json)'
    )
    spaces.add_argument(
        '--output-resolution',
        type=int,
        choices=RESOLUTIONS,
        help=_default('output_resolution', 'of the maps, in mm'),
    )
    spaces.add_argument(
        '--tck-upsample', type=int, metavar='N', help="override MRtrix3's rule for the density"
    )
    spaces.add_argument(
        '--engine',
        choices=ENGINES,
        help=_default('engine', 'what computes, with the same results'),
    )

    atlases = parser.add_argument_group('parcels and connections')
    atlases.add_argument(
        '--parcel-atlases',
        nargs='+',
        metavar='NAME',
        help="such as schaefer2018parcels100networks7; see 'lacuna info atlases'",
    )
    atlases.add_argument(
        '--custom-parcellation',
        nargs=4,
        action='append',
        dest='custom_parcellations',
        metavar=('NAME', 'NIFTI', 'LABELS', 'SPACE'),
        help='label image, label table and space; may be given several times',
    )
    atlases.add_argument('--atlas-dir', type=Path, metavar='DIR', help='folder with atlases in BIDS names')
    atlases.add_argument(
        '--compute-disconnectivity-matrix', action='store_true', help='connections cut, as matrices'
    )
    atlases.add_argument(
        '--compute-roi-disconnection', action='store_true', help='percent disconnected of each parcel'
    )

    how = parser.add_argument_group('how to run')
    how.add_argument(
        '--nprocs',
        type=int,
        metavar='N',
        help='processors; -1 (default) is all; on a cluster, of each job that is done once (1)',
    )
    how.add_argument('--mem-gb', type=float, metavar='G', help='memory to use; on a cluster, of each job')
    how.add_argument(
        '--use-plugin',
        type=Path,
        metavar='FILE',
        help='YAML or TOML: what runs the masks, such as Dask on SLURM, or a plugin of Nipype',
    )
    how.add_argument(
        '--dask-scheduler',
        metavar='ADDRESS',
        help='scheduler of Dask that gets the masks, such as tcp://10.0.0.1:8786',
    )
    how.add_argument(
        '-w',
        '--work-dir',
        type=Path,
        help='for what is not finished, and kept if the run is stopped; by default a folder that goes with the '
        'run, below TMPDIR (on a cluster, or with --engine mrtrix: OUTPUT_DIR/.work)',
    )
    how.add_argument('--overwrite', action='store_true', help='replace results made with other settings')
    how.add_argument(
        '--report',
        choices=REPORTS,
        help=_default(
            'report', 'of each participant; light: without the viewer and its sample of streamlines'
        ),
    )
    how.add_argument(
        '--no-report', action='store_const', const='none', dest='report', help='the same as --report none'
    )
    how.add_argument('--dry-run', action='store_true', help='say what would be done, and stop')
    how.add_argument(
        '-v',
        '--verbose',
        action='count',
        help="-v: masks and steps; -vv: Nipype's and MRtrix3's words",
    )


def run(args: argparse.Namespace) -> int:
    """Run ``lacuna run snm``; returns the exit code."""
    config = make_config(args)
    set_up_logging(config.verbose)
    if config.dry_run:
        with using(cache_dir()), Pools(config) as pools:
            plan = prepare(config, pools, show=True)
        print_plan(plan)
        return EXIT_FAILED if plan.failed else EXIT_DONE
    with stopped_by_sigterm():
        result = run_config(config, show=True)
    print_result(result, verbose=config.verbose)
    return result.exit_code


def _default(name: str, text: str) -> str:
    """A help text with the default of a setting."""
    return f'{text} ({RunConfig.__dataclass_fields__[name].default})'


def make_config(args: argparse.Namespace) -> RunConfig:
    """The settings of ``--config``, if given, and over them what the arguments say; paths are absolute.

    Raises
    ------
    InputError
        If the file cannot be read, the tractogram is not named, or a value is not possible.
    """
    file = getattr(args, 'config', None)
    values = read_settings(file.expanduser()) if file else {}
    values |= {name: value for name, value in vars(args).items() if name in RunConfig.__dataclass_fields__}
    if 'connectome_path' not in values:
        message = 'name the tractogram with --connectome-path'
        raise InputError(message)
    return config_of(values)
