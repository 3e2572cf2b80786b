"""``lacuna run snm``: from masks to maps."""

from __future__ import annotations

import argparse
import logging
import sys
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna.caches import using
from lacuna.claim import Claim, claiming
from lacuna.cli.failures import Reasons
from lacuna.cli.words import (
    print_plan,
    print_result,
    say_doubts,
    say_failures,
    say_plan,
    say_tractogram,
    set_up_logging,
)
from lacuna.config import ENGINES, ON_EMPTY, REPORTS, RunConfig, read_settings
from lacuna.errors import EXIT_FAILED, INTERRUPTED, InputError
from lacuna.files import cache_dir
from lacuna.plugins import PluginChoice, read_plugin
from lacuna.processes import stopped_by_sigterm
from lacuna.progress import counted, progress_bar
from lacuna.spaces import RESOLUTIONS, SPACES

if TYPE_CHECKING:
    from lacuna.plan import Failure, RunPlan
    from lacuna.processes import Usage
    from lacuna.provenance import RunRecord

_LOGGER = logging.getLogger('lacuna')


def add_parser(commands: Any) -> None:
    """Add ``run`` to the commands."""
    parser = commands.add_parser('run', help='compute disconnection', description='Compute disconnection.')
    methods = parser.add_subparsers(metavar='METHOD', required=True)
    snm = methods.add_parser(
        'snm',
        help='structural network mapping',
        description='Which streamlines of a normative tractogram each lesion cuts: maps, matrices, tables, reports.',
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
        '--use-plugin', type=Path, metavar='FILE', help='YAML or TOML: what runs the nodes, such as SLURM'
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
    with using(cache_dir()):
        return _run(config)


def _run(config: RunConfig) -> int:
    if config.dry_run:
        plan = prepare(config)
        print_plan(plan)
        return 1 if plan.failed else 0
    with stopped_by_sigterm(), claiming(config.output_dir) as claim:
        return execute(prepare(config, claim), claim)


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
    from lacuna.fetching import connectome_path

    file = getattr(args, 'config', None)
    values = read_settings(file.expanduser()) if file else {}
    values |= {name: value for name, value in vars(args).items() if name in RunConfig.__dataclass_fields__}
    if 'connectome_path' not in values:
        message = 'name the tractogram with --connectome-path'
        raise InputError(message)
    values['connectome_path'] = connectome_path(values['connectome_path'])
    for name, setting in RunConfig.__dataclass_fields__.items():
        if str(setting.type).startswith('Path') and values.get(name) is not None:
            values[name] = _absolute(values[name])
    if values.get('use_plugin'):
        values = read_plugin(values['use_plugin']).resources | values
    for name in ('participants', 'sessions', 'parcel_atlases'):
        values[name] = tuple(values.get(name, ()))
    values['custom_parcellations'] = tuple(
        (name, str(Path(image).absolute()), str(Path(labels).absolute()), space)
        for name, image, labels, space in values.get('custom_parcellations', ())
    )
    return RunConfig(**values)


def _absolute(path: str | Path) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:  # ~somebody who is not known
        message = f'{path}: {error}'
        raise InputError(message) from error


def prepare(config: RunConfig, claim: Claim | None = None) -> RunPlan:
    """Check everything that can be checked before any work; what is to be written is claimed."""
    from lacuna.batch import check_programs
    from lacuna.connectomes import open_tractogram
    from lacuna.derivatives import check_output_dir
    from lacuna.interfaces.mrtrix import missing_commands, mrtrix_version
    from lacuna.plan import make_plan, mask_paths

    if config.engine == 'mrtrix' and (missing := missing_commands()):
        message = (
            f'--engine mrtrix needs MRtrix3, and {", ".join(missing)} is not on the PATH; install it (Debian: '
            "'apt-get install mrtrix3'), or leave out --engine: the default needs no MRtrix3"
        )
        raise InputError(message)
    if plugin := _plugin(config):
        check_programs(plugin.name)
    check_output_dir(config.output_dir, config.source)
    paths = mask_paths(config)  # before the tractogram is read, which may take minutes
    size = config.connectome_path.stat().st_size if config.connectome_path.is_file() else 0
    with progress_bar('reading the tractogram', total=size, unit='B', unit_scale=True) as bar:
        tractogram = open_tractogram(
            config.connectome_path, config.connectome_space, cache=cache_dir(), progress=bar.update
        )
    say_tractogram(tractogram)

    version = mrtrix_version() if config.engine == 'mrtrix' else None
    return make_plan(
        config,
        tractogram,
        engine_version=version,
        cache=cache_dir(),
        progress=partial(counted, 'checking masks'),
        paths=paths,
        **({'claim': lambda subjects: claim.take(subjects, config.settings())} if claim else {}),
    )


def execute(plan: RunPlan, claim: Claim) -> int:
    """Do what the plan says is missing; returns the exit code."""
    from lacuna.derivatives import write_description
    from lacuna.provenance import update_failures
    from lacuna.workfolders import remove_of_dead_runs

    config = plan.config
    remove_of_dead_runs(config.output_dir)
    write_description(
        config.output_dir,
        config,
        plan.tractogram,
        engine_version=plan.engine_version,
        atlases=[each.atlas for found in plan.parcellations.values() for each in found],
    )
    if plan.todo or plan.unpublished:
        failures, faults = _run_recorded(plan)
    else:
        say_plan(plan)
        say_failures(failures := plan.failed)
        faults = []
    looked_at = {mask.path for mask in (*plan.done, *(job.mask for job in plan.todo))}
    looked_at |= {each.path for each in (*plan.skipped, *plan.failed)}
    with claim.tables():
        table = update_failures(config.output_dir, looked_at, failures)
    finished = len(plan.done) + len(plan.todo) - (len(failures) - len(plan.failed))
    if failures:
        print(
            f'lacuna: {len(failures)} of {finished + len(failures)} masks failed; see {table}',
            file=sys.stderr,
        )
    if config.report != 'none':
        _make_reports(plan, failures)
    print_result(plan, finished)
    return 1 if failures or faults else 0


def _run_recorded(plan: RunPlan) -> tuple[list[Failure], list[str]]:
    """Do what is missing, and keep a record of it in ``logs/``; returns what `_run_jobs` does."""
    from lacuna.derivatives import remove_unused_connectomes
    from lacuna.provenance import RunRecord, logging_to, new_log_dir
    from lacuna.workfolders import hidden_below, temporary_folder, work_folder

    log_dir = new_log_dir(plan.config)
    with logging_to(log_dir / 'run.log'):
        record = RunRecord(log_dir, plan)
        say_plan(plan)
        status, code = 'error', EXIT_FAILED
        try:
            name = _workflow_name(plan.config)
            plugin = _plugin(plan.config)
            large = plan.config.engine == 'mrtrix' or (plugin is not None and plugin.is_cluster)
            base = plan.config.work_dir or (
                hidden_below(plan.config.output_dir) if large else temporary_folder()
            )
            with work_folder(base, name, keep=plan.config.work_dir is not None):
                unfinished, faults = _run_jobs(plan, base, log_dir, record)
            say_failures(failures := [*plan.failed, *unfinished])
            say_doubts(plan)
            for fault in faults:
                _LOGGER.error('lacuna: %s', fault)
            if failures:
                status = 'some masks failed'
            elif faults:
                status = 'something besides the masks failed'
            else:
                status, code = 'done', 0
        except KeyboardInterrupt:
            status, code = 'interrupted', INTERRUPTED
            raise
        finally:
            _LOGGER.info('%s', status)
            record.finish(status, code)
        if plan.config.overwrite:
            remove_unused_connectomes(plan.config.output_dir)
    return failures, faults


def _run_jobs(
    plan: RunPlan, work_dir: Path, log_dir: Path, record: RunRecord
) -> tuple[list[Failure], list[str]]:
    """Build the workflow of the masks with missing results and run it.

    Returns the masks that failed, and what failed besides although all masks are finished.
    """
    from lacuna.execution import (
        quiet_nipype,
        remove_finished,
        run_workflow,
        stream_commands,
        worthwhile_workers,
    )
    from lacuna.processes import processors
    from lacuna.provenance import write_methods
    from lacuna.workflows.cohort import init_cohort_wf, sink_nodes

    config = plan.config
    nprocs = processors(config.nprocs)
    plugin = _plugin(config)
    masks = max(len(plan.todo), 1)  # none if only the density has to be made again
    workers = worthwhile_workers(config.engine, nprocs, masks, config.connectome_path.stat().st_size)
    if plugin and plugin.is_cluster:  # a mask is a job: the index answers on one processor, MRtrix3 uses all
        workers = nprocs if config.engine == 'index' else 1
    workflow = init_cohort_wf(
        plan,
        nprocs=nprocs,
        omp_nthreads=max(1, nprocs // workers),
        show_progress=True,
        name=_workflow_name(config),
    )
    write_methods(log_dir, workflow.visit_desc())
    if config.verbose > 1:
        stream_commands(workflow)
    else:
        quiet_nipype()

    sinks = dict(zip(sink_nodes(plan, workflow), plan.todo, strict=True))
    finished = set()
    with progress_bar('masks', total=len(plan.todo), unit='mask') as bar:

        def on_finished(node: str, usage: Usage) -> None:
            if node in sinks:
                finished.add(node)
                remove_finished(work_dir / Path(*node.split('.')[:-1]))
                path = sinks[node].mask.path
                record.mask(path, 'done', usage)
                record.write_now_and_then()
                _LOGGER.info('%s: done, %.2f s, %.0f MB', path, usage.seconds, usage.peak_memory / 1e6)
                bar.update(1)

        crashes, error = run_workflow(
            workflow,
            nprocs=nprocs,
            workers=workers,
            groups=[sink.removesuffix('.sink') for sink in sinks],
            mem_gb=config.mem_gb,
            work_dir=work_dir,
            crash_dir=log_dir,
            on_finished=on_finished,
            plugin=plugin,
        )
    if len(finished) == len(sinks):
        remove_finished(work_dir / workflow.name)

    reasons, failures = Reasons(plan, work_dir), []
    for sink, job in sinks.items():
        if sink not in finished:
            cause = next((crash for crash in crashes if sink in crash.stopped), None)
            failure = reasons.of_mask(job, sink.removesuffix('sink'), cause or error)
            record.mask(job.mask.path, 'failed', reason=failure.reason)
            failures.append(failure)
    besides = [reasons.of_crash(crash, crash.path) for crash in crashes if crash.stopped.isdisjoint(sinks)]
    return failures, [each for each in besides if not any(each in failure.reason for failure in failures)]


def _plugin(config: RunConfig) -> PluginChoice | None:
    return read_plugin(config.use_plugin) if config.use_plugin else None


def _workflow_name(config: RunConfig) -> str:
    """Name of the workflow, and of its folder: runs at the same time may share a work folder.

    The same command finds what it left there when it was killed.
    """
    which = [
        config.output_dir,
        config.source,
        config.participants,
        config.sessions,
        config.pattern,
        config.bids_filter_file,
        config.chunk,
    ]
    return f'lacuna_{zlib.crc32(repr(which).encode()):08x}_wf'


def _make_reports(plan: RunPlan, failures: list[Failure]) -> None:
    """The page of each participant whose results have changed, or who has failures; one that cannot be drawn costs no result."""
    from lacuna.plan import only_label
    from lacuna.processes import processors
    from lacuna.reports.participant import is_current, make_reports, mask_failure

    label = only_label(plan.config.participants)
    failed = [mask_failure(failure.path, failure.reason, label) for failure in failures]
    known = {mask.subject for mask in (*plan.done, *(job.mask for job in plan.todo))}
    root, viewer = plan.config.output_dir, plan.config.report == 'full'
    stale = {subject for subject in known if not is_current(root, subject, viewer=viewer)}
    subjects = sorted(stale | {failure.subject for failure in failed})
    workers = processors(plan.config.nprocs)
    with progress_bar('reports', total=len(subjects)) as bar:
        for subject, made in make_reports(root, subjects, failures=failed, viewer=viewer, workers=workers):
            bar.update(1)
            if isinstance(made, str):
                print(f'lacuna: sub-{subject}: no report: {made}', file=sys.stderr)
