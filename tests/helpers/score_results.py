"""Results of a cohort with numbers that are put into the files by hand, for statistics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from lacuna.bids.outputs import output_name
from lacuna.images.nifti import make, save
from lacuna.utils.names import sidecar_path

ATLAS = 'toy'
SPACE = 'MNI152NLin6Asym'
REGIONS = ('LH_Vis_1', 'LH_SomMot_1', 'RH_Vis_1', 'RH_SomMot_1', 'RH_Default_1')
SHAPE = (5, 6, 4)


def write_cohort_results(root: Path, parcels: pd.DataFrame, *, sessions=('01',), seed=0) -> pd.DataFrame:
    """Results of lesions with these percentages of parcels (participants by `REGIONS`); returns volumes and scores.

    Each edge has lost the mean of its two parcels, and the first voxels of the map hold the parcels.
    """
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    (root / 'dataset_description.json').write_text('{"GeneratedBy": [{"Name": "Lacuna"}]}')
    volumes = np.exp(rng.normal(8, 1, len(parcels))).round()
    for (subject, row), volume in zip(parcels.iterrows(), volumes, strict=True):
        for session in sessions:
            _write_lesion(root, str(subject), session, row, float(volume))
    return pd.DataFrame({'volume': volumes}, index=parcels.index)


def _write_lesion(root: Path, subject: str, session: str | None, row: pd.Series, volume: float) -> None:
    names = [f'sub-{subject}', *([f'ses-{session}'] if session else [])]
    folder = root.joinpath(*names, 'anat')
    folder.mkdir(parents=True)
    stem = '_'.join([*names, 'label-lesion'])
    made = {
        'Space': SPACE,
        'Tractogram': {'Name': 'toy', 'Space': SPACE, 'SHA256': 'a' * 64},
        'Mask': {'SHA256': subject},
        'Parameters': {'OutputResolution': 2},
    }

    def path(key: str) -> Path:
        return folder / output_name(stem, key, space=SPACE, atlas=ATLAS)

    def describe(key: str, content: dict) -> None:
        sidecar_path(path(key)).write_text(json.dumps(content))

    data = np.zeros(SHAPE, np.float32)
    data.flat[: len(row)] = row
    save(make(data, np.diag([2.0, 2, 2, 1])), path('disconnection_map'))
    describe('disconnection_map', made)
    path('summary').write_text(json.dumps({'mask_volume_mm3': volume}))
    of_atlas = {**made, 'Atlas': {'Name': ATLAS, 'SHA256': 'b' * 64}}
    row.rename_axis('region').to_csv(path('roi_disconnection'), sep='\t', header=['value'])
    describe('roi_disconnection', of_atlas)
    edges = (row.to_numpy()[:, None] + row.to_numpy()) / 2
    np.fill_diagonal(edges, 0)
    pd.DataFrame(edges, row.index, row.index).rename_axis('region').to_csv(
        path('disconnection_matrix'), sep='\t'
    )
    describe('disconnection_matrix', of_atlas)


def percentages(participants: int, seed: int = 1) -> pd.DataFrame:
    """Percentages of `REGIONS`, a third of them 0."""
    rng = np.random.default_rng(seed)
    shape = (participants, len(REGIONS))
    values = np.where(rng.random(shape) < 1 / 3, 0, rng.uniform(1, 100, shape)).round(2)
    return pd.DataFrame(values, [f'{i:02d}' for i in range(1, participants + 1)], REGIONS)
