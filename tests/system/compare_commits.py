"""Whether two commits write the same results: the tutorial, and twelve real lesions with an atlas.

    python tests/system/compare_commits.py OLD NEW

Each commit is checked out beside the other and runs with this Python's packages. Both write to the same path, because
sidecars hold the command line; every file of the participants and of the tractogram is compared byte for byte.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / 'shared'
#: how many lesions of each collection, evenly over their names
LESIONS = {'LQT': 3, 'LESYMAP': 4, 'SOOP': 5}
ATLAS = 'schaefer2018parcels100networks7'


def main() -> int:
    """Run both commits and compare; 1 if a file differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('old')
    parser.add_argument('new')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='lacuna-compare-') as name:
        folder = Path(name)
        prepare(folder)
        found = [results_of(commit, folder) for commit in (args.old, args.new)]
    old, new = found
    different = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    for name in different:
        print(
            'differs' if name in old and name in new else f'only in {"old" if name in old else "new"}', name
        )
    print(f'{len({*old, *new}) - len(different)} files are the same, {len(different)} differ')
    return 1 if different else 0


def prepare(folder: Path) -> None:
    """Twelve lesions as a table for ``lacuna bidsify``, and the tractogram."""
    paths: list[Path] = []
    for collection, wanted in LESIONS.items():
        found = sorted((SHARED / 'data/lesions' / collection).glob('*.nii.gz'))
        paths += found[:: len(found) // wanted][:wanted]
    rows = [f'{number:02d}\t{path}\n' for number, path in enumerate(paths, 1)]
    (folder / 'lesions.tsv').write_text(''.join(['subject\tpath\n', *rows]))
    unpack = [sys.executable, SHARED / 'tools/tracks.py', 'unpack']
    source = SHARED / 'data/tractograms/HCP842.npz'
    subprocess.run([*unpack, source, folder / 'HCP842.tck'], check=True, stdout=subprocess.DEVNULL)


def results_of(commit: str, folder: Path) -> dict[str, bytes]:
    """What a commit writes, by name."""
    checkout = folder / 'checkout'
    git = ['git', '-C', ROOT, 'worktree']
    subprocess.run([*git, 'add', '--quiet', '--detach', checkout, commit], check=True)
    try:
        return run_both(checkout, folder)
    finally:
        subprocess.run([*git, 'remove', '--force', checkout], check=True)


def run_both(checkout: Path, folder: Path) -> dict[str, bytes]:
    """The tutorial and the real lesions, run by a checkout."""
    space = 'MNI152NLin6Asym'
    env = {
        **os.environ,
        'PYTHONPATH': str(checkout),
        'LACUNA_CACHE_DIR': str(folder / 'cache'),
        'TEMPLATEFLOW_HOME': str(SHARED / 'data/templateflow'),
    }

    def lacuna(*words: object) -> None:
        command = [sys.executable, '-m', 'lacuna', *map(str, words)]
        subprocess.run(command, check=True, env=env, cwd=folder, stdout=subprocess.DEVNULL)

    everything = ['--compute-disconnectivity-matrix', '--compute-roi-disconnection', '--nprocs', '2']
    lacuna('tutorial', folder / 'tutorial')
    (tracks,) = (folder / 'tutorial').rglob('synthetic20k.tck')
    (image,) = (folder / 'tutorial').rglob('synthetic100_*_dseg.nii.gz')
    (labels,) = (folder / 'tutorial').rglob('synthetic100_*_dseg.tsv')
    own = ['--custom-parcellation', 'synthetic100', image, labels, space]
    lacuna(
        'run',
        'snm',
        folder / 'tutorial',
        folder / 'out/tutorial',
        '--connectome-path',
        tracks,
        *own,
        *everything,
    )
    lacuna('bidsify', folder / 'lesions.tsv', folder / 'real', '--space', space)
    tractogram = ['--connectome-path', folder / 'HCP842.tck', '--connectome-space', space]
    lacuna(
        'run',
        'snm',
        folder / 'real',
        folder / 'out/real',
        *tractogram,
        '--parcel-atlases',
        ATLAS,
        *everything,
    )
    found = {}
    for part in ('sub-*', 'connectome'):
        for path in (folder / 'out').glob(f'*/{part}/**/*'):
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    for name in ('tutorial', 'real', 'out', 'cache'):
        shutil.rmtree(folder / name)
    return found


if __name__ == '__main__':
    sys.exit(main())
