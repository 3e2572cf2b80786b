"""A small dataset of results with known numbers, for the tests of reports."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd

from lacuna.bids.outputs import figures_dir, output_name
from lacuna.images.masks import read_mask
from lacuna.images.spaces import standard_grid
from lacuna.streamlines.files.tck import write_tck

SPACE = 'MNI152NLin6Asym'
ATLAS = 'toyatlas'
PARCELS = (
    '7Networks_LH_Vis_1',
    '7Networks_LH_Default_PFC_1',
    '7Networks_RH_Vis_1',
    '7Networks_RH_Default_PFC_1',
    'Brain-Stem',
)
TDI = f'connectome/tractogram-toy_space-{SPACE}_res-2_tdi.nii.gz'
SUPPORT = f'connectome/tractogram-toy_space-{SPACE}_res-2_desc-support_mask.nii.gz'


def streamlines() -> list[np.ndarray]:
    """Forty lines from front to back through the left hemisphere, and ten from left to right."""
    steps = np.linspace(-50, 40, 91)
    along = [np.column_stack([np.full(91, -30.0 + i / 10), steps, np.full(91, 20.0)]) for i in range(40)]
    across = [np.column_stack([steps / 2, np.full(91, -10.0 + i / 5), np.full(91, 22.0)]) for i in range(10)]
    return along + across


def save(path: Path, data: np.ndarray, affine: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nb.Nifti1Image(data, affine).to_filename(path)
    return path


def write_results(
    root: Path,
    lesions: Path,
    stem: str = 'sub-01_ses-01_label-lesion',
    *,
    centre: tuple[float, float, float] = (-28.0, 0.0, 20.0),
    radius: float = 9.0,
    sample: bool = True,
) -> Path:
    """The results of one spherical lesion; returns the path of its mask."""
    subject = stem.split('_', 1)[0].removeprefix('sub-')
    session = next((part for part in stem.split('_') if part.startswith('ses-')), '')
    folder = Path(f'sub-{subject}', session, 'anat')
    lead, label = stem.rsplit('_', 1)
    grid = standard_grid(SPACE, 2)
    world = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    distance = np.linalg.norm(world - centre, axis=-1)
    name = f'{lead}_space-{SPACE}_{label}_mask.nii.gz'
    mask = save(lesions / folder / name, (distance <= radius).astype(np.uint8), grid.affine)
    tdi = (np.linalg.norm(world - (0, -15, 20), axis=-1) < 60) * 20.0
    tdi[world[..., 1] > 20] /= 5
    save(root / TDI, tdi.astype(np.float32), grid.affine)
    save(root / SUPPORT, (tdi >= 10).astype(np.uint8), grid.affine)
    percent = np.where(tdi > 0, np.clip(100 - 5 * np.maximum(distance - radius, 0), 0, 100), 0)
    out = root / folder
    path = save(
        out / output_name(stem, 'disconnection_map', space=SPACE), percent.astype(np.float32), grid.affine
    )
    voxels = int((distance <= radius).sum())
    metadata = {
        'Space': SPACE,
        'Sources': [f'bids:lesions:{(folder / name).as_posix()}', 'bids:tractogram:toy.tck', f'bids::{TDI}'],
        'Denominator': f'bids::{TDI}',
        'Support': f'bids::{SUPPORT}',
        'Tractogram': {'Name': 'toy', 'Space': SPACE, 'StreamlineCount': 1000},
        'SoftwareVersions': {'Lacuna': '1.2.3', 'MRtrix3': '3.0.4'},
        'Mask': {'SHA256': read_mask(mask).sha256, 'Space': SPACE, 'SpaceFrom': "the name's space entity"},
    }
    path.with_name(path.name.replace('.nii.gz', '.json')).write_text(json.dumps(metadata))
    summary = {
        'mask_voxels': voxels,
        'mask_volume_mm3': voxels * 8.0,
        'mask_components': 1,
        'mask_outside_support_pct': 0.0,
        'streamlines_total': 1000,
        'streamlines_disconnected': 50,
        'streamlines_disconnected_pct': 5.0,
        'voxels_disconnected': int((percent > 0).sum()),
        'disconnection_mean_pct': float(percent[percent > 0].mean()),
        'disconnection_max_pct': 100.0,
        'min_support': 10,
        'voxels_supported': int((percent[tdi >= 10] > 0).sum()),
        'disconnection_mean_supported_pct': float(percent[(tdi >= 10) & (percent > 0)].mean()),
        'disconnection_max_supported_pct': 100.0,
    }
    (out / output_name(stem, 'summary')).write_text(json.dumps(summary))
    _write_tables(out, stem)
    if sample:
        figures_dir(root, subject).mkdir(parents=True, exist_ok=True)
        write_tck(figures_dir(root, subject) / output_name(stem, 'sample', space=SPACE), streamlines())
    (root / 'dataset_description.json').write_text(
        json.dumps({'GeneratedBy': [{'Name': 'Lacuna'}], 'DatasetLinks': {'lesions': lesions.as_uri()}})
    )
    return mask


def _write_tables(out: Path, stem: str) -> None:
    full = np.full((5, 5), 10.0)
    np.fill_diagonal(full, 0)
    full[0, 4] = full[4, 0] = 0
    cut = np.zeros((5, 5))
    cut[0, 1] = cut[1, 0] = 7
    cut[0, 2] = cut[2, 0] = 2
    tables = {'disconnection_matrix': 10.0 * cut, 'mask_matrix': cut, 'full_matrix': full}
    for key, table in tables.items():
        frame = pd.DataFrame(table, index=PARCELS, columns=PARCELS)
        frame.to_csv(out / output_name(stem, key, atlas=ATLAS), sep='\t', index_label='region')
    frame = pd.DataFrame({'region': PARCELS, 'value': [30.0, 17.5, 5.0, 0.0, 0.0]})
    frame.to_csv(out / output_name(stem, 'roi_disconnection', atlas=ATLAS), sep='\t', index=False)


BUNDLES = 'toybundles'


def write_bundles(root: Path, stem: str = 'sub-01_ses-01_label-lesion') -> pd.DataFrame:
    """What the lesion cuts of four bundles, of which two are in the sample; returns the table."""
    subject = stem.split('_', 1)[0].removeprefix('sub-')
    (summary,) = root.rglob(output_name(stem, 'summary'))
    table = pd.DataFrame(
        {
            'value': [80.0, 10.0, 0.0, np.nan],
            'streamlines': [50, 100, 30, 0],
            'streamlines_disconnected': [40, 10, 0, 0],
            'low': [67.0, 5.5, 0.0, np.nan],
            'high': [88.8, 17.4, 11.4, np.nan],
        },
        index=pd.Index(['AF_L', 'CC <b>', 'AF_R', 'empty'], name='bundle'),
    )
    path = summary.with_name(output_name(stem, 'bundle_disconnection', atlas=BUNDLES))
    table.to_csv(path, sep='\t', na_rep='n/a')
    sidecar = json.loads(next(summary.parent.glob(f'{stem}*desc-disconnectionpct.json')).read_text())
    path.with_suffix('.json').write_text(json.dumps({**sidecar, 'Atlas': {'Name': BUNDLES}}))
    sample = figures_dir(root, subject) / output_name(stem, 'sample_bundles', atlas=BUNDLES)
    sample.write_text('bundle\tfirst\tcount\nCC <b>\t40\t10\nAF_L\t0\t40\n')
    return table
