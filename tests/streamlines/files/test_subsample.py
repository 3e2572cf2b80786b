"""A random part of a tractogram: ``--fraction F --seed S``."""

import gzip

import numpy as np
import pytest
from helpers.tractograms import peak_of, trk_bytes, write_trx
from scipy.stats import chi2

from lacuna.cli import main
from lacuna.errors import InputError, TractogramError
from lacuna.streamlines.files import bundle_tables, formats, tck
from lacuna.streamlines.subsample import Subsample
from lacuna.utils.files import read_json

COUNT = 203


def numbered(count=COUNT):
    """Streamlines of which each is found again by its first coordinate."""
    return [
        np.array([[number, y, 0.0] for y in range(1 + number % 5)], 'f4') * [0.25, 1, 1]
        for number in range(count)
    ]


def numbers(path):
    points = [
        block[np.cumsum(lengths) - lengths] for block, lengths in tck.iter_blocks(tck.read_header(path))
    ]
    return np.rint(np.concatenate(points)[:, 0] / 0.25).astype(int).tolist()


def expected(fraction, seed, count):
    """The rule, step by step: streamline i is drawn if its number lets enough of the rest be left out."""
    random = np.random.Generator(np.random.PCG64(seed))
    drawn = []
    for number in range(count):
        missing = round(fraction * count) - len(drawn)
        if random.random() * (count - number) < missing:
            drawn.append(number)
    return drawn


@pytest.fixture
def source(tmp_path):
    path = tmp_path / 'all.tck'
    tck.write_tck(path, numbered(), step_size=0.5)
    return path


@pytest.mark.parametrize(('fraction', 'seed'), [(0.1, 1), (0.1, 2), (0.5, 0), (0.77, 3), (1.0, 1)])
def test_rule(source, tmp_path, fraction, seed):
    info = formats.convert(source, tmp_path / 'part.tck', subsample=Subsample(fraction, seed))
    found = numbers(tmp_path / 'part.tck')
    assert found == expected(fraction, seed, COUNT)
    assert info.count == len(found) == round(fraction * COUNT)
    assert found == sorted(set(found))
    assert info.step_size == 0.5


def test_every_streamline_is_as_likely_as_any_other():
    count, trials = 40, 3000
    times = np.sum([Subsample(0.25, seed).draw(count)(count) for seed in range(trials)], axis=0)
    assert times.sum() == trials * 10
    deviation = ((times - trials / 4) ** 2 / (trials / 4 * 3 / 4)).sum() * (count - 1) / count
    assert deviation < chi2.ppf(0.9999, count - 1)


def test_format_and_blocks_change_nothing(source, tmp_path):
    lines = numbered()
    (tmp_path / 'b.trk').write_bytes(trk_bytes(lines))
    (tmp_path / 'c.trk').write_bytes(trk_bytes(lines, count=0))  # which says: not known
    (tmp_path / 'd.trk.gz').write_bytes(gzip.compress(trk_bytes(lines)))
    write_trx(tmp_path / 'e.trx', lines)
    part = Subsample(0.2, 7)
    for name in (source.name, 'b.trk', 'c.trk', 'd.trk.gz', 'e.trx'):
        formats.convert(tmp_path / name, tmp_path / 'part.tck', subsample=part, overwrite=True)
        assert numbers(tmp_path / 'part.tck') == expected(0.2, 7, COUNT)
    blocks = formats.iter_blocks(formats.open_tractogram(source), vertices=11)
    pieces = [points for points, _ in part.of_blocks(blocks, COUNT, source)]
    whole = next(tck.iter_blocks(tck.read_header(tmp_path / 'part.tck')))[0]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_same_bytes_on_every_run(source, tmp_path):
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        formats.convert(source, tmp_path / f'{name}.tck', subsample=Subsample(0.3, seed))
    a, b, c = ((tmp_path / f'{name}.tck').read_bytes() for name in 'abc')
    assert a == b != c


def test_sidecar_says_it(source, tmp_path):
    source.with_suffix('.json').write_text('{"Name": "all", "Space": "MNI152NLin6Asym", "Bundles": "b.tsv"}')
    formats.convert(source, tmp_path / 'part.tck', subsample=Subsample(0.5, 4))
    sidecar = read_json(tmp_path / 'part.json')
    assert sidecar['Name'] == 'part'
    assert sidecar['Space'] == 'MNI152NLin6Asym'
    assert sidecar['StreamlineCount'] == 102
    first = {'Fraction': 0.5, 'Seed': 4, 'SourceStreamlineCount': COUNT}
    assert sidecar['Subsample'] == [first]
    assert 'Bundles' not in sidecar  # their numbers are those of the whole
    formats.convert(tmp_path / 'part.tck', tmp_path / 'less.tck', subsample=Subsample(0.1))
    second = {'Fraction': 0.1, 'Seed': 0, 'SourceStreamlineCount': 102}
    assert read_json(tmp_path / 'less.json')['Subsample'] == [first, second]


def test_bundles_keep_their_streamlines(tmp_path):
    groups = {'AF_L': [*range(50), 120], 'CST_L': [*range(40, 90)], 'one': [202]}
    write_trx(tmp_path / 'all.trx', numbered(), groups=groups)
    formats.convert(tmp_path / 'all.trx', tmp_path / 'part.tck', subsample=Subsample(0.3, 5))
    drawn = numbers(tmp_path / 'part.tck')
    found = bundle_tables.read_bundles(tmp_path / 'part_bundles.tsv')
    assert {name: [drawn[row] for row in rows] for name, rows in found.items()} == {
        name: [row for row in rows if row in drawn] for name, rows in groups.items()
    }


@pytest.mark.parametrize('claim', [COUNT - 3, COUNT + 3])
def test_header_that_says_another_number(source, tmp_path, claim):
    content = source.read_bytes().replace(f'{COUNT:010d}'.encode(), f'{claim:010d}'.encode())
    source.write_bytes(content)
    with pytest.raises(TractogramError, match=str(claim)):
        formats.convert(source, tmp_path / 'part.tck', subsample=Subsample(0.5))
    assert {path.name for path in tmp_path.iterdir()} == {'all.tck'}


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / 'long.tck'
    block = np.zeros((2000 * 100, 3), 'f4')
    tck.write_blocks(path, ((block, np.full(2000, 100)) for _ in range(50)))  # 121 MB
    assert path.stat().st_size > 100e6
    source = formats.open_tractogram(path)

    def pass_through():
        blocks = formats.iter_blocks(source, vertices=2**16)
        return sum(len(lengths) for _, lengths in Subsample(0.1).of_blocks(blocks, source.count, path))

    assert peak_of(lambda: np.testing.assert_equal(pass_through(), 10_000)) < 16  # MB


@pytest.mark.parametrize(
    'words',
    [
        ('--fraction', '0'),
        ('--fraction', '-0.1'),
        ('--fraction', '1.1'),
        ('--fraction', 'nan'),
        ('--fraction', '0.001'),
        ('--fraction', '0.1', '--seed', '-1'),
        ('--seed', '1'),
    ],
)
def test_impossible_parts(source, tmp_path, words, capsys):
    assert main(['convert', str(source), str(tmp_path / 'part.tck'), *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {'all.tck'}
    with pytest.raises(InputError):
        Subsample(2.0)


def test_command(source, tmp_path, capsys):
    part = tmp_path / 'part.tck'
    assert main(['convert', str(source), str(part), '--fraction', '0.1', '--seed', '1']) == 0
    assert f'{part}: 20 streamlines' in capsys.readouterr().out
    assert numbers(part) == expected(0.1, 1, COUNT)


@pytest.mark.shared
def test_real_tractogram(unpacked, tmp_path, lacuna_here):
    """A tenth of HCP842: each streamline of it, to the bit, is the one of that number in the whole."""
    whole, part = unpacked('HCP842'), tmp_path / 'part.tck'
    done = lacuna_here('convert', whole, part, '--fraction', '0.1', '--seed', '1')
    assert done.returncode == 0, done.stderr
    blocks = list(tck.iter_blocks(tck.read_header(whole)))
    points, lengths = (np.concatenate(each) for each in zip(*blocks, strict=True))
    drawn = np.zeros(len(lengths), bool)
    drawn[expected(0.1, 1, len(lengths))] = True
    found = list(tck.iter_blocks(tck.read_header(part)))
    assert np.array_equal(np.concatenate([each for _, each in found]), lengths[drawn])
    assert np.array_equal(np.concatenate([each for each, _ in found]), points[np.repeat(drawn, lengths)])
    assert drawn.sum() == 7775
