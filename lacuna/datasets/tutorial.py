"""Write the tutorial, a BIDS dataset: three synthetic lesions, a synthetic connectome and a parcellation."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lacuna import __version__
from lacuna.bids.derivatives import BIDS_VERSION
from lacuna.bids.tables import table_bytes
from lacuna.datasets.synthetic.anatomy import brain_mask, gray_matter
from lacuna.datasets.synthetic.bundles import Bundle, simulate_bundles
from lacuna.datasets.synthetic.lesions import lesions, simulate_lesion
from lacuna.datasets.synthetic.parcels import Parcellation, simulate_parcels
from lacuna.errors import InputError
from lacuna.images.nifti import make, save
from lacuna.images.spaces import Grid, standard_grid
from lacuna.streamlines.files.bundle_tables import write_bundles
from lacuna.streamlines.files.tck import write_tck
from lacuna.utils.files import data_text, json_bytes
from lacuna.utils.names import sidecar_path
from lacuna.utils.progress import track

SPACE = 'MNI152NLin6Asym'
CONNECTOME = 'synthetic20k'
PARCELLATION = 'synthetic100'
_SEED = 1909  # seed of all random numbers
_STEP = 1.0  # mm
_DRAFT = '.lacuna-tutorial-'
_GENERATED_BY = [{'Name': 'Lacuna', 'Version': __version__, 'Description': 'lacuna tutorial'}]


@dataclass(frozen=True)
class TutorialPaths:
    """The paths of the tutorial's files.

    Attributes
    ----------
    directory : pathlib.Path
        The BIDS dataset.
    masks : tuple of pathlib.Path
        One lesion mask for each participant.
    connectome, connectome_sidecar, bundles : pathlib.Path
        The ``.tck``, its ``.json``, and the table of the bundles (bundle, first, count).
    parcellation, labels : pathlib.Path
        The image and its label table.
    readme : pathlib.Path
    """

    directory: Path
    masks: tuple[Path, ...]
    connectome: Path
    connectome_sidecar: Path
    bundles: Path
    parcellation: Path
    labels: Path
    readme: Path


def tutorial_paths(directory: Path) -> TutorialPaths:
    """Return where `write_tutorial` puts its files in `directory`."""
    subjects = [f'{i:02d}' for i in range(1, len(lesions()) + 1)]
    # BIDS allows files of any kind here
    sourcedata = directory / 'sourcedata'
    connectome = sourcedata / 'connectome' / f'{CONNECTOME}.tck'
    parcellation = sourcedata / 'parcellation' / f'{PARCELLATION}_space-{SPACE}_dseg'
    return TutorialPaths(
        directory=directory,
        masks=tuple(
            directory / f'sub-{s}/ses-01/anat/sub-{s}_ses-01_space-{SPACE}_label-acuteinfarct_mask.nii.gz'
            for s in subjects
        ),
        connectome=connectome,
        connectome_sidecar=connectome.with_suffix('.json'),
        bundles=connectome.with_name(f'{CONNECTOME}_bundles.tsv'),
        parcellation=parcellation.with_suffix('.nii.gz'),
        labels=parcellation.with_suffix('.tsv'),
        readme=directory / 'README.md',
    )


def write_tutorial(
    directory: str | Path, *, force: bool = False, show_progress: bool = False
) -> TutorialPaths:
    """Write the tutorial's data, the same bytes on every run.

    Everything is made in a hidden folder first and moved when it is complete.

    Parameters
    ----------
    directory : path
        Created if it does not exist.
    force : bool
        Write into a folder that is not empty; only files of the tutorial are replaced.
    show_progress : bool
        Whether to show a progress bar on a terminal.

    Returns
    -------
    TutorialPaths

    Raises
    ------
    InputError
        If `directory` is a file, is not empty (without `force`), or cannot be written.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        message = f'{directory} is a file; name a folder for the tutorial'
        raise InputError(message)
    try:
        if not force and directory.exists() and not _is_empty(directory):
            message = f'{directory} is not empty; name another folder, or give --force to write into it'
            raise InputError(message)
        # beside the final place, so that moving is renaming; within it if it exists, as only that may be writable
        near = directory if directory.exists() else directory.absolute().parent
        near.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=near, prefix=_DRAFT) as temporary:
            draft = tutorial_paths(Path(temporary) / 'tutorial')  # a folder with the usual permissions
            _write(draft, show_progress=show_progress)
            _move(draft.directory, directory)
    except OSError as error:
        message = f'cannot write the tutorial to {directory}: {error.strerror or error}'
        raise InputError(message) from error
    return tutorial_paths(directory)


def _is_empty(directory: Path) -> bool:
    """Whether a folder is empty, apart from what a killed run may have left."""
    return all(path.name.startswith(_DRAFT) for path in directory.iterdir())


def _move(source: Path, target: Path) -> None:
    """Rename a finished folder to its final name, or move it file by file if that exists."""
    if not target.exists():
        source.replace(target)
        return
    for path in sorted(path for path in source.rglob('*') if path.is_file()):
        final = target / path.relative_to(source)
        final.parent.mkdir(parents=True, exist_ok=True)
        path.replace(final)


def _write(paths: TutorialPaths, *, show_progress: bool) -> None:
    for folder in (paths.connectome.parent, paths.parcellation.parent):
        folder.mkdir(parents=True)
    grid = standard_grid(SPACE, 2)
    brain = brain_mask(grid)
    parcellation = simulate_parcels(grid, brain, gray_matter(grid))
    _write_parcellation(paths, grid, parcellation)
    rng = np.random.default_rng(_SEED)
    bundles = simulate_bundles(rng, grid, brain, parcellation.cortex, step=_STEP)
    _write_connectome(paths, track(bundles, 'tutorial', unit=' bundles', show=show_progress))
    _write_bids(paths)
    paths.readme.write_text(data_text('tutorial.md'), encoding='utf-8')


def _write_parcellation(paths: TutorialPaths, grid: Grid, parcellation: Parcellation) -> None:
    save(make(parcellation.labels, grid.affine), paths.parcellation)
    rows = [(parcel.index, parcel.name, parcel.network, parcel.hemisphere) for parcel in parcellation.parcels]
    paths.labels.write_bytes(table_bytes(('index', 'name', 'network', 'hemisphere'), rows))


def _write_connectome(paths: TutorialPaths, bundles: Iterable[Bundle]) -> None:
    table: dict[str, np.ndarray] = {}
    count = 0

    def streamlines() -> Iterator[np.ndarray]:
        nonlocal count
        for bundle in bundles:
            table[bundle.name] = np.arange(count, count + len(bundle.streamlines))
            count += len(bundle.streamlines)
            yield from bundle.streamlines

    write_tck(paths.connectome, streamlines(), step_size=_STEP)
    write_bundles(paths.bundles, table)
    sidecar = {
        'Name': CONNECTOME,
        'Description': 'Synthetic streamlines around landmarks of the large bundles, for learning and for tests; '
        'not for research.',
        'Space': SPACE,
        'StreamlineCount': count,
        'StepSize': _STEP,
        'License': 'CC0',
        'GeneratedBy': _GENERATED_BY,
        'Bundles': paths.bundles.name,
    }
    paths.connectome_sidecar.write_bytes(json_bytes(sidecar))


def _write_bids(paths: TutorialPaths) -> None:
    grid = standard_grid(SPACE, 1)
    brain = brain_mask(grid)
    rows = []
    for i, (path, lesion) in enumerate(zip(paths.masks, lesions(), strict=True)):
        mask = simulate_lesion(np.random.default_rng([_SEED, i]), grid, brain, lesion)
        path.parent.mkdir(parents=True)
        save(make(mask, grid.affine), path)
        sidecar = {
            'Description': f'Synthetic lesion, {lesion.side} {lesion.territory}',
            'Type': 'Lesion',
            'Sources': [],  # not drawn on an image
            'Space': SPACE,
            'SpatialReference': SPACE,
            'Resolution': 'Voxels of 1 mm on the standard grid',
        }
        sidecar_path(path).write_bytes(json_bytes(sidecar))
        rows.append((path.name.split('_')[0], lesion.side, lesion.territory))
    about = {
        'participant_id': {'Description': 'Name of the participant'},
        'lesion_side': {
            'Description': 'Hemisphere of the lesion',
            'Levels': {'left': 'left hemisphere', 'right': 'right hemisphere'},
        },
        'lesion_territory': {'Description': 'Arterial territory and place of the lesion'},
    }
    (paths.directory / 'participants.tsv').write_bytes(table_bytes(list(about), rows))
    (paths.directory / 'participants.json').write_bytes(json_bytes(about))
    description = {
        'Name': 'Three synthetic lesions',
        'BIDSVersion': BIDS_VERSION,
        'DatasetType': 'derivative',
        'License': 'CC0',
        'GeneratedBy': _GENERATED_BY,
    }
    (paths.directory / 'dataset_description.json').write_bytes(json_bytes(description))
