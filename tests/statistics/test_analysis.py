"""The whole way from results and scores to tables and maps."""

from __future__ import annotations

import csv
import json
import warnings

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from helpers.score_results import REGIONS, percentages, write_cohort_results

import lacuna
from lacuna.cli.parser import main
from lacuna.errors import InputError
from lacuna.images.overlap import covered_voxels
from lacuna.statistics.family import Settings
from lacuna.statistics.write import write_statistics

COUNT = 40


@pytest.fixture(scope='module')
def cohort(tmp_path_factory):
    """Results of 40 participants, and a table of scores that follow the second parcel."""
    root, values = tmp_path_factory.mktemp('cohort') / 'out', percentages(COUNT)
    facts = write_cohort_results(root, values)
    rng = np.random.default_rng(5)
    facts['age'] = rng.integers(30, 90, COUNT)
    facts['nihss_24h'] = (
        0.1 * values['LH_SomMot_1'] + np.log(facts['volume']) + 0.02 * facts['age'] + rng.normal(size=COUNT)
    )
    scores = root.parent / 'scores.tsv'
    facts.drop(columns='volume').rename_axis('participant_id').to_csv(scores, sep='\t')
    return root, scores, values, facts


def test_tables_of_results(cohort):
    root, scores, values, facts = cohort
    found = lacuna.stats(
        root,
        scores,
        'nihss_24h',
        covariates=['age'],
        features=['parcels', 'edges'],
        permutations=199,
        cv='none',
    )
    assert [family.kind for family in found.families] == ['parcels', 'edges']
    table = found['parcels'].table
    assert tuple(table.index) == REGIONS
    design = np.column_stack([values['LH_Vis_1'], facts['age'], np.log(facts['volume']), np.ones(COUNT)])
    fit = sm.OLS(facts['nihss_24h'].to_numpy(), design).fit()
    assert table.loc['LH_Vis_1', 't'] == pytest.approx(fit.tvalues[0], abs=1e-10)
    assert table.loc['LH_Vis_1', 'p'] == pytest.approx(fit.pvalues[0], abs=1e-10)
    assert table['n_affected'].to_dict() == (values > 0).sum().to_dict()
    assert table['t'].abs().idxmax() == 'LH_SomMot_1'
    assert table.loc['LH_SomMot_1', 'p_fwe'] == 1 / 200
    assert (table['p_fwe'] >= 1 / 200).all()
    edges = found['edges']
    assert len(edges.table) == 10
    # all four edges of the parcel, and no other
    strong = edges.table[edges.table['component'] == 1].index
    assert {name for pair in strong for name in pair} >= {'LH_SomMot_1'}
    assert edges.components.loc[1, 'size'] == len(strong) >= 3
    assert edges.components.loc[1, 'p_fwe'] == edges.table.loc[strong[0], 'p_component'] <= 0.05


def test_the_volume_is_a_covariate_unless_it_is_left_out(cohort):
    root, scores, *_ = cohort
    assert list(lacuna.stats(root, scores, 'age', permutations=1, cv='none').design.covariates) == [
        'lesionvolume'
    ]
    without = lacuna.stats(root, scores, 'age', volume=False, permutations=1, cv='none')
    assert without.design.covariates.shape == (COUNT, 0)


def test_maps_hold_the_numbers_of_the_voxels(cohort):
    root, scores, values, _ = cohort
    found = lacuna.stats(
        root, scores, 'nihss_24h', features='voxels', permutations=99, cv='none', min_affected=26
    )['voxels']
    often = np.flatnonzero((values > 0).sum() >= 26)
    assert (len(found.table), found.too_few) == (len(often), len(REGIONS) - len(often))
    for stat, column, outside in (
        ('t', 't', 0),
        ('p', 'p', 1),
        ('pfwe', 'p_fwe', 1),
        ('naffected', 'n_affected', 0),
    ):
        data = found.images[stat].get_fdata()
        np.testing.assert_allclose(data.flat[often], found.table[column], rtol=1e-6)
        assert (np.delete(data.ravel(), often) == outside).all()


def test_voxels_in_clusters(cohort):
    root, scores, *_ = cohort
    found = lacuna.stats(root, scores, 'nihss_24h', features='voxels', permutations=49, cv='none', tfce=True)[
        'voxels'
    ]
    place = list(REGIONS).index('LH_SomMot_1')
    assert found.images['tfce'].get_fdata().flat[place] == pytest.approx(found.table['tfce'].abs().max())
    assert found.images['ptfce'].get_fdata().flat[place] == pytest.approx(1 / 50)


def test_a_voxel_that_fits_perfectly_stays_the_largest_in_clusters(tmp_path):
    values = percentages(12)
    affected = np.arange(12) < 2
    values['LH_Vis_1'] = np.where(affected, 100.0, 0)
    write_cohort_results(tmp_path, values)
    scores = pd.DataFrame({'score': affected.astype(float)}, values.index)
    found = lacuna.stats(
        tmp_path, scores, 'score', features='voxels', volume=False, permutations=150, cv='none', tfce=True
    )['voxels']
    perfect = np.isinf(found.largest).sum()
    assert 0 < perfect < 10  # one of 66 is expected
    row = found.table.iloc[0]
    assert row[['t', 'tfce']].tolist() == [np.inf, np.inf]
    assert row['p_fwe'] == row['p_tfce'] == (1 + perfect) / 151
    assert (found.table['p_tfce'][1:] > row['p_tfce']).all()


def test_equal_features_are_tested_once(cohort):
    _, scores, values, facts = cohort
    twice = pd.concat([values, values.add_suffix('_again')], axis=1)
    found = lacuna.stats(
        twice, scores, 'nihss_24h', volume=facts['volume'].add_prefix('sub-'), permutations=99, cv='none'
    )
    family = found.families[0]
    assert (len(family.table), family.distinct) == (10, 5)
    np.testing.assert_array_equal(family.table[:5], family.table[5:])
    once = lacuna.stats(
        values, scores, 'nihss_24h', volume=facts['volume'].add_prefix('sub-'), permutations=99, cv='none'
    )
    np.testing.assert_array_equal(family.table['p_fwe'][:5], once.families[0].table['p_fwe'])


def test_few_affected_are_compared_by_permutations(cohort):
    _, scores, values, _ = cohort
    rare = pd.DataFrame({'rare': np.zeros(COUNT), 'common': (values['LH_Vis_1'] > 0).astype(float)})
    rare.iloc[:5, 0] = 1
    found = lacuna.stats(
        rare, scores, 'nihss_24h', volume=False, test='brunner-munzel', permutations=99, cv='none'
    )
    table = found.families[0].table
    assert table.loc['rare', 'n_affected'] == 5
    assert (table.loc['rare', 'p'] * 100) % 1 == pytest.approx(0, abs=1e-9)
    assert table.loc['common', 'p'] * 100 % 1 > 1e-6


@pytest.mark.parametrize('test', ['ols', 'brunner-munzel'])
def test_units_of_scores_and_features_do_not_matter(cohort, test):
    _, _, values, facts = cohort
    given = {'test': test, 'covariates': 'age', 'volume': False, 'permutations': 99, 'cv': 'none'}
    edges = values.set_axis(pd.MultiIndex.from_tuples([('a', each) for each in REGIONS]), axis=1)
    table = lacuna.stats(edges, facts, 'nihss_24h', features='edges', **given)['edges'].table
    assert table.notna()[['t', 'p', 'p_fwe', 'q', 'effect']].all(axis=None)
    for unit in (1e-13, 1e13):
        scaled = facts.assign(nihss_24h=unit * facts['nihss_24h'])
        found = lacuna.stats(unit * edges, scaled, 'nihss_24h', features='edges', **given)['edges'].table
        pd.testing.assert_frame_equal(found, table, rtol=1e-7)


def test_scores_that_a_feature_separates_completely(cohort):
    """The statistic of Brunner and Munzel is infinite then; its p comes from permutations, too."""
    _, _, values, facts = cohort
    affected = values['LH_Vis_1'] > 0
    assert min(affected.sum(), COUNT - affected.sum()) >= 9
    apart = facts.assign(nihss_24h=facts['nihss_24h'] - 100 * affected)
    found = lacuna.stats(
        values, apart, 'nihss_24h', volume=False, test='brunner-munzel', permutations=99, cv='none'
    )
    row = found['parcels'].table.loc['LH_Vis_1']
    assert row[['t', 'p', 'p_fwe', 'effect']].tolist() == [-np.inf, 0.01, 0.01, -0.5]


def test_features_that_affect_everybody_cannot_be_compared_by_ranks(cohort):
    _, _, values, facts = cohort
    values = values.assign(everybody=np.arange(1.0, COUNT + 1), same=5.0, nobody=0.0)
    values['but_one'] = values['everybody'].where(values.index != '07', 0)
    values['two'] = (np.arange(COUNT) < 2).astype(float)
    values['one'] = (np.arange(COUNT) < 1).astype(float)
    given = {'volume': False, 'min_affected': 1, 'permutations': 19, 'cv': 'none'}
    ranks = lacuna.stats(values, facts, 'nihss_24h', test='brunner-munzel', **given)['parcels']
    assert list(ranks.table.index) == [*REGIONS, 'two']
    assert (ranks.fewest, ranks.too_few, ranks.too_many, ranks.constant) == (2, 2, 3, 0)
    least_squares = lacuna.stats(values, facts, 'nihss_24h', **given)['parcels']
    assert list(least_squares.table.index) == [*REGIONS, 'everybody', 'but_one', 'two', 'one']
    assert (least_squares.too_few, least_squares.too_many, least_squares.constant) == (1, 0, 1)


def test_the_seed_decides(cohort):
    root, scores, *_ = cohort
    first, again, other = (
        lacuna.stats(root, scores, 'nihss_24h', permutations=120, cv='none', seed=seed, nprocs=nprocs)[
            'parcels'
        ]
        for seed, nprocs in ((3, 1), (3, 2), (4, 1))
    )
    pd.testing.assert_frame_equal(first.table, again.table, check_exact=True)
    assert not np.array_equal(first.largest, other.largest)


def test_files_and_their_sidecars(cohort, tmp_path):
    root, scores, values, _ = cohort
    found = lacuna.stats(
        root, scores, 'nihss_24h', features=['parcels', 'edges', 'voxels'], permutations=99, cv='none', seed=7
    )
    paths = write_statistics(found, tmp_path, root)
    start, parcels = 'group_ses-01_label-lesion_method-snm', 'atlas-toy_desc-nihss24hparcels_parcelstats.tsv'
    names = {path.name for path in paths}
    assert f'{start}_{parcels}' in names
    assert f'{start}_atlas-toy_desc-nihss24hedges_edgestats.tsv' in names
    for stat in ('t', 'p', 'pfwe'):
        assert f'{start}_space-MNI152NLin6Asym_desc-nihss24hvoxels_stat-{stat}_statmap.nii.gz' in names
    table = pd.read_csv(tmp_path / f'{start}_{parcels}', sep='\t', index_col='region')
    # older pandas does not read every digit back
    pd.testing.assert_frame_equal(table, found['parcels'].table, rtol=1e-14)
    about = json.loads((tmp_path / f'{start}_{parcels}'.replace('.tsv', '.json')).read_text())
    assert about['Covariates'] == ['lesionvolume']
    assert (about['Outcome'], about['Participants'], about['Permutations'], about['Seed']) == (
        'nihss_24h',
        COUNT,
        99,
        7,
    )
    assert about['Atlas']['Name'] == 'toy'
    image = nb.load(tmp_path / f'{start}_space-MNI152NLin6Asym_desc-nihss24hvoxels_stat-t_statmap.nii.gz')
    np.testing.assert_allclose(
        image.get_fdata().flat[: len(values.columns)], found['voxels'].table['t'], rtol=1e-6
    )
    for path in paths:
        assert path.with_name(path.name.split('.')[0] + '.json').is_file()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    write_statistics(found, tmp_path, root)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_command(cohort, tmp_path, lacuna_here):
    root, scores, *_ = cohort
    lines = scores.read_text().splitlines()
    lines[1] = lines[1].rpartition('\t')[0] + '\tunknown'
    table = tmp_path / 'participants.tsv'
    table.write_text('\n'.join([*lines, 'sub-99\t50\t3.5', '']))
    out = tmp_path / 'stats'
    done = lacuna_here(
        'stats', root, out, '--scores', table, '--outcome', 'nihss_24h', '--covariates', 'age', 'lesionvolume',
        '--permutations', 99, '--no-volume', '-v',
    )  # fmt: skip
    assert done.returncode == 2
    assert 'lesionvolume' in done.stderr
    done = lacuna_here(
        'stats',
        root,
        out,
        '--scores',
        table,
        '--outcome',
        'nihss_24h',
        '--covariates',
        'age',
        '--cv',
        'none',
        '--permutations',
        99,
    )
    assert done.returncode == 0, done.stderr
    assert f'{COUNT - 1} participants (2 left out)' in done.stdout
    (left_out,) = out.glob('group_*_desc-nihss24h_leftout.tsv')
    with left_out.open(newline='') as stream:
        rows = {row['participant_id']: row['reason'] for row in csv.DictReader(stream, delimiter='\t')}
    assert rows.keys() == {'sub-01', 'sub-99'}
    assert "'unknown'" in rows['sub-01']
    (design,) = out.glob('group_*_desc-nihss24h_design.tsv')
    used = pd.read_csv(design, sep='\t', index_col='participant_id')
    assert list(used) == ['nihss_24h', 'age', 'lesionvolume']
    assert 'logarithm' in json.loads(design.with_suffix('.json').read_text())['lesionvolume']['Description']
    assert len(used) == COUNT - 1


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--permutations', '0'], ['permutations']),
        (['--min-affected', '200%'], ['min-affected']),
        (['--min-affected', 'many'], ['min-affected']),
        (['--min-affected', '100%'], ['parcels', '40']),
        (['--nprocs', '0'], ['nprocs']),
        (['--outcome', 'mrs'], ['mrs']),
        (['--seed', '-1'], ['seed']),
        (['--tfce'], ['voxels']),
        (['--session-id', '07'], ['no results']),
        (['--scores', 'nowhere.tsv'], ['nowhere.tsv']),
        (['--features', 'bundles'], ['bundles']),
        (['--cv', '10'], ['--cv', '10x10']),
        (['--cv', '50x1'], ['--cv', '40']),
        (['--compare', 'load'], ['--compare load', '--cv none']),
        (['--compare', 'load', '--cv', '2x1'], ['load']),
        (['--compare', 'parcels', '--cv', '2x1'], ['--compare parcels', '--features']),
    ],
)
def test_bad_options_end_in_one_line(cohort, tmp_path, lacuna_here, options, words):
    root, scores, *_ = cohort
    given = ['--scores', scores, '--outcome', 'nihss_24h', '--permutations', '9', '--cv', 'none']
    done = lacuna_here('stats', root, tmp_path / 'stats', *given, *options)
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
    assert [word for word in words if word not in done.stderr] == []
    assert not (tmp_path / 'stats').exists()


def test_what_cannot_be_done_is_refused_before_any_permutation(cohort, tmp_path, monkeypatch, capsys):
    root, scores, *_ = cohort
    monkeypatch.setattr('lacuna.statistics.univariate.in_lots', lambda *_, **__: pytest.fail('permuted'))
    (taken := tmp_path / 'bids').mkdir()
    (taken / 'dataset_description.json').write_text('{"Name": "x"}')
    given = ['--scores', str(scores), '--outcome', 'nihss_24h']
    for folder, options, word in (
        (taken, [], str(taken)),
        (tmp_path / 'stats', ['--cv', '50x1'], '--cv 50x1'),
    ):
        assert main(['stats', str(root), str(folder), *given, *options]) == 2
        assert word in capsys.readouterr().err


def test_earlier_results_with_other_settings_are_named(cohort, tmp_path, capsys):
    root, scores, *_ = cohort
    given = [
        '--scores',
        str(scores),
        '--outcome',
        'nihss_24h',
        '--cv',
        'none',
        '--permutations',
        '19',
        '--no-report',
    ]

    def said(*options):
        assert main(['stats', str(root), str(tmp_path / 'stats'), *given, *options]) == 0
        return capsys.readouterr().err

    (tmp_path / 'stats').mkdir()
    (tmp_path / 'stats/group_label-lesion_method-snm_desc-summarystatistics_stats.json').write_text('{}')
    (tmp_path / 'stats/dataset_description.json').write_text('{"GeneratedBy": [{"Name": "Lacuna"}]}')
    assert 'group_' not in said('--features', 'parcels')
    assert 'desc-nihss24h' not in said('--features', 'edges')  # with the same settings
    assert 'desc-nihss24hparcels_parcelstats' in said('--features', 'edges', '--rank')
    assert 'desc-nihss24h' not in said('--features', 'parcels', 'edges', '--rank')
    assert 'desc-nihss24hedges' in said('--features', 'edges', '--outcome', 'age')


def test_another_outcome_never_takes_the_place_of_results(cohort, tmp_path, capsys):
    """Letters and digits alone are in file names: `nihss_24h` and `nihss24h` are the same there."""
    root, scores, *_ = cohort
    table = pd.read_csv(scores, sep='\t', dtype=str)
    table['nihss24h'] = table['nihss_24h'].iloc[::-1].to_numpy()
    table.to_csv(tmp_path / 'scores.tsv', sep='\t', index=False)
    out = tmp_path / 'stats'
    given = ['--scores', str(tmp_path / 'scores.tsv'), '--features', 'parcels', '--cv', 'none']
    given += ['--permutations', '19', '--no-report']
    assert main(['stats', str(root), str(out), *given, '--outcome', 'nihss_24h']) == 0
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    capsys.readouterr()
    assert main(['stats', str(root), str(out), *given, '--outcome', 'nihss24h']) == 2
    said = capsys.readouterr().err
    assert said.count('\n') == 1
    assert 'nihss_24h' in said
    assert {path: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    assert main(['stats', str(root), str(out), *given, '--outcome', 'nihss_24h', '--rank']) == 0


def test_a_table_of_results_and_one_covariate_are_taken_as_they_are(cohort):
    root, scores, *_ = cohort
    given = {'volume': False, 'permutations': 9, 'cv': 'none'}
    table = lacuna.load_results(root).table('parcels')
    found = lacuna.stats(table, scores, 'nihss_24h', covariates='age', **given)
    like = lacuna.stats(root, scores, 'nihss_24h', covariates=['age'], **given)
    pd.testing.assert_frame_equal(found['parcels'].table, like['parcels'].table, check_names=False)


def test_atlases_without_a_common_participant_are_named(tmp_path):
    values = percentages(24)
    facts = write_cohort_results(tmp_path, values).assign(score=np.arange(24.0))
    for number in range(13, 25):
        for path in list(tmp_path.glob(f'sub-{number}/**/*_atlas-toy_*')):
            path.rename(path.with_name(path.name.replace('atlas-toy', 'atlas-other')))
    given = {'permutations': 9, 'cv': 'none'}
    with pytest.raises(InputError, match=r'parcels of other, parcels of toy.*--pattern'):
        lacuna.stats(tmp_path, facts, 'score', **given)
    found = lacuna.stats(tmp_path, facts, 'score', pattern='*_atlas-toy_*', **given)
    assert found.design.participants == [f'sub-{number:02d}' for number in range(1, 13)]


def test_the_compared_features_are_of_the_same_atlas(cohort, tmp_path):
    root, scores, *_ = cohort
    found = lacuna.stats(
        root, scores, 'nihss_24h', features=['parcels', 'edges'], compare='parcels', permutations=9, cv='3x1'
    )
    assert [family.compared for family in found.families] == [None, 'parcels of toy']
    (path,) = [
        path for path in write_statistics(found, tmp_path) if path.name.endswith('edges_prediction.json')
    ]
    assert json.loads(path.read_text())['ComparedFeatures'] == 'parcels of toy'


def test_a_frame_needs_volumes(cohort):
    _, scores, values, _ = cohort
    with pytest.raises(InputError, match='volume'):
        lacuna.stats(values, scores, 'nihss_24h')


@pytest.mark.parametrize(
    ('given', 'expected'), [('10%', 19), ('1%', 2), (5, 5), ('5', 5), ('0', 1), ('100%', 184), ('0.1%', 1)]
)
def test_the_fewest_affected(given, expected):
    assert Settings(min_affected=given).fewest(184) == expected


@pytest.mark.shared
def test_the_parcel_behind_the_scores_of_lesymap(shared):
    """66 real lesions with a score that was simulated from the load of parcel 101."""
    scores = pd.read_csv(shared / 'data/reference/lesymap/scores.tsv', sep='\t', dtype=str)
    atlas = nb.load(shared / 'data/reference/lesymap/parcels403.nii.gz')
    labels = np.asarray(atlas.dataobj).astype(int).ravel()
    sizes = np.bincount(labels)
    load, volumes = {}, {}
    for who, name in zip(scores['participant_id'], scores['file'], strict=True):
        mask = nb.load(shared / 'data/lesions/LESYMAP' / name)
        data = np.asarray(mask.dataobj) > 0
        inside = covered_voxels(data, mask.affine, atlas.shape, atlas.affine)
        hit = np.bincount(labels[inside], minlength=len(sizes))
        load[who] = {label: 100 * hit[label] / sizes[label] for label in np.flatnonzero(sizes) if label}
        volumes[who] = float(data.sum())
    frame = pd.DataFrame(load).T
    assert frame.shape == (66, 403)
    for volume in (False, volumes):
        found = lacuna.stats(
            frame, scores, 'score', features='load', volume=volume, permutations=999, cv='none'
        )
        table = found['load'].table
        assert table['t'].abs().idxmax() == 101
        assert table.loc[101, 'p_fwe'] == 1 / 1000


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.usefixtures('common_cache')
def test_the_bundles_behind_the_severity_of_real_strokes(shared, unpacked):
    """184 of 190 patients with NIHSS: the other six are aged '89+'."""
    table = shared / 'data/reference/soop/participants.tsv'
    scores = pd.read_csv(table, sep='\t', dtype=str, keep_default_na=False).set_index('participant_id')
    tractogram = lacuna.Tractogram(unpacked('HCP842'), space='MNI152NLin6Asym')
    known = pd.read_csv(shared / 'data/lesions/lesions.tsv', sep='\t', index_col='file')['volume_ml']
    bundles, volumes = {}, {}
    for who in scores.index[scores['nihss'] != 'n/a']:
        name = f'SOOP/bwsr{who}_lesion.nii.gz'
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # small and odd masks
            lesion = tractogram.disconnect(shared / 'data/lesions' / name, space='MNI152NLin6Asym')
        bundles[who] = lesion.bundles(shared / 'data/tractograms/HCP842.tsv').disconnection
        volumes[who] = 1000 * known[name]
    found = lacuna.stats(
        pd.DataFrame(bundles).T, scores[scores['nihss'] != 'n/a'], 'nihss', covariates=['age'], features='bundles',
        volume=volumes, permutations=999, cv='10x2',
    )  # fmt: skip
    assert len(found.design.participants) == 184
    assert found.left_out['reason'].tolist() == ["age is '89+'"] * 6
    table = found['bundles'].table
    assert (table.loc[['CST_L', 'FPT_L'], 'p_fwe'] < 0.01).all()
    assert set(table['t'].nlargest(2).index) == {'CST_L', 'FPT_L'}
    accuracy = found['bundles'].prediction.accuracy
    assert accuracy.loc['baseline', 'r2'] == pytest.approx(0.19, abs=0.02)
    for model in ('ridge', 'pls'):
        assert accuracy.loc[model, 'gain'] > 0.1
        assert accuracy.loc[model, 'p'] == 1 / 201
        assert accuracy.loc[model, 'mae'] < accuracy.loc['baseline', 'mae']


def test_a_prediction_in_files(cohort, tmp_path):
    root, scores, values, facts = cohort
    volume = facts['volume'].add_prefix('sub-')
    found = lacuna.stats(
        values, scores, 'nihss_24h', volume=volume, permutations=19, cv='5x2', compare=values[['RH_Vis_1']]
    )
    (path,) = [
        path for path in write_statistics(found, tmp_path, root) if path.name.endswith('prediction.json')
    ]
    content = json.loads(path.read_text())
    accuracy = found['parcels'].prediction.accuracy
    assert content['Models']['ridge']['r2'] == accuracy.loc['ridge', 'r2'] > 0.5
    assert content['Models']['ridge']['p'] == 1 / 20
    assert content['MoreThanTheOtherFeatures']['ridge']['p'] < 0.05
    assert content['ComparedFeatures'] == 'other features'
    assert len(content['Predicted']) == COUNT
    assert found['parcels'].table['weight_ridge'].idxmax() == 'LH_SomMot_1'
