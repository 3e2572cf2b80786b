"""What is said of an analysis: power, doubts and the method."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import resources

import numpy as np
import pandas as pd
import pytest
from helpers.score_results import percentages, write_cohort_results

import lacuna
from lacuna.statistics.univariate import least_squares
from lacuna.statistics.words import doubts, methods, power


@pytest.fixture(scope='module')
def cohort():
    rng = np.random.default_rng(0)
    ids = [f'{i:02d}' for i in range(60)]
    cut = pd.DataFrame(
        np.where(rng.random((60, 4)) < 0.5, 0, rng.uniform(0, 100, (60, 4))), ids, list('abcd')
    )
    return (
        cut,
        pd.DataFrame({'score': rng.normal(size=60), 'zero': 0.0}, ids),
        pd.Series(rng.uniform(1e3, 1e5, 60), 'sub-' + pd.Index(ids)),
    )


def analysed(cohort, score=None, **options):
    cut, scores, volumes = cohort
    scores = scores if score is None else scores.assign(score=score)
    options = {'volume': volumes, 'permutations': 99, 'cv': 'none', **options}
    return lacuna.stats(cut, scores, 'score', **options)


def test_power_is_how_often_an_effect_is_found():
    rng = np.random.default_rng(1)
    affected = np.zeros((50, 1))
    affected[:12] = 1
    t = [
        abs(least_squares(rng.normal(size=50) + 1.0 * affected[:, 0], affected, np.empty((50, 0))).t[0])
        for _ in range(2000)
    ]
    found = power(np.array([12]), 50, 48, 2.5, 1.0)[0]
    assert np.mean(np.array(t) > 2.5) == pytest.approx(found, abs=0.03)
    curve = power(np.arange(60), 59, 55, 5.5, 1.2)
    assert np.isfinite(curve).all()
    assert curve[0] < 0.001
    np.testing.assert_allclose(curve, curve[::-1], atol=1e-9)


def test_doubts(cohort):
    assert doubts(analysed(cohort)) == []
    said = ' '.join(doubts(analysed(cohort, np.repeat([0.0, 5, 6], [30, 20, 10]))))
    assert '50 %' in said
    assert '17 %' in said
    assert '--rank' in said
    skewed = np.exp(np.random.default_rng(2).normal(size=60) * 1.5)
    assert 'skewed' in doubts(analysed(cohort, skewed))[0]
    assert doubts(analysed(cohort, skewed, rank=True)) == []
    assert 'lesion volume' in doubts(analysed(cohort, volume=False))[0]
    assert '19' in doubts(analysed(cohort, permutations=18))[0]
    few = tuple(part[:40] if i < 2 else part for i, part in enumerate(cohort))
    assert '40' in doubts(analysed(few))[0]
    like = cohort[0].assign(a=np.log(cohort[2].to_numpy()) + 0.1 * cohort[0]['b'] / 100)
    assert '25 %' in doubts(analysed((like, *cohort[1:])))[0]


def test_a_volume_of_the_table_of_scores_is_no_logarithm(cohort):
    cut, scores, volumes = cohort
    own = (cut, scores.assign(lesionvolume=volumes.to_numpy()), volumes)
    text = methods(analysed(own, covariates='lesionvolume'))
    assert '`lesionvolume`' in text
    assert 'logarithm' not in text
    assert 'logarithm' in methods(analysed(cohort))


def test_lesions_of_several_sessions_are_named(tmp_path):
    values = percentages(60)
    for session, which in (('01', slice(45)), ('02', slice(45, 60))):
        write_cohort_results(tmp_path, values[which], sessions=(session,))
    scores = pd.DataFrame({'score': np.random.default_rng(0).normal(size=60)}, values.index)
    given = {'permutations': 19, 'cv': 'none'}
    (said,) = doubts(lacuna.stats(tmp_path, scores, 'score', **given))
    assert '01: 45, 02: 15' in said
    selected = doubts(lacuna.stats(tmp_path, scores, 'score', pattern='*_ses-01_*', **given))
    assert [each for each in selected if 'sessions' in each] == []


def test_ranks_are_not_advised_for_two_scores(cohort):
    assert doubts(analysed(cohort, np.repeat([0.0, 1.0], 30))) == []


def test_the_method_names_what_was_done_and_all_its_citations_exist(cohort):
    known = set(
        re.findall(r'@\w+\{([^,]+),', resources.files('lacuna').joinpath('data/statistics.bib').read_text())
    )
    cut, *_ = cohort
    edges = cut.set_axis(pd.MultiIndex.from_tuples([('a', 'b'), ('b', 'c'), ('a', 'c'), ('c', 'd')]), axis=1)
    texts = [
        methods(analysed(cohort)),
        methods(analysed(cohort, test='brunner-munzel', volume=False)),
        methods(analysed((edges, *cohort[1:]), features='edges', cv='3x1', compare=cut)),
    ]
    tfce = analysed(cohort)
    kind = replace(tfce.families[0].features, kind='voxels')
    family = replace(tfce.families[0], features=kind)
    texts.append(methods(replace(tfce, families=(family,), settings=replace(tfce.settings, tfce=True))))
    cited = {
        key
        for text in texts
        for group in re.findall(r'\[(@[^\]]+)\]', text)
        for key in re.findall(r'@([\w]+)', group)
    }
    assert cited == known
    assert 'freedman_lane' in texts[0]
    assert 'freedman_lane' not in texts[1]
    assert 'brunner_munzel' in texts[1]
    assert '60 participants' in texts[0]
