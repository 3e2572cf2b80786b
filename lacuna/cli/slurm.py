"""``lacuna slurm``: write the script of a job array, in which each job runs some of the participants."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from lacuna.cli import run as run_command
from lacuna.errors import InputError
from lacuna.utils.files import data_text

_TIME = re.compile(r'(\d+-)?\d+(:\d{1,2}){0,2}')


def add_parser(commands: Any) -> None:
    """Add ``slurm`` to the commands."""
    parser = commands.add_parser(
        'slurm',
        help='write the script of a SLURM job array',
        usage='lacuna slurm --jobs N [--cpus N] [--time T] [--sbatch OPTION] BIDS_DIR OUTPUT_DIR ...',
        description='Print a SLURM script that splits the participants of lacuna run snm into several jobs. Example: '
        'lacuna slurm --jobs 20 BIDS_DIR OUTPUT_DIR --connectome-path TRACTOGRAM > job.sh; sbatch job.sh',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        required=True,
        metavar='N',
        help='number of jobs, each with a part of the participants',
    )
    parser.add_argument(
        '--cpus', type=int, default=2, metavar='N', help='processors of each job (default: 2)'
    )
    parser.add_argument('--time', metavar='T', help='time limit of each job, such as 2:00:00')
    parser.add_argument(
        '--sbatch',
        action='append',
        default=[],
        metavar='OPTION',
        help='an additional option of sbatch, such as --sbatch=--partition=long; may be given several times',
    )
    parser.add_argument(
        'words',
        nargs=argparse.REMAINDER,
        metavar='...',
        help='the arguments of lacuna run snm; --mem-gb also sets the memory of each job',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the script.

    Raises
    ------
    InputError
        If an argument is invalid.
    """
    parser = argparse.ArgumentParser(prog='lacuna slurm', argument_default=argparse.SUPPRESS, add_help=False)
    run_command.add_arguments(parser)
    given = parser.parse_args(args.words)
    for name in ('chunk', 'nprocs', 'use_plugin', 'dask_scheduler', 'dry_run'):
        if hasattr(given, name):
            message = f'remove --{name.replace("_", "-")}: the script sets it for each job'
            raise InputError(message)
    if args.jobs < 1 or args.cpus < 1:
        message = f'--jobs {args.jobs} --cpus {args.cpus}: give at least 1 of each'
        raise InputError(message)
    if args.time is not None and not _TIME.fullmatch(args.time):
        message = f'--time {args.time}: give minutes, hours:minutes:seconds, or days-hours:minutes:seconds'
        raise InputError(message)
    config = run_command.make_config(given)
    options = [f'--time={args.time}'] if args.time else []
    options += [f'--mem={round(config.mem_gb * 1024)}M'] if config.mem_gb else []
    options += args.sbatch
    logs = config.output_dir / 'logs'
    if not re.fullmatch(r'[^\s%\\"\'#]+', str(logs)):
        message = f'{logs}: sbatch accepts no space, quote or percent sign in the path of a log; choose another folder'
        raise InputError(message)
    if wrong := [option for option in options if not re.fullmatch(r'--?[^\n]+', option)]:
        message = f'--sbatch {wrong[0]}: give an option of sbatch, such as --sbatch=--partition=long'
        raise InputError(message)
    logs.mkdir(parents=True, exist_ok=True)  # sbatch does not create it
    print(
        data_text('slurm.sh').format(
            jobs=args.jobs,
            cpus=args.cpus,
            options=''.join(f'#SBATCH {option}\n' for option in options),
            logs=logs,
            folder=shlex.quote(str(Path.cwd())),
            command=shlex.join([sys.executable, '-m', 'lacuna', 'run', 'snm', *args.words]),
        ),
        end='',
    )
