"""Who is in an analysis, who is left out with which reason, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lacuna.errors import InputError
from lacuna.statistics.design import make_design, read_scores

IDS = [f'sub-{i:03d}' for i in range(1, 15)]


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {'nihss': rng.integers(0, 20, 14), 'age': rng.integers(30, 80, 14), 'sex': ['F', 'M'] * 7}, index=IDS
    ).astype(str)


def write(table, path):
    table.rename_axis('participant_id').to_csv(path, sep='\t')
    return path


def test_ids_are_text_with_or_without_sub(tmp_path, table):
    path = write(table.set_axis([each.removeprefix('sub-') for each in IDS]), tmp_path / 'scores.tsv')
    assert list(read_scores(path).index) == IDS
    assert list(read_scores(table).index) == IDS
    comma = tmp_path / 'scores.csv'
    table.rename_axis('participant_id').reset_index().to_csv(comma, index=False)
    pd.testing.assert_frame_equal(read_scores(comma), table.rename_axis('participant_id'))


def test_who_is_left_out_and_why(tmp_path, table):
    table.loc['sub-002', 'age'] = '89+'
    table.loc['sub-003', 'nihss'] = 'n/a'
    volumes = dict.fromkeys(IDS, 1000.0) | {'sub-005': 2000.0}
    results = [each for each in IDS if each != 'sub-004'] + ['sub-099']
    design = make_design(
        write(table, tmp_path / 'scores.tsv'), 'nihss', ['age'], results, volumes=volumes,
        reasons={'sub-004': 'no map'},
    )  # fmt: skip
    reasons = design.left_out.set_index('participant_id')['reason']
    assert list(reasons.index) == ['sub-002', 'sub-003', 'sub-004', 'sub-099']
    assert '89+' in reasons['sub-002']
    assert 'age' in reasons['sub-002']
    assert 'nihss' in reasons['sub-003']
    assert 'n/a' in reasons['sub-003']
    assert reasons['sub-004'] == 'no map'
    assert design.participants == [each for each in IDS if each not in reasons.index]
    assert list(design.covariates) == ['age', 'lesionvolume']
    assert design.covariates.loc['sub-005', 'lesionvolume'] == np.log(2000)
    assert design.outcome['sub-001'] == float(table.loc['sub-001', 'nihss'])
    assert design.degrees_of_freedom == 11 - 4


def test_ranks_and_no_volume(table):
    design = make_design(table, 'nihss', [], IDS, rank=True)
    assert design.covariates.shape == (14, 0)
    expected = table['nihss'].astype(float).rank()
    np.testing.assert_array_equal(design.outcome, expected)


@pytest.mark.parametrize(
    ('change', 'options', 'words'),
    [
        ({}, {'outcome': 'mrs'}, ('mrs', 'nihss')),
        ({}, {'covariates': ['sex']}, ('sex', "'F'")),
        (
            {'sex': lambda t: t['sex'].where(t.index != IDS[0], 'n/a')},
            {'covariates': ['sex']},
            ('sex', "'M'"),
        ),
        ({}, {'covariates': ['nihss']}, ('nihss',)),
        ({'copy': lambda t: 2 * t['nihss'].astype(float) + 1}, {'covariates': ['copy']}, ('copy', 'nihss')),
        (
            {'total': lambda t: t['nihss'].astype(float) + 2 * t['age'].astype(float)},
            {'outcome': 'total', 'covariates': ['nihss', 'age']},
            ('nihss', 'age', 'total'),
        ),
        ({'nihss': '4'}, {}, ('nihss', '4')),
        ({'age': '50'}, {'covariates': ['age']}, ('age', '50')),
        ({'nihss': 'n/a'}, {}, ('nihss', 'n/a')),
        ({'old': lambda t: -t['age'].astype(float)}, {'covariates': ['age', 'old']}, ('age', 'old')),
        ({}, {'participants': IDS[:9]}, ('9', '10')),
        ({}, {'participants': ['sub-x', 'sub-y']}, ('sub-x', 'sub-001')),
        ({}, {'covariates': ['lesionvolume']}, ('lesionvolume',)),
    ],
)
def test_bad_input_is_refused_in_one_line(table, change, options, words):
    table = table.assign(**change)
    given = {'outcome': 'nihss', 'covariates': [], 'participants': IDS, **options}
    with pytest.raises(InputError) as refused:
        make_design(table, **given)
    assert '\n' not in str(refused.value)
    assert [word for word in words if word not in str(refused.value)] == []


def test_a_volume_column_of_the_table_is_taken_as_it_is(table):
    table['lesionvolume'] = [str(i) for i in range(14)]
    design = make_design(table, 'nihss', ['lesionvolume'], IDS, volumes=dict.fromkeys(IDS, 5.0))
    assert list(design.covariates['lesionvolume']) == list(range(14))
    assert not design.log_volume
    assert make_design(table, 'nihss', [], IDS, volumes=dict.fromkeys(IDS, 5.0) | {IDS[0]: 6.0}).log_volume


@pytest.mark.parametrize(
    'content',
    [
        'nihss\n3\n', 'participant_id\tnihss\nsub-1\t3\n1\t4\n', '\0', 'a\tb\n1\t2\t3\t4\n', '',
        'participant_id\tnihss\tnihss\nsub-1\t3\t4\n', 'participant_id\tnihss\nsub-1\t3\n\t4\n',
    ],
)  # fmt: skip
def test_a_table_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / 'scores.tsv'
    path.write_text(content)
    with pytest.raises(InputError, match=r'scores\.tsv'):
        read_scores(path)
    with pytest.raises(InputError, match='missing'):
        read_scores(tmp_path / 'missing.tsv')


def test_a_column_of_a_frame_that_is_there_twice_is_refused(table):
    with pytest.raises(InputError, match='nihss'):
        read_scores(pd.concat([table, table[['nihss']]], axis=1))


def test_what_only_python_reads_as_a_number_is_none(tmp_path, table):
    table.loc['sub-002', 'nihss'] = '1_0'
    design = make_design(write(table, tmp_path / 'scores.tsv'), 'nihss', [], IDS)
    assert list(design.left_out['participant_id']) == ['sub-002']
    assert '1_0' in design.left_out['reason'].iloc[0]


def test_volumes_are_found_with_or_without_sub(table):
    volumes = {id_.removeprefix('sub-'): 10.0 + i for i, id_ in enumerate(IDS)}
    design = make_design(table, 'nihss', [], IDS, volumes=pd.Series(volumes))
    assert list(design.covariates['lesionvolume']) == list(np.log(10.0 + np.arange(14)))


def test_decimal_commas(tmp_path, table):
    """Spreadsheets write them between semicolons; elsewhere the message says what to do."""
    table['nihss'] = [f'{i},5' for i in range(14)]
    path = tmp_path / 'scores.csv'
    table.rename_axis('participant_id').to_csv(path, sep=';')
    assert list(make_design(path, 'nihss', [], IDS).outcome) == [i + 0.5 for i in range(14)]
    with pytest.raises(InputError, match='point'):
        make_design(write(table, tmp_path / 'scores.tsv'), 'nihss', [], IDS)
