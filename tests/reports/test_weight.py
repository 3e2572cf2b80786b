"""What a report weighs, and what it consists of: pictures, viewer, shared scripts, and the sample of streamlines."""

import json
import re
import shutil
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from helpers.cohort import tree
from helpers.report_data import SPACE, streamlines, write_results
from helpers.validator import errors, errors_of_results

from lacuna.cli import main
from lacuna.reports.figures.viewer import viewer_page, viewer_scripts
from lacuna.reports.participant import is_current, make_report
from lacuna.streamlines.files.tck import read_header, write_tck
from lacuna.streamlines.sample import SPACING, median_spacing, read_sample, write_sample
from lacuna.testing import write_toy

LIMIT = 2_000_000  # bytes of one lesion, all in all


def weight(root: Path, label: str) -> int:
    """Bytes of a participant's page and of all that belongs to it alone."""
    figures = (root / f'sub-{label}/figures').iterdir()
    return sum(path.stat().st_size for path in [root / f'sub-{label}.html', *figures])


def sources(page: Path) -> list[Path]:
    """The files of this disk that a page loads."""
    found = re.findall(r'(?:src|data-viewer)="([^"]+)"', page.read_text(encoding='utf-8'))
    return [(page.parent / source).resolve() for source in found if not source.startswith('data:')]


@pytest.fixture(scope='module')
def strokes(tmp_path_factory, shared, unpacked, lacuna_command, common):
    """A run of two strokes of real people, one of 270 ml, with an atlas of 400 parcels; returns its output folder."""
    folder = tmp_path_factory.mktemp('strokes')
    lesions = shared / 'data/lesions'
    for label, lesion in (('01', 'LQT/ExampleLesion1.nii.gz'), ('113', 'SOOP/bwsrsub-113_lesion.nii.gz')):
        target = folder / f'bids/sub-{label}/anat/sub-{label}_space-{SPACE}_label-lesion_mask.nii.gz'
        target.parent.mkdir(parents=True)
        shutil.copy(lesions / lesion, target)
    done = lacuna_command(
        'run', 'snm', folder / 'bids', folder / 'out', '--connectome-path', unpacked('HCP842'), '--connectome-space',
        SPACE, '--parcel-atlases', 'schaefer2018parcels400networks7', '--compute-disconnectivity-matrix',
        '--compute-roi-disconnection', '-w', folder / 'work', TEMPLATEFLOW_HOME=shared / 'data/templateflow',
        LACUNA_CACHE_DIR=common / 'cache',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / 'out'


@pytest.mark.slow
@pytest.mark.shared
def test_the_weight_of_the_reports_of_large_lesions(strokes):
    assert {label: weight(strokes, label) > LIMIT for label in ('01', '113')} == {'01': False, '113': False}
    assert len([*(strokes / 'assets').iterdir()]) == 2  # NiiVue and the template, once for both
    for label in ('01', '113'):
        page = strokes / f'sub-{label}.html'
        assert len(sources(page)) == 9  # eight pictures and the viewer
        viewer = next(path for path in sources(page) if path.suffix == '.html')
        assert {path.parent for path in sources(viewer)} == {strokes / 'assets'}
        assert all(path.is_file() for path in [*sources(page), *sources(viewer)])


@pytest.mark.slow
@pytest.mark.shared
def test_the_sample_of_a_large_lesion_looks_like_the_streamlines(strokes, unpacked):
    """No vertex that was left out lies visibly off the streamline that is drawn."""
    sample = next((strokes / 'sub-113/figures').glob('*_tractogram.tck'))
    lines, spacing = read_sample(sample)
    assert len(lines) == 1000
    assert sample.stat().st_size < 400_000
    full, _ = read_sample_whole(unpacked('HCP842'))
    by_ends = {line[[0, -1]].tobytes(): line for line in full if len(line)}
    originals = [by_ends[line[[0, -1]].tobytes()] for line in lines]
    assert spacing == pytest.approx(median_spacing(originals), rel=1e-3)
    off = np.concatenate(
        [distance_to(line, original) for line, original in zip(lines, originals, strict=True)]
    )
    assert np.percentile(off, 95) < 0.3  # mm; a pixel of the pictures is half a millimetre


def read_sample_whole(path: Path) -> tuple[list[np.ndarray], int]:
    from lacuna.streamlines.files.tck import iter_blocks

    lines = []
    for points, sizes in iter_blocks(read_header(path)):
        lines += np.split(points, np.cumsum(sizes)[:-1])
    return lines, len(lines)


def distance_to(line: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distances (mm) of points from the nearest piece of a line."""
    starts, steps = line[:-1].astype(float), np.diff(line.astype(float), axis=0)
    along = ((points[:, None] - starts) * steps).sum(-1) / np.maximum((steps**2).sum(-1), 1e-12)
    nearest = starts + np.clip(along, 0, 1)[..., None] * steps
    return np.linalg.norm(points[:, None] - nearest, axis=-1).min(axis=1)


def test_a_sample_has_few_vertices_and_says_how_many_there_were(tmp_path):
    lines = [line.astype(np.float32) for line in streamlines()]
    write_sample(tmp_path / 'sample.tck', lines)
    kept, spacing = read_sample(tmp_path / 'sample.tck')
    assert spacing == 1.0
    assert read_header(tmp_path / 'sample.tck').step_size is None  # it would change how MRtrix3 upsamples
    for line, light in zip(lines, kept, strict=True):
        assert np.array_equal(line[[0, -1]], light[[0, -1]])
        assert (np.linalg.norm(np.diff(light, axis=0), axis=1)[:-1] >= SPACING / 2).all()
    assert sum(map(len, kept)) < sum(map(len, lines)) / 3
    write_tck(tmp_path / 'old.tck', lines)  # as samples were until now
    again, spacing = read_sample(tmp_path / 'old.tck')
    assert spacing == pytest.approx(1.0)
    assert all(np.array_equal(light, other) for light, other in zip(kept, again, strict=True))


@pytest.mark.mrtrix
def test_both_engines_draw_the_same_sample(toy, tmp_path):
    rows = 'bundle\tfirst\tcount\nall\t0\t30\nnone\t0\t0\nfirst\t0\t3\n'
    toy.tracks.with_name('toy_bundles.tsv').write_text(rows)
    for engine in ('index', 'mrtrix'):
        words = [
            'run',
            'snm',
            toy.mask,
            tmp_path / engine,
            '--connectome-path',
            toy.tracks,
            '--engine',
            engine,
        ]
        assert main([*map(str, words), '-w', str(tmp_path / 'work')]) == 0
    one, other = (next((tmp_path / engine).rglob('*_tractogram.tck')) for engine in ('index', 'mrtrix'))
    assert len(read_sample(one)[0]) == 10
    assert one.read_bytes() == other.read_bytes()
    one, other = (next((tmp_path / engine).rglob('*_bundles.tsv')) for engine in ('index', 'mrtrix'))
    # of the first three lines, the second ends before the lesion
    assert one.read_text() == 'bundle\tfirst\tcount\nall\t0\t10\nfirst\t0\t2\n'
    assert one.read_bytes() == other.read_bytes()


def test_the_script_is_named_after_its_version():
    scripts = {name: script for name, script in viewer_scripts(SPACE).items() if 'niivue' in name}
    ((name, script),) = scripts.items()
    assert f'version:"{name.removeprefix("niivue-").removesuffix(".js")}"'.encode() in script
    assert b'Redistribution and use in source and binary forms' in script


@pytest.mark.parametrize('far', [80.0, 5000.0])
def test_what_the_viewer_holds_of_streamlines(far):
    """Positions as whole numbers, to a hundredth of a millimetre in a head."""
    lines = [
        np.array([[-12.345, 0, 1], [20, far, -0.007]]),
        np.zeros((1, 3)),
        np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]),
    ]
    scene = json.loads(
        re.search(
            'id="scene">(.*?)</script>', viewer_page('x', SPACE, mask=None, percent=None, streamlines=lines)
        )[1]
    )
    packed = scene['streamlines']
    assert np.frombuffer(b64decode(packed['lengths']), '<u4').tolist() == [2, 3]
    positions = np.frombuffer(b64decode(packed['positions']), '<i2').reshape(-1, 3) * packed['unit']
    assert np.abs(positions - np.concatenate([lines[0], lines[2]])).max() <= max(0.0051, far / 2**16)


def test_a_light_report_has_no_viewer(tmp_path, capsys):
    root = tmp_path / 'out'
    write_results(root, tmp_path / 'in')
    make_report(root, '01')
    full = tree(root)
    assert is_current(root, '01')
    assert not is_current(root, '01', viewer=False)
    assert main(['report', str(root), '--report', 'light']) == 0
    light = tree(root)
    gone = {re.search('desc-([a-z]+)', name)[1] for name in full - light}
    assert gone == {'viewer', 'view'}
    assert 'data-viewer' not in (root / 'sub-01.html').read_text().split('<script>')[0]
    assert is_current(root, '01', viewer=False)
    assert main(['report', str(root)]) == 0
    assert tree(root) == full
    with pytest.raises(SystemExit, match='2'):
        main(['report', str(root), '--report', 'heavy'])
    capsys.readouterr()


def test_a_run_makes_the_report_that_is_asked_for(tmp_path):
    toy = write_toy(tmp_path)
    words = ['run', 'snm', str(tmp_path / 'bids'), str(tmp_path / 'out'), '-w', str(tmp_path / 'work')]
    first = [*words, '--connectome-path', str(toy.tracks)]
    out = tmp_path / 'out'

    def what(name: str) -> int:
        return len([*out.rglob(name)])

    assert main([*first, '--report', 'light']) == 0
    assert (what('sub-01.html'), what('*_figure.png'), what('*viewer.html'), what('*.tck'), what('*.js')) == (
        1,
        3,
        0,
        0,
        0,
    )
    settings = max((out / 'logs').glob('*/settings.toml'))
    assert 'report = "light"' in settings.read_text()
    (out / 'sub-01.html').unlink()
    assert main([*words, '--config', str(settings)]) == 0
    assert (what('sub-01.html'), what('*viewer.html'), what('*.tck')) == (1, 0, 0)
    assert main(first) == 0
    assert (what('sub-01.html'), what('*_figure.png'), what('*viewer.html'), what('*.tck'), what('*.js')) == (
        1,
        4,
        1,
        1,
        2,
    )
    for page in ('sub-01.html', 'sub-01/figures/sub-01_label-lesion_method-snm_desc-viewer.html'):
        assert all(path.is_file() for path in sources(out / page))
    for nothing in (('--no-report',), ('--report', 'none')):
        assert main([*first[:3], str(tmp_path / nothing[-1]), *first[4:], *nothing]) == 0
        assert not [*(tmp_path / nothing[-1]).rglob('*.html')]


@pytest.mark.parametrize(('written', 'meant'), [('report = true', 'full'), ('report = false', 'none')])
def test_settings_of_a_time_without_a_choice(tmp_path, written, meant):
    from lacuna.execution.settings import read_settings

    (tmp_path / 'settings.toml').write_text(written)
    assert read_settings(tmp_path / 'settings.toml') == {'report': meant}


@pytest.mark.slow
def test_the_validator_looks_past_the_scripts(tmp_path):
    toy = write_toy(tmp_path)
    out = tmp_path / 'out'
    words = ['run', 'snm', str(tmp_path / 'bids'), str(out), '-w', str(tmp_path / 'work')]
    assert main([*words, '--connectome-path', str(toy.tracks)]) == 0
    assert [*(out / 'assets').glob('*.js')]
    assert errors(out) == {}
    assert errors_of_results(out, tmp_path / 'view') == {}
