"""A run over several tractograms: what it writes with each is what a run with it alone writes, and what is over them."""

import shutil
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from helpers.cohort import tree, write_cohort

import lacuna
from lacuna.bids.outputs import Target
from lacuna.cli import main
from lacuna.errors import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, InputError
from lacuna.explorer.cohort import Cohort
from lacuna.images.spaces import standard_grid
from lacuna.reports.participant import is_current
from lacuna.statistics.features import read_features
from lacuna.streamlines.files.tck import write_tck
from lacuna.testing import toy_streamlines, world_coordinates, write_mask
from lacuna.utils.names import sidecar_path

SPACE = 'MNI152NLin6Asym'
LABELS = ('other', 'toy')
SETTINGS = {'compute_roi_disconnection': True, 'report': 'none', 'nprocs': 1}


def write_inputs(folder: Path, masks: int = 1) -> list[Path]:
    """The toy, another tractogram with some of its lines, bundles of both, and an atlas of four parts."""
    toy = write_cohort(folder, masks)
    other = folder / 'other.tck'
    write_tck(other, toy_streamlines()[:17])
    other.with_suffix('.json').write_text(f'{{"Space": "{SPACE}"}}')
    folder.joinpath('toy_bundles.tsv').write_text(
        'bundle\tfirst\tcount\nall\t0\t30\nfront\t0\t6\nnone\t0\t0\n'
    )
    folder.joinpath('other_bundles.tsv').write_text('bundle\tfirst\tcount\nback\t10\t7\nall\t0\t17\n')
    grid = standard_grid(SPACE, 2)
    x, y, z = world_coordinates(grid.shape, grid.affine)
    # no line of the other tractogram is before y = 14
    write_mask(folder / 'parts.nii.gz', 1 + (x > 0) + 2 * (y > 14) + 0 * z, grid.affine)
    folder.joinpath('parts.tsv').write_text('index\tname\n1\tleft\n2\tright\n3\tfrontleft\n4\tfrontright\n')
    return [toy.tracks, other]


def atlas(folder: Path) -> tuple[str, ...]:
    return ('parts', str(folder / 'parts.nii.gz'), str(folder / 'parts.tsv'), SPACE)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """The folder with the results over both, and of each alone."""
    folder = tmp_path_factory.mktemp('several')
    paths = write_inputs(folder)
    settings = {**SETTINGS, 'custom_parcellations': [atlas(folder)]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('LACUNA_CACHE_DIR', str(folder / 'cache'))
        result = lacuna.run(folder / 'bids', folder / 'out', connectome_path=paths, **settings)
        assert (result.exit_code, list(result.tractograms)) == (EXIT_DONE, list(LABELS))
        lacuna.run(folder / 'bids', folder / 'turned', connectome_path=paths[::-1], **settings)
        for path in paths:
            lacuna.run(folder / 'bids', folder / 'alone' / path.stem, connectome_path=path, **settings)
    return folder


@pytest.fixture
def again(made, tmp_path, monkeypatch):
    """A copy of all of it, in which a test may do what it wants; and its command line."""
    for name in tree(made):
        if not name.startswith(('cache', 'out', 'turned', 'alone')):
            tmp_path.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made / name, tmp_path / name)
    monkeypatch.setenv('LACUNA_CACHE_DIR', str(made / 'cache'))
    tracks = [tmp_path / f'{label}.tck' for label in LABELS]
    words = ['run', 'snm', tmp_path / 'bids', tmp_path / 'out', *connectomes(*tracks), '--no-report']
    words += ['--nprocs', '1', '--compute-roi-disconnection', '--custom-parcellation', *atlas(tmp_path)]
    return [str(word) for word in words]


def connectomes(*paths):
    return [word for path in paths for word in ('--connectome-path', path)]


def contents(folder: Path) -> dict[str, bytes]:
    """All results by their names, without what the folder is called."""
    return {
        name: (folder / name).read_bytes().replace(str(folder).encode(), b'OUT')
        for name in tree(folder)
        if 'logs' not in Path(name).parts
    }


@pytest.mark.parametrize('label', LABELS)
def test_results_with_each_are_those_of_a_run_with_it_alone(made, label):
    alone = contents(made / 'alone' / label)
    assert contents(made / f'out/tractogram-{label}') == alone
    assert len(alone) > 10


def results(root: Path):
    (lesion,) = lacuna.load_results(root)
    return lesion


def test_mean_and_standard_deviation_are_those_of_the_maps_and_tables(made):
    over = results(made / 'out')
    each = [results(made / f'out/tractogram-{label}') for label in LABELS]
    maps = np.stack([lesion.map.get_fdata() for lesion in each])
    assert maps.std(axis=0).any()
    np.testing.assert_array_equal(over.map.get_fdata(), maps.mean(axis=0).astype(np.float32))
    sd = nb.load(over.path('sd_map')).get_fdata()
    np.testing.assert_array_equal(sd, maps.std(axis=0, ddof=1).astype(np.float32))
    parcels = pd.DataFrame([lesion.parcels('parts') for lesion in each])
    assert parcels['frontleft'].isna().sum() == 1
    spread = over.parcel_spread('parts')
    np.testing.assert_allclose(spread['mean'], parcels.mean(), rtol=1e-15)
    np.testing.assert_allclose(spread['sd'], parcels.std(), rtol=1e-12, atol=1e-12)
    assert spread['n'].tolist() == parcels.notna().sum().tolist()
    pd.testing.assert_series_equal(over.parcels('parts'), spread['mean'], check_names=False)
    sd_table = over.parcels('parts', 'sd_parcels')
    pd.testing.assert_series_equal(sd_table, spread['sd'], check_names=False)


def test_bundles_go_by_their_names(made):
    """10 of 30 and 6 of 17 streamlines are cut; of six in front 2, of the 7 behind 2 (counted by hand)."""
    table = results(made / 'out').bundles()
    assert table.index.tolist() == ['all', 'back', 'front', 'none']
    assert table['n'].tolist() == [2, 1, 1, 0]
    one, other = 100 * 10 / 30, 100 * 6 / 17
    expected = [(one + other) / 2, 100 * 2 / 7, 100 * 2 / 6, np.nan]
    np.testing.assert_allclose(table['mean'], expected, rtol=1e-14)
    np.testing.assert_allclose(table['sd'], [(other - one) / 2**0.5, np.nan, np.nan, np.nan], rtol=1e-12)


def test_the_page_of_all_lesions_has_the_means(made):
    cohort = Cohort(lacuna.load_results(made / 'out'))
    assert cohort.about()['tractograms'] == 2
    maps = [
        nb.load(next((made / 'alone' / label).rglob('*_desc-disconnectionpct.nii.gz'))) for label in LABELS
    ]
    both = [image.get_fdata() for image in maps]
    voxel = np.argwhere(both[0] != both[1])[0]
    mm = nb.affines.apply_affine(maps[0].affine, voxel)
    at = np.rint(nb.affines.apply_affine(np.linalg.inv(cohort.page.affine), mm)).astype(int)
    mean = np.mean([values[tuple(voxel)] for values in both])
    assert abs(cohort.at(*at.tolist())['percent'][0] - mean) <= 0.5
    assert Cohort(lacuna.load_results(made / 'out/tractogram-toy')).about()['tractograms'] == 1


def test_statistics_are_of_both(made):
    found = results(made / 'out').summary
    shares = [
        results(made / f'out/tractogram-{label}').summary['streamlines_disconnected_pct'] for label in LABELS
    ]
    assert found['tractograms'] == 2
    assert found['mask_volume_mm3'] == results(made / 'out/tractogram-toy').summary['mask_volume_mm3']
    key = 'streamlines_disconnected_pct'
    assert [found[f'{key}_{end}'] for end in ('min', 'max')] == [min(shares), max(shares)]
    supported = 'disconnection_mean_supported_pct'
    each = [results(made / f'out/tractogram-{label}').summary[supported] for label in LABELS]
    assert found[f'{supported}_mean'] == np.mean(each)
    np.testing.assert_allclose(found[f'{key}_sd'], np.std(shares, ddof=1), rtol=1e-12)


def test_the_order_on_the_command_line_changes_nothing(made):
    assert contents(made / 'turned') == contents(made / 'out')


def test_sidecars_say_what_was_combined(made):
    lesion = results(made / 'out')
    for target, about in lesion.sidecars().items():
        assert [each['Label'] for each in about['Tractograms']] == list(LABELS), target
        for uri, sha256 in about['SourceSHA256'].items():
            source = made / 'out' / uri.removeprefix('bids::')
            assert uri in about['Sources']
            label = source.relative_to(made / 'out').parts[0].partition('-')[2]
            theirs = results(made / f'out/tractogram-{label}').sidecars().values()
            assert sha256 in {sidecar['Files'].get(source.name, {}).get('SHA256') for sidecar in theirs}
    assert lesion.mask.mask is not None


def times(folder: Path) -> dict[str, int]:
    return {
        name: (folder / name).stat().st_mtime_ns
        for name in tree(folder)
        if not name.startswith('logs') and 'tractogram-' not in name
    }


def test_what_is_there_is_not_made_again_until_a_source_changes(again, tmp_path):
    out = tmp_path / 'out'
    assert main(again) == EXIT_DONE
    before, logs = times(out), set(out.glob('logs/*'))
    # a result that was lost is the same again
    next(out.glob('tractogram-toy/sub-01/anat/*pct.nii.gz')).unlink()
    assert main(again) == EXIT_DONE
    assert times(out) == before
    assert main(again) == EXIT_DONE
    assert len(set(out.glob('logs/*'))) == len(logs) + 1
    assert main(['check', str(out)]) == EXIT_DONE
    # the run with one of them is made again by itself, with other bundles
    tmp_path.joinpath('toy_bundles.tsv').write_text('bundle\tfirst\tcount\nall\t0\t10\n')
    alone = ['run', 'snm', str(tmp_path / 'bids'), str(out / 'tractogram-toy'), '--connectome-path']
    alone += [str(tmp_path / 'toy.tck'), *again[again.index('--no-report') :], '--overwrite']
    assert main(alone) == EXIT_DONE
    assert main(['check', str(out)]) == EXIT_FAILED
    assert main(again) == EXIT_DONE
    assert main(['check', str(out)]) == EXIT_DONE
    changed = {name for name, time in times(out).items() if before.get(name) != time}
    assert {Path(name).name.rpartition('_')[2] for name in changed} == {'bundlestats.tsv', 'bundlestats.json'}


def test_nothing_of_other_settings_is_left(again, tmp_path):
    """Parcels of another upsampling beside the new map; with the same settings they stay."""
    out = tmp_path / 'out'
    assert main(again) == EXIT_DONE
    before = set(times(out))
    at = again.index('--custom-parcellation')
    without = [*again[:at], *again[at + 5 :]]
    without.remove('--compute-roi-disconnection')
    assert main([*without, '--overwrite']) == EXIT_DONE
    assert set(times(out)) == before
    assert main([*without, '--overwrite', '--tck-upsample', '2']) == EXIT_DONE
    gone = before - set(times(out))
    assert gone
    assert all('atlas-parts' in name for name in gone)
    assert not any('atlas-parts' in name for name in times(out))
    assert main(['check', str(out)]) == EXIT_DONE


def test_a_mask_that_fails_with_one_tractogram_is_not_combined(again, tmp_path, capsys):
    write_cohort(tmp_path, 2)  # the same first mask, and a second one
    out = tmp_path / 'out'
    name = f'sub-02_label-lesion_method-snm_space-{SPACE}_desc-disconnectionpct.nii.gz'
    (out / 'tractogram-other/sub-02/anat' / name / 'in the way').mkdir(parents=True)
    # the folder makes it a dataset of several
    assert main(again) == EXIT_FAILED
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith('lacuna: other: ') and name in line]
    assert [lesion.subject for lesion in lacuna.load_results(out)] == ['01']
    assert {each.subject for each in lacuna.load_results(out / 'tractogram-toy')} == {'01', '02'}
    (row,) = (out / 'logs/failed_masks.tsv').read_text().splitlines()[1:]
    assert 'sub-02' in row
    assert 'with other' in row
    assert main(['collect', str(out), '--no-report']) == EXIT_FAILED
    table = pd.read_csv(next(out.glob('group_*spread_stats.tsv')), sep='\t')
    assert table['tractograms'].tolist()[0] == 2
    assert table['tractograms'].isna().tolist() == [False, True]
    shutil.rmtree(out / 'tractogram-other/sub-02')
    assert main(again) == EXIT_DONE
    assert len(lacuna.load_results(out)) == 2
    assert not (out / 'logs/failed_masks.tsv').exists()


def test_commands_on_what_is_over_tractograms(again, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main([*again, '--dry-run']) == EXIT_DONE
    assert not out.exists()
    assert main(again) == EXIT_DONE
    assert main(['run', 'snm', again[2], again[3], '--config', again[3], '--nprocs', '1']) == EXIT_DONE
    assert '(0 now)' in capsys.readouterr().out
    assert main(['collect', str(out)]) == EXIT_DONE
    assert main(['collect', str(out / 'tractogram-toy'), '--no-report']) == EXIT_DONE
    tables = {path.name.partition('method-snm_')[2] for path in out.glob('group_*.tsv')}
    assert tables == {
        'atlas-bundles_desc-disconnectionspread_bundlestats.tsv',
        'atlas-parts_desc-disconnectionmeanpct_parcelstats.tsv',
        'atlas-parts_desc-disconnectionsdpct_parcelstats.tsv',
        'desc-disconnectionspread_stats.tsv',
    }
    found = lacuna.load_results(out)
    page, summary = (out / 'group.html').read_text(encoding='utf-8'), found[0].summary
    for key, digits in (('streamlines_disconnected_pct', 2), ('disconnection_mean_pct', 1)):
        mean, sd = (summary[f'{key}_{what}'] for what in ('mean', 'sd'))
        assert f'>{mean:,.{digits}f} ± {sd:,.{digits}f}</td>' in page
    assert found.table('parcelmean')['left'].tolist() == [found[0].parcels('parts')['left']]
    assert found.table('bundlemean')['all'].tolist() == [found[0].bundles()['mean']['all']]
    for kind, values in (('parcels', found[0].parcels('parts')), ('bundles', found[0].bundles()['mean'])):
        (features,) = read_features({'sub-01': found[0]}, kind)
        np.testing.assert_array_equal(features.values.loc['sub-01'], values)
    capsys.readouterr()
    assert main(['slurm', '--jobs', '2', *again[2:-8]]) == EXIT_DONE
    assert capsys.readouterr().out.count('--connectome-path') == 2


def test_the_report_gives_the_spread(made, tmp_path):
    out = tmp_path / 'out'
    shutil.copytree(made / 'out', out)
    (out / 'tractogram-toy/sub-01.html').touch()
    assert main(['report', str(out), '--report', 'light']) == EXIT_DONE
    page = (out / 'sub-01.html').read_text()
    lesion = results(out)
    for key in ('mean', 'sd'):
        assert f'{lesion.summary[f"streamlines_disconnected_pct_{key}"]:.2f}' in page
    pooled = pd.concat([lesion.bundles(), lesion.parcel_spread('parts')]).query('mean > 0')['sd']
    assert f'{np.sqrt((pooled**2).mean()):.1f} points' in page
    figures = {
        path.name.partition('desc-')[2].partition('_')[0] for path in (out / 'sub-01/figures').iterdir()
    }
    assert {'meanmap', 'sdmap', 'bundlespread', 'parcelspread', 'spread'} <= figures
    # pages that are there are linked
    assert [f'tractogram-{label}/sub-01.html' in page for label in LABELS] == [False, True]
    assert is_current(out, '01', viewer=False)


def test_what_cannot_be(again, tmp_path, capsys):
    """Each is refused in one line, before anything is written."""
    copy = tmp_path / 'copy/o_ther.tck'
    copy.parent.mkdir()
    shutil.copyfile(tmp_path / 'other.tck', copy)
    for words, named in (
        (connectomes(copy), ('o_ther.tck', 'other.tck')),
        (['--bundles', tmp_path / 'toy_bundles.tsv'], ('--bundles',)),
        (['--connectome-weights', tmp_path / 'toy_bundles.tsv'], ('--connectome-weights',)),
        (connectomes(tmp_path / 'missing.tck'), ('missing.tck',)),
    ):
        assert main([*again, *map(str, words)]) == EXIT_USAGE
        (line,) = capsys.readouterr().err.splitlines()
        assert all(name in line for name in named)
        assert not (tmp_path / 'out').exists()
    assert main([*again, '--bundles', 'none']) == EXIT_DONE
    settings = {**SETTINGS, 'custom_parcellations': [atlas(tmp_path)]}
    with pytest.raises(InputError, match='other, toy'):
        lacuna.run(tmp_path / 'bids', tmp_path / 'out', connectome_path=tmp_path / 'toy.tck', **settings)
    tracks = [tmp_path / f'{label}.tck' for label in LABELS]
    lacuna.run(tmp_path / 'bids', tmp_path / 'single', connectome_path=tracks[:1], **settings)
    with pytest.raises(InputError, match='single'):
        lacuna.run(tmp_path / 'bids', tmp_path / 'single', connectome_path=tracks, **settings)


def test_parts_of_a_cohort_agree(again, tmp_path):
    """Two jobs of a cluster, each with its participants, give what one run gives."""
    write_cohort(tmp_path, 3)
    for chunk in ('1/2', '2/2'):
        assert main([*again, '--chunk', chunk]) == EXIT_DONE
    chunks = contents(tmp_path / 'out')
    shutil.rmtree(tmp_path / 'out')
    assert main(again) == EXIT_DONE
    assert contents(tmp_path / 'out') == chunks


@pytest.mark.slow
@pytest.mark.shared
def test_real_tractograms(shared, unpacked, common_cache, tmp_path, monkeypatch):  # noqa: ARG001
    """A real lesion with HCP842 and with DSI Studio's adult atlas, which is moved to the space of the lesion."""
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(shared / 'data/templateflow'))
    mask = tmp_path / f'sub-04_space-{SPACE}_label-lesion_mask.nii.gz'
    shutil.copyfile(shared / 'data/lesions/LQT/ExampleLesion4.nii.gz', mask)
    paths = []
    for name, space in (('HCP842', SPACE), ('ICBM152_adult', 'MNI152NLin2009aAsym')):
        paths.append(tmp_path / f'{name}.tck')
        paths[-1].symlink_to(unpacked(name))
        paths[-1].with_suffix('.json').write_text(f'{{"Space": "{space}"}}')
    settings = {**SETTINGS, 'parcel_atlases': 'schaefer2018parcels100networks7'}
    assert lacuna.run(mask, tmp_path / 'out', connectome_path=paths, **settings).exit_code == EXIT_DONE
    each = []
    for path in paths:
        label = path.stem.replace('_', '')
        alone = tmp_path / 'alone' / label
        lacuna.run(mask, alone, connectome_path=path, **settings)
        assert contents(tmp_path / f'out/tractogram-{label}') == contents(alone)
        each.append(results(alone))
    over = results(tmp_path / 'out')
    maps = np.stack([lesion.map.get_fdata() for lesion in each])
    np.testing.assert_array_equal(over.map.get_fdata(), maps.mean(axis=0).astype(np.float32))
    sd = nb.load(over.path('sd_map')).get_fdata()
    np.testing.assert_array_equal(sd, maps.std(axis=0, ddof=1).astype(np.float32))
    parcels = pd.DataFrame([lesion.parcels(settings['parcel_atlases']) for lesion in each])
    spread = over.parcel_spread(settings['parcel_atlases'])
    np.testing.assert_allclose(spread['mean'], parcels.mean(), rtol=1e-14)
    np.testing.assert_allclose(spread['sd'], parcels.std(), rtol=1e-10, atol=1e-12)
    assert spread['n'].tolist() == parcels.notna().sum().tolist()
    assert Target('spread_bundles', 'bundles') not in over.files
    assert sidecar_path(over.map_path).is_file()
