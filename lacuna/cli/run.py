"""``lacuna run snm``: compute disconnection from lesion masks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lacuna.cli.atlases import add_atlases
from lacuna.cli.masks import add_mask_values
from lacuna.cli.output import print_plan, print_result, set_up_logging
from lacuna.errors import EXIT_DONE, EXIT_FAILED, InputError
from lacuna.execution.config import ENGINES, ON_EMPTY, REPORTS, RunConfig
from lacuna.execution.execute import prepare
from lacuna.execution.pools import Pools
from lacuna.execution.settings import read_settings
from lacuna.execution.several import SeveralConfig, any_config, check_several_dir
from lacuna.execution.start import run_any
from lacuna.images.spaces import RESOLUTIONS, SPACES
from lacuna.streamlines.endpoints import EDGE_MEASURES, RULES
from lacuna.streamlines.null_settings import WITHIN
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
        description='Find the streamlines of a normative tractogram that each lesion cuts, and write maps, matrices, '
        'tables and reports.',
        usage='lacuna run snm BIDS_DIR|MASK OUTPUT_DIR --connectome-path TRACTOGRAM [options]',
        argument_default=argparse.SUPPRESS,
        epilog='Exit codes: 0, all done; 1, a mask failed (the others are finished); 2, wrong usage or unusable input.',
    )
    add_arguments(snm)
    snm.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a run; the parser's ``argument_default`` must be SUPPRESS.

    Arguments that are not given are absent from the namespace: their values come from ``--config`` or `RunConfig`.
    """
    parser.add_argument(
        'source', type=Path, metavar='BIDS_DIR|MASK', help='BIDS dataset with masks, or one mask'
    )
    parser.add_argument('output_dir', type=Path, metavar='OUTPUT_DIR', help='folder of the results')
    parser.add_argument(
        '--connectome-path',
        type=Path,
        action='append',
        metavar='TRACTOGRAM',
        help='normative tractogram (.tck, .trk, .trk.gz, .trx), folder with such a file for each bundle, or name of a '
        'fetched connectome; repeat it for several tractograms, with mean and standard deviation over them',
    )
    parser.add_argument(
        '--config',
        type=Path,
        metavar='OUTPUT_DIR|FILE',
        help='read the settings of the last run in this folder, or of any run (logs/*/settings.toml); options on the '
        'command line take precedence',
    )

    chosen = parser.add_argument_group('which masks')
    # both spellings, as in fMRIPrep
    for option, name, metavar in (
        ('participant-label', 'participants', 'L'),
        ('session-id', 'sessions', 'S'),
    ):
        spellings = (f'--{option}', f'--{option.replace("-", "_")}')
        chosen.add_argument(*spellings, nargs='+', dest=name, metavar=metavar, help=f'{name} (default: all)')
    chosen.add_argument(
        '--pattern',
        metavar='GLOB',
        help="only masks whose names match, such as '*label-acuteinfarct_mask.nii.gz'",
    )
    chosen.add_argument(
        '--bids-filter-file',
        type=Path,
        metavar='FILE',
        help='JSON with a pybids query, such as {"mask": {"session": "01", "desc": "lesion"}}',
    )
    chosen.add_argument(
        '--chunk', metavar='I/N', help='only the I-th of N parts of the participants, for cluster jobs'
    )
    add_mask_values(chosen)
    chosen.add_argument(
        '--on-empty', choices=ON_EMPTY, help=_default('on_empty', 'what to do with an empty mask')
    )

    spaces = parser.add_argument_group('spaces and numbers')
    spaces.add_argument(
        '--mask-space',
        metavar='SPACE',
        help=f'space of the masks: {", ".join(SPACES)} (default: from sidecar or name)',
    )
    spaces.add_argument(
        '--connectome-space',
        metavar='SPACE',
        help='space of the tractogram (default: from its sidecar or name)',
    )
    spaces.add_argument(
        '--output-resolution',
        type=int,
        choices=RESOLUTIONS,
        help=_default('output_resolution', 'resolution of the maps, in mm'),
    )
    spaces.add_argument(
        '--tck-upsample',
        type=int,
        metavar='N',
        help="divide each step of a streamline into N (default: MRtrix3's rule)",
    )
    spaces.add_argument(
        '--connectome-weights',
        metavar='FILE|FIELD',
        help='text file with a weight for each streamline (from tcksift2), or name of such values in a .trx',
    )
    for option, what in (('--min-length', 'shorter'), ('--max-length', 'longer')):
        spaces.add_argument(
            option, type=float, metavar='MM', help=f'leave out {what} streamlines, as tckedit does'
        )
    spaces.add_argument(
        '--min-support',
        type=int,
        metavar='K',
        help=_default('min_support', 'streamlines that a voxel needs to be supported'),
    )
    spaces.add_argument(
        '--engine',
        choices=ENGINES,
        help=_default('engine', 'how results are computed; both give the same numbers'),
    )

    atlases = parser.add_argument_group('parcels and connections')
    add_atlases(atlases)
    atlases.add_argument(
        '--compute-disconnectivity-matrix',
        action='store_true',
        help='write matrices of connections: all, cut, spared and percent cut',
    )
    atlases.add_argument(
        '--compute-roi-disconnection',
        action='store_true',
        help='write the percent disconnected of each parcel',
    )
    atlases.add_argument(
        '--lesion-load',
        action='store_true',
        help='write the percentage of each parcel (or region of a 4D probability atlas) that is lesion',
    )
    atlases.add_argument(
        '--compute-networks',
        action='store_true',
        help='write the disconnection of and between networks',
    )
    atlases.add_argument(
        '--compute-higher-order',
        action='store_true',
        help='write how much longer the shortest paths between parcels get',
    )
    atlases.add_argument(
        '--compute-mean-lengths',
        action='store_true',
        help='write mean lengths of the streamlines between parcels: all, cut and spared',
    )
    atlases.add_argument(
        '--edge-measure',
        choices=EDGE_MEASURES,
        help=_default(
            'edge_measure',
            'count streamlines (or sum their weights), or also divide by their length or by parcel size',
        ),
    )
    atlases.add_argument(
        '--spared-threshold',
        type=float,
        metavar='PCT',
        help=_default(
            'spared_threshold', 'percent of a connection that has to be spared for a path to use it'
        ),
    )
    atlases.add_argument(
        '--assignment',
        choices=RULES,
        help=_default(
            'assignment',
            'parcel of an end of a streamline: the nearest within 4 mm, or that of its voxel',
        ),
    )
    atlases.add_argument(
        '--bundles',
        nargs='+',
        metavar=('SOURCE', 'NAME'),
        help='table of bundles, "groups" (of a .trx, or files of a folder) or "none"; and a name for output files '
        '(default: those of the tractogram, if any)',
    )

    nulls = parser.add_argument_group('null lesions (the same lesion elsewhere in the brain, for comparison)')
    nulls.add_argument(
        '--null-lesions',
        nargs='?',
        type=int,
        const=1000,
        metavar='N',
        help='number of null lesions (default: none; without N: 1000)',
    )
    nulls.add_argument(
        '--null-seed', type=int, metavar='SEED', help=_default('null_seed', 'seed of the random numbers')
    )
    nulls.add_argument(
        '--null-inside',
        type=float,
        metavar='SHARE',
        help=_default('null_inside', 'share of a null lesion that has to be in the brain'),
    )
    nulls.add_argument('--null-within', choices=WITHIN, metavar='WHERE', help=f'where: {", ".join(WITHIN)}')
    nulls.add_argument('--null-mirrors', action='store_true', help='also use mirror images')
    nulls.add_argument(
        '--null-reference',
        type=Path,
        metavar='DIR|NIFTI',
        help='for WHERE reference or lesions: dataset of masks, or map of their frequency',
    )
    nulls.add_argument(
        '--null-tissues',
        nargs=2,
        metavar=('GREY', 'WHITE'),
        help='for WHERE tissue: two maps (default: those of MNI152NLin2009cAsym)',
    )

    how = parser.add_argument_group('how to run')
    how.add_argument(
        '--nprocs',
        type=int,
        metavar='N',
        help='processors to use; -1: all (default). On a cluster: for work done once for all masks (default: 1)',
    )
    how.add_argument('--mem-gb', type=float, metavar='G', help='memory to use, in GB')
    how.add_argument(
        '--use-plugin',
        type=Path,
        metavar='FILE',
        help='YAML or TOML file with settings for running masks with Dask, such as on SLURM',
    )
    how.add_argument(
        '--dask-scheduler',
        metavar='ADDRESS',
        help='run the masks with this Dask scheduler, such as tcp://10.0.0.1:8786',
    )
    how.add_argument(
        '-w',
        '--work-dir',
        type=Path,
        help='folder for unfinished work, kept if the run is stopped (default: a temporary folder in TMPDIR; on a '
        'cluster, or with --engine mrtrix: OUTPUT_DIR/.work)',
    )
    how.add_argument(
        '--overwrite',
        action='store_true',
        help='replace results made with other settings; those not made again are removed',
    )
    how.add_argument(
        '--report',
        choices=REPORTS,
        help=_default(
            'report', 'report of each participant; light: without the 3D viewer and its streamlines'
        ),
    )
    how.add_argument(
        '--no-report', action='store_const', const='none', dest='report', help='the same as --report none'
    )
    how.add_argument('--dry-run', action='store_true', help='show what would be done, and stop')
    how.add_argument(
        '-v',
        '--verbose',
        action='count',
        help='-v: show masks and steps; -vv: also messages from Nipype and MRtrix3',
    )


def run(args: argparse.Namespace) -> int:
    """Execute ``lacuna run snm``; return the exit code."""
    config = make_config(args)
    common = config.common if isinstance(config, SeveralConfig) else config
    set_up_logging(common.verbose)
    if common.dry_run:
        return _show_plans(config)
    with stopped_by_sigterm():
        result = run_any(config, show=True)
    print_result(result, verbose=common.verbose)
    return result.exit_code


def _show_plans(config: RunConfig | SeveralConfig) -> int:
    """Print the plan; with several tractograms, that of each."""
    if isinstance(config, SeveralConfig):
        check_several_dir(config.output_dir)
    failed = False
    for each in config.runs.values() if isinstance(config, SeveralConfig) else [config]:
        with using(cache_dir()), Pools(each) as pools:
            plan = prepare(each, pools, show=True)
        if each is not config:
            print(f'{each.output_dir}:')
        print_plan(plan)
        failed |= bool(plan.failed)
    return EXIT_FAILED if failed else EXIT_DONE


def _default(name: str, text: str) -> str:
    """Append the default of a setting to a help text."""
    return f'{text} (default: {RunConfig.__dataclass_fields__[name].default})'


def make_config(args: argparse.Namespace) -> RunConfig | SeveralConfig:
    """Create the settings from ``--config`` and the arguments, which override it; paths are made absolute.

    Raises
    ------
    InputError
        If the file is unreadable, no tractogram is given, or a value is invalid.
    """
    file = getattr(args, 'config', None)
    values = read_settings(file.expanduser()) if file else {}
    values |= {name: value for name, value in vars(args).items() if name in RunConfig.__dataclass_fields__}
    if 'connectome_path' not in values:
        message = 'name the tractogram with --connectome-path'
        raise InputError(message)
    return any_config(values)
