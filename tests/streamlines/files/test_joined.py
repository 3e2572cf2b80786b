"""A folder of tractograms, one a bundle."""

import numpy as np
import pytest
from helpers.tractograms import make_streamlines, peak_of, trk_bytes, write_trx

import lacuna
from lacuna.errors import TractogramError
from lacuna.streamlines.files.bundle_tables import read_bundles
from lacuna.streamlines.files.formats import iter_blocks, open_tractogram
from lacuna.streamlines.files.joined import join, tractograms_in
from lacuna.streamlines.files.tck import read_header, write_tck

SPACE = 'MNI152NLin6Asym'


@pytest.fixture
def parts(tmp_path):
    """Three bundles in three formats, an empty one, and what is none."""
    folder = tmp_path / 'my bundles'
    folder.mkdir()
    streamlines = {
        'SLF right': make_streamlines(5, 1),
        'AF_L': make_streamlines(3, 2),
        'CST': make_streamlines(4, 3),
    }
    write_tck(folder / 'SLF right.tck', streamlines['SLF right'], step_size=0.5)
    (folder / 'AF_L.trk').write_bytes(trk_bytes(streamlines['AF_L']))
    write_trx(folder / 'CST.trx', streamlines['CST'])
    write_tck(folder / 'IFOF.tck', [])
    (folder / 'readme.txt').write_text('about')
    (folder / '.hidden.tck').write_text('not one')
    return folder, streamlines


def test_joined_in_the_order_of_the_names(parts, tmp_path):
    folder, streamlines = parts
    join(tractograms_in(folder), tmp_path / 'all.tck')
    bundles = read_bundles(tmp_path / 'all_bundles.tsv', 12)
    assert {name: len(rows) for name, rows in bundles.items()} == {
        'AF_L': 3,
        'CST': 4,
        'IFOF': 0,
        'SLF right': 5,
    }
    ((points, lengths),) = iter_blocks(open_tractogram(tmp_path / 'all.tck'))
    wanted = [line for name in ('AF_L', 'CST', 'SLF right') for line in streamlines[name]]
    assert lengths.tolist() == [len(line) for line in wanted]
    np.testing.assert_allclose(points, np.concatenate(wanted), atol=1e-3)
    assert 'step_size' not in read_header(tmp_path / 'all.tck').fields


def test_a_step_size_that_all_have_is_kept(tmp_path):
    for name in 'ab':
        write_tck(tmp_path / f'{name}.tck', make_streamlines(2), step_size=0.5)
    join(tractograms_in(tmp_path), tmp_path / 'all.tck')
    assert read_header(tmp_path / 'all.tck').fields['step_size'] == '0.5'


def test_faults(tmp_path):
    with pytest.raises(TractogramError, match='no tractogram'):
        tractograms_in(tmp_path)
    write_tck(tmp_path / 'a.tck', [])
    with pytest.raises(TractogramError, match='none of the tractograms'):
        join(tractograms_in(tmp_path), tmp_path / 'all.tck')
    assert not (tmp_path / 'all.tck').exists()
    (tmp_path / 'a.trk').write_bytes(trk_bytes(make_streamlines(2)))
    with pytest.raises(TractogramError, match=r'a\.tck and a\.trk'):
        tractograms_in(tmp_path)


def test_memory_does_not_depend_on_the_size(tmp_path):
    lines = [np.zeros((1000, 3), 'f4')] * 1000
    for name in 'abcd':
        write_tck(tmp_path / f'{name}.tck', lines)
    parts = tractograms_in(tmp_path)
    one = peak_of(lambda: join({'a': parts['a']}, tmp_path / 'out.tck'))
    assert peak_of(lambda: join(parts, tmp_path / 'out.tck')) < 1.5 * one


def test_a_folder_is_a_tractogram(parts, tmp_path):
    folder, _ = parts
    tractogram = lacuna.Tractogram(folder, SPACE, cache=tmp_path / 'cache')
    assert (tractogram.name, tractogram.label, tractogram.streamlines_total) == (
        'my bundles',
        'mybundles',
        12,
    )
    name, groups = tractogram.bundles()
    assert (name, groups.names) == ('mybundles', ('AF_L', 'CST', 'IFOF', 'SLF right'))
    assert groups.sizes.tolist() == [3, 4, 0, 5]
    assert tractogram.bundles('groups', 'mine')[0] == 'mine'
    # what changes is seen
    again = lacuna.Tractogram(folder, SPACE, cache=tmp_path / 'cache')
    assert (again.tracks, again.sha256) == (tractogram.tracks, tractogram.sha256)
    (folder / 'CST.trx').rename(folder / 'CST_L.trx')
    renamed = lacuna.Tractogram(folder, SPACE, cache=tmp_path / 'cache')
    assert renamed.sha256 != tractogram.sha256
    assert renamed.bundles()[1].names[1] == 'CST_L'
    (tmp_path / 'my bundles.json').write_text(f'{{"Space": "{SPACE}"}}')
    assert lacuna.Tractogram(folder, cache=tmp_path / 'cache').space == SPACE
