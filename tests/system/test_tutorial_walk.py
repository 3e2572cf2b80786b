"""The walk of the tutorial: a map, then the matrices into the same folder, then a plot of one network."""

import numpy as np
import pandas as pd
from helpers.validator import errors, errors_of_results


def test_walk(tmp_path, lacuna_here, synthetic):
    out = tmp_path / 'derivatives'
    first = ['run', 'snm', synthetic.directory, out, '--connectome-path', synthetic.connectome]
    done = lacuna_here(*first, '--no-report', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    maps = {path: path.stat().st_mtime_ns for path in out.rglob('*_desc-disconnectionpct.nii.gz')}
    assert len(maps) == 3

    atlas = [
        '--custom-parcellation',
        'synthetic100',
        synthetic.parcellation,
        synthetic.labels,
        'MNI152NLin6Asym',
    ]
    done = lacuna_here(
        *first, *atlas, '--compute-disconnectivity-matrix', '--compute-roi-disconnection', cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in maps} == maps
    pages = {path: path.stat().st_mtime_ns for path in out.glob('sub-*.html')}
    done = lacuna_here(
        *first, *atlas, '--compute-disconnectivity-matrix', '--compute-roi-disconnection', '-v', cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert {
        path: path.stat().st_mtime_ns for path in pages
    } == pages  # nothing is drawn or put together again
    for label in ('01', '02', '03'):
        assert f'report: {out}/sub-{label}.html\n' in done.stdout
        page = (out / f'sub-{label}.html').read_text()
        assert page.count(f'src="./sub-{label}/figures/') >= 7
        assert list((out / f'sub-{label}/figures').glob('*_desc-viewer.html'))
        assert list((out / f'sub-{label}/figures').glob('*_desc-disconnected_tractogram.tck'))

    f = next(out.rglob('sub-02*_atlas-synthetic100_desc-disconnectionpct_connmatrix.tsv'))
    mat = pd.read_csv(f, sep='\t', header=0, index_col=0)
    visual = [name for name in mat.columns if '_Vis_' in name]
    assert mat.loc[visual, visual].shape == (len(visual), len(visual))
    assert len(visual) > 5
    other = [name for name in mat.columns if '_SomMot_' in name]
    # the second lesion lies in the right occipital lobe
    assert mat.loc[visual, visual].to_numpy().max() > 10
    assert mat.loc[visual, visual].to_numpy().mean() > 5 * mat.loc[other, other].to_numpy().mean()

    f = next(out.rglob('sub-02*_atlas-synthetic100_desc-disconnectionpct_parcelstats.tsv'))
    roi = pd.read_csv(f, sep='\t', index_col=0)
    # no streamline ends in these
    assert list(roi.index[roi['value'].isna()]) == ['LH_Pallidum', 'RH_Pallidum']
    assert roi['value'].dropna().between(0, 100).all()
    assert roi['value'].idxmax().startswith('RH_')

    done = lacuna_here('collect', out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f'{out}/group.html\n')
    table = next(out.glob('group_*_atlas-synthetic100_desc-disconnectionpct_parcelstats.tsv'))
    group = pd.read_csv(table, sep='\t', index_col='participant_id')
    assert list(group.index) == ['sub-01', 'sub-02', 'sub-03']
    np.testing.assert_allclose(group.loc['sub-02', roi.index].astype(float), roi['value'])
    page = (out / 'group.html').read_text()
    for label in group.index:
        assert f'href="{label}.html"' in page

    assert errors(out) == {}
    assert errors_of_results(out, tmp_path / 'view') == {}
