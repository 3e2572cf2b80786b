"""From masks and a table of scores to the answer, by the commands of the page "From maps to symptoms", with real lesions."""

from __future__ import annotations

import json

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

SPACE = 'MNI152NLin6Asym'


@pytest.fixture
def lesymap(shared, tmp_path):
    """A BIDS dataset of the 66 patients in the table of scores, and a table of the parcels."""
    scores = pd.read_csv(shared / 'data/reference/lesymap/scores.tsv', sep='\t', dtype=str)
    for who, name in zip(scores['participant_id'], scores['file'], strict=True):
        folder = tmp_path / f'bids/{who}/anat'
        folder.mkdir(parents=True)
        source = shared / 'data/lesions/LESYMAP' / name
        (folder / f'{who}_space-{SPACE}_label-lesion_mask.nii.gz').symlink_to(source)
    atlas = shared / 'data/reference/lesymap/parcels403.nii.gz'
    numbers = np.unique(np.asarray(nb.load(atlas).dataobj).astype(int))
    (tmp_path / 'parcels.tsv').write_text('index\tname\n' + ''.join(f'{n}\tP{n}\n' for n in numbers if n))
    return tmp_path, atlas, shared / 'data/reference/lesymap/scores.tsv'


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.usefixtures('common_cache')
def test_the_parcel_behind_a_score_of_real_patients(lesymap, synthetic, lacuna_here):
    folder, atlas, scores = lesymap
    maps = folder / 'maps'
    done = lacuna_here(
        'run', 'snm', folder / 'bids', maps, '--connectome-path', synthetic.connectome, '--no-report',
        '--custom-parcellation', 'parcels403', atlas, folder / 'parcels.tsv', SPACE, '--lesion-load',
        '--mask-space', SPACE, '--nprocs', 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = folder / 'symptoms'
    done = lacuna_here(
        'stats', maps, out, '--scores', scores, '--outcome', 'score', '--features', 'load', 'lesion',
        '--permutations', 999, '--cv', '5x1',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '66 participants (0 left out)' in done.stdout
    start = out / 'group_label-lesion_method-snm'
    table = pd.read_csv(
        f'{start}_atlas-parcels403_desc-scoreload_parcelstats.tsv', sep='\t', index_col='region'
    )
    assert table['t'].abs().idxmax() == 'P101'
    assert table.loc['P101', 'p_fwe'] == 1 / 1000
    models = json.loads((out / f'{start.name}_atlas-parcels403_desc-scoreload_prediction.json').read_text())[
        'Models'
    ]
    assert models['ridge']['gain'] > 0.2
    # the voxel with the largest statistic lies in the parcel too
    image = nb.load(f'{start}_space-{SPACE}_desc-scorelesion_stat-t_statmap.nii.gz')
    peak = np.unravel_index(np.abs(image.get_fdata()).argmax(), image.shape)
    world = nb.affines.apply_affine(image.affine, peak)
    labels = nb.load(atlas)
    at = np.rint(nb.affines.apply_affine(np.linalg.inv(labels.affine), world)).astype(int)
    around = np.asarray(labels.dataobj)[tuple(slice(i - 4, i + 5) for i in at)]
    assert 101 in around
    assert '<section id="Load-parcels403">' in (out / 'stats.html').read_text()
