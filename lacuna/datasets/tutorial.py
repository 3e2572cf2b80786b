"""Write the tutorial, a BIDS dataset: synthetic lesions or a cohort, a synthetic connectome and a parcellation."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.bids.description import BIDS_VERSION
from lacuna.bids.tables import table_bytes
from lacuna.datasets.synthetic.anatomy import brain_mask, gray_matter
from lacuna.datasets.synthetic.bundles import Bundle, simulate_bundles
from lacuna.datasets.synthetic.cohort import PLANTED, cut_share, random_lesion, simulate_participant
from lacuna.datasets.synthetic.lesions import Lesion, lesions, simulate_lesion
from lacuna.datasets.synthetic.parcels import Parcellation, simulate_parcels
from lacuna.errors import InputError
from lacuna.images.nifti import make, save
from lacuna.images.spaces import Grid, standard_grid
from lacuna.streamlines.files.bundle_tables import write_bundles
from lacuna.streamlines.files.tck import write_tck
from lacuna.utils.files import data_text, json_bytes
from lacuna.utils.names import sidecar_path
from lacuna.utils.progress import track
from lacuna.utils.sidecars import generator

SPACE = 'MNI152NLin6Asym'
CONNECTOME = 'synthetic20k'
PARCELLATION = 'synthetic100'
_SEED = 1909  # seed of all random numbers
_STEP = 1.0  # mm
#: minimum and maximum number of participants in a cohort
_FEWEST, _MOST = 10, 999
#: index of the participant whose score is missing
_WITHOUT_SCORE = 6
_DRAFT = '.lacuna-tutorial-'
_GENERATED_BY = [generator('lacuna tutorial')]


@dataclass(frozen=True)
class TutorialPaths:
    """The paths of the tutorial's files.

    Attributes
    ----------
    directory : pathlib.Path
        The BIDS dataset.
    masks : tuple of pathlib.Path
        Lesion mask of each participant.
    connectome, connectome_sidecar, bundles : pathlib.Path
        The ``.tck``, its ``.json``, and the table of its bundles (bundle, first, count).
    parcellation, labels : pathlib.Path
        Label image and label table.
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


def tutorial_paths(directory: Path, cohort: int | None = None) -> TutorialPaths:
    """Return the paths of the files that `write_tutorial` writes in `directory`."""
    count = cohort or len(lesions())
    subjects = [f'{i:0{max(2, len(str(count)))}d}' for i in range(1, count + 1)]
    # BIDS allows any files here
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
    directory: str | Path, *, cohort: int | None = None, force: bool = False, show_progress: bool = False
) -> TutorialPaths:
    """Write the tutorial's data; the bytes are the same in every run.

    Everything is written to a hidden folder first, and moved when complete.

    Parameters
    ----------
    directory : path
        Created if it does not exist.
    cohort : int, optional
        Number of participants (10 to 999) with random lesions, and a score that depends on one bundle, instead of the
        three lesions.
    force : bool
        Write into a folder that is not empty; only files of the tutorial are replaced.
    show_progress : bool
        Whether to show a progress bar on terminals.

    Returns
    -------
    TutorialPaths

    Raises
    ------
    InputError
        If `directory` is a file, is not empty (without `force`), or is not writable, or the number of participants is
        out of range.
    """
    directory = Path(directory)
    if cohort is not None and not _FEWEST <= cohort <= _MOST:
        message = f'a cohort of {cohort}: choose from {_FEWEST} to {_MOST} participants'
        raise InputError(message)
    if directory.exists() and not directory.is_dir():
        message = f'{directory} is a file; name a folder for the tutorial'
        raise InputError(message)
    try:
        if not force and directory.exists() and not _is_empty(directory):
            message = f'{directory} is not empty; name another folder, or give --force to write into it'
            raise InputError(message)
        # beside the final folder, so that moving is renaming; inside it if it exists, as its parent may be read-only
        near = directory if directory.exists() else directory.absolute().parent
        near.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=near, prefix=_DRAFT) as temporary:
            # a subfolder, which has the usual permissions
            draft = tutorial_paths(Path(temporary) / 'tutorial', cohort)
            _write(draft, cohort=cohort, show_progress=show_progress)
            _move(draft.directory, directory)
    except OSError as error:
        message = f'cannot write the tutorial to {directory}: {error.strerror or error}'
        raise InputError(message) from error
    return tutorial_paths(directory, cohort)


def _is_empty(directory: Path) -> bool:
    """Whether a folder is empty, apart from leftovers of a killed run."""
    return all(path.name.startswith(_DRAFT) for path in directory.iterdir())


def _move(source: Path, target: Path) -> None:
    """Rename a finished folder to its final name, or move its files if that exists."""
    if not target.exists():
        source.replace(target)
        return
    for path in sorted(path for path in source.rglob('*') if path.is_file()):
        final = target / path.relative_to(source)
        final.parent.mkdir(parents=True, exist_ok=True)
        path.replace(final)


def _write(paths: TutorialPaths, *, cohort: int | None, show_progress: bool) -> None:
    for folder in (paths.connectome.parent, paths.parcellation.parent):
        folder.mkdir(parents=True)
    grid = standard_grid(SPACE, 2)
    brain = brain_mask(grid)
    parcellation = simulate_parcels(grid, brain, gray_matter(grid))
    _write_parcellation(paths, grid, parcellation)
    rng = np.random.default_rng(_SEED)
    bundles = simulate_bundles(rng, grid, brain, parcellation.cortex, step=_STEP)
    planted = _write_connectome(paths, track(bundles, 'tutorial', unit=' bundles', show=show_progress))
    if cohort is None:
        _write_lesions(paths)
    else:
        _write_cohort(paths, planted, show_progress=show_progress)
    paths.readme.write_text(data_text('cohort.md' if cohort else 'tutorial.md'), encoding='utf-8')


def _write_parcellation(paths: TutorialPaths, grid: Grid, parcellation: Parcellation) -> None:
    save(make(parcellation.labels, grid.affine), paths.parcellation)
    rows = [(parcel.index, parcel.name, parcel.network, parcel.hemisphere) for parcel in parcellation.parcels]
    paths.labels.write_bytes(table_bytes(('index', 'name', 'network', 'hemisphere'), rows))


def _write_connectome(paths: TutorialPaths, bundles: Iterable[Bundle]) -> list[np.ndarray]:
    """Write the connectome; return the streamlines of the bundle that determines a cohort's score."""
    table: dict[str, np.ndarray] = {}
    count = 0
    planted: list[np.ndarray] = []

    def streamlines() -> Iterator[np.ndarray]:
        nonlocal count
        for bundle in bundles:
            table[bundle.name] = np.arange(count, count + len(bundle.streamlines))
            count += len(bundle.streamlines)
            if bundle.name == PLANTED:
                planted.extend(bundle.streamlines)
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
    return planted


def _write_lesions(paths: TutorialPaths) -> None:
    grid = standard_grid(SPACE, 1)
    brain = brain_mask(grid)
    rows = []
    for i, (path, lesion) in enumerate(zip(paths.masks, lesions(), strict=True)):
        mask = simulate_lesion(np.random.default_rng([_SEED, i]), grid, brain, lesion)
        _write_mask(path, mask, grid, lesion)
        rows.append((path.name.split('_')[0], lesion.side, lesion.territory))
    about = {
        'participant_id': {'Description': 'Name of the participant'},
        'lesion_side': {
            'Description': 'Hemisphere of the lesion',
            'Levels': {'left': 'left hemisphere', 'right': 'right hemisphere'},
        },
        'lesion_territory': {'Description': 'Arterial territory and place of the lesion'},
    }
    _write_table(paths, 'Three synthetic lesions', about, rows)


def _write_cohort(paths: TutorialPaths, planted: Sequence[np.ndarray], *, show_progress: bool) -> None:
    """Write random lesions, and scores that depend on the cut streamlines of a bundle."""
    grid = standard_grid(SPACE, 1)
    brain = brain_mask(grid)
    rows = []
    for i, path in enumerate(track(paths.masks, 'tutorial', unit=' lesions', show=show_progress)):
        rng = np.random.default_rng([_SEED, 3, i])
        lesion = random_lesion(rng)
        mask = simulate_lesion(rng, grid, brain, lesion)
        _write_mask(path, mask, grid, lesion)
        participant = simulate_participant(rng, cut_share(planted, mask, grid))
        # one missing value, as in real tables
        motor = participant.motor if i != _WITHOUT_SCORE else None
        rows.append((path.name.split('_')[0], participant.age, lesion.side, motor, participant.mood))
    about = {
        'participant_id': {'Description': 'Name of the participant'},
        'age': {'Description': 'Age', 'Units': 'years'},
        'lesion_side': {'Description': 'Hemisphere of the lesion'},
        'motor': {
            'Description': f'Synthetic score, 0 to 100; falls with the share of the {PLANTED} that is cut, and with age'
        },
        'mood': {'Description': 'Synthetic score that depends on nothing'},
    }
    _write_table(paths, 'A synthetic cohort', about, rows)


def _write_mask(path: Path, mask: np.ndarray, grid: Grid, lesion: Lesion) -> None:
    path.parent.mkdir(parents=True)
    save(make(mask, grid.affine), path)
    sidecar = {
        'Description': f'Synthetic lesion, {lesion.side} {lesion.territory or "hemisphere"}',
        'Type': 'Lesion',
        'Sources': [],  # not drawn on an image
        'Space': SPACE,
        'SpatialReference': SPACE,
        'Resolution': 'Voxels of 1 mm on the standard grid',
    }
    sidecar_path(path).write_bytes(json_bytes(sidecar))


def _write_table(
    paths: TutorialPaths, name: str, about: Mapping[str, Any], rows: Iterable[Sequence[object]]
) -> None:
    (paths.directory / 'participants.tsv').write_bytes(table_bytes(list(about), rows))
    (paths.directory / 'participants.json').write_bytes(json_bytes(about))
    description = {
        'Name': name,
        'BIDSVersion': BIDS_VERSION,
        'DatasetType': 'derivative',
        'License': 'CC0',
        'GeneratedBy': _GENERATED_BY,
    }
    (paths.directory / 'dataset_description.json').write_bytes(json_bytes(description))
