"""Names, files and folders of somebody who means harm: nothing is run, followed or written that should not be."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import stat
import struct
import tempfile
import tracemalloc
import unicodedata
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.report_data import write_results

from lacuna.bids.failures import Failure
from lacuna.bids.mask_files import describe_mask
from lacuna.cli import main
from lacuna.cli.parser import build_parser
from lacuna.cli.run import make_config
from lacuna.datasets import archives
from lacuna.errors import InputError, MaskError
from lacuna.execution import environment
from lacuna.execution.config import RunConfig
from lacuna.execution.masks import work_name
from lacuna.images.labels import read_labels
from lacuna.reports.figures import viewer
from lacuna.reports.figures.viewer import viewer_page
from lacuna.reports.group import write_group_report
from lacuna.reports.participant import make_report
from lacuna.streamlines.files import formats
from lacuna.testing import write_toy
from lacuna.utils.cache import cache_dir, make_private_dir

EVIL = '</script></title></td><script>alert(1)</script><img src=x onerror=alert(2)>'

# ---------------------------------------------------------------- names

NAMES = {
    'shell': 'it\'s "q"; touch pwned $(touch pwned) `touch pwned` & | > <',
    'dash': '-dash',
    'brackets': 'a[0:3] [x] {y} %d %s *?!',
    'decomposed': unicodedata.normalize('NFD', 'läsion'),
    'composed': unicodedata.normalize('NFC', 'läsion') + '\u3000日本',
    'long': 'n' * 200,
}


def run_on(folder: Path, name: str, engine: str) -> tuple[int, Path]:
    """A run with every path named so."""
    home = folder / name
    home.mkdir()
    toy = write_toy(home)
    source = (home / 'bids').rename(home / f'{name} in')
    tracks = toy.tracks.rename(home / f'{name}.tck')
    (home / 'toy.json').rename(home / f'{name}.json')
    image = nib.load(next(source.rglob('*.nii.gz')))
    parcels = np.ones(image.shape, np.uint8)
    parcels[image.shape[0] // 2 :] = 2
    atlas, table = home / f'{name}.nii.gz', home / f'{name}.txt'
    nib.save(nib.Nifti1Image(parcels, image.affine), atlas)
    table.write_text('1 the "left" <b>side</b>; $(touch pwned)\n2 right, \'x\'\n')
    out = home / f'{name} out'
    code = main(
        ['run', 'snm', str(source), str(out), '--connectome-path', str(tracks), '-w', str(home / f'{name} work'), '--engine', engine,
         '--custom-parcellation', 'mine', str(atlas), str(table), 'MNI152NLin6Asym', '--compute-disconnectivity-matrix',
         '--compute-roi-disconnection', '--nprocs', '1', '--no-report']
    )  # fmt: skip
    return code, out


def check_run(folder: Path, monkeypatch, name: str, engine: str) -> None:
    monkeypatch.chdir(folder)
    # a file name of the shell's own: what is expanded would find it
    (folder / 'dash').touch()
    monkeypatch.setenv('LACUNA_CACHE_DIR', str(folder / f'{name} cache'))
    code, out = run_on(folder, name, engine)
    assert code == 0
    stem = 'sub-01/anat/sub-01_label-lesion_method-snm'
    percent = np.asanyarray(
        nib.load(out / f'{stem}_space-MNI152NLin6Asym_desc-disconnectionpct.nii.gz').dataobj
    )
    assert percent.max() == 100
    (table,) = (out / 'sub-01' / 'anat').glob('*_atlas-mine_desc-*_parcelstats.tsv')
    values = table.read_text().splitlines()
    assert values[0] == 'region\tvalue'
    assert len(values) == 3
    assert not list(folder.rglob('pwned'))


@pytest.mark.parametrize('name', NAMES.values(), ids=NAMES)
def test_paths_with_the_index(tmp_path, monkeypatch, name):
    check_run(tmp_path, monkeypatch, name, 'index')


@pytest.mark.mrtrix
@pytest.mark.parametrize('name', [NAMES['shell'], NAMES['dash'], NAMES['brackets']])
def test_paths_with_mrtrix(tmp_path, monkeypatch, name):
    check_run(tmp_path, monkeypatch, name, 'mrtrix')


@pytest.mark.parametrize('name', ['new\nline', 'a\tb', '\x1b[31mred', os.fsdecode(b'\xff'), 'a\u2028b'])
def test_names_that_cannot_stand_in_a_line_are_refused(tmp_path, capsys, name):
    good = {
        'source': tmp_path,
        'output_dir': tmp_path / 'out',
        'connectome_path': tmp_path / 'a.tck',
        'work_dir': tmp_path / 'w',
    }
    for field in good:
        with pytest.raises(InputError, match='control characters') as caught:
            RunConfig(**{**good, field: tmp_path / name})
        assert str(caught.value).isprintable()
    with pytest.raises(MaskError, match='control characters'):
        describe_mask(tmp_path / f'sub-01_{name}_space-MNI152NLin6Asym_mask.nii.gz')
    for words in ((name, 'b'), ('a', name)):
        with pytest.raises(InputError, match='control characters'):
            RunConfig(
                **good,
                custom_parcellations=(('a', *words, 'MNI152NLin6Asym'),),
                compute_roi_disconnection=True,
            )
    assert main(['run', 'snm', str(tmp_path), str(tmp_path / name), '--connectome-path', 'a.tck']) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_mask_with_a_line_break_in_its_name_costs_only_itself(toy, tmp_path, capsys):
    toy.mask.with_name('sub-01_space-MNI152NLin6Asym_label-a\nb_mask.nii.gz').write_bytes(
        toy.mask.read_bytes()
    )
    out = tmp_path / 'out'
    arguments = [
        'run',
        'snm',
        str(tmp_path / 'bids'),
        str(out),
        '--connectome-path',
        str(toy.tracks),
        '-w',
        str(tmp_path / 'w'),
    ]
    code = main([*arguments, '--no-report', '--nprocs', '1'])
    assert (
        out / 'sub-01/anat/sub-01_label-lesion_method-snm_space-MNI152NLin6Asym_desc-disconnectionpct.nii.gz'
    ).is_file()
    rows = (out / 'logs' / 'failed_masks.tsv').read_text().splitlines()
    assert code == 1
    assert [len(row.split('\t')) for row in rows] == [2, 2]
    assert r'a\nb_mask' in rows[1]
    assert 'Traceback' not in capsys.readouterr().err


@pytest.mark.parametrize('name', ['../x', 'A', 'a b', 'a\n', '', 'a/b', 'ä', 'a;b'])
def test_names_of_parcellations_go_into_file_names(toy, tmp_path, capsys, name):
    code = main(
        ['run', 'snm', str(toy.mask), str(tmp_path / 'out'), '--connectome-path', str(toy.tracks), '--custom-parcellation', name,
         str(toy.mask), str(toy.mask), 'MNI152NLin6Asym', '--compute-roi-disconnection', '-w', str(tmp_path / 'w')]
    )  # fmt: skip
    assert code == 2
    assert len(capsys.readouterr().err.splitlines()) <= 2
    assert not (tmp_path / 'out').exists()


def test_region_names_stay_in_their_cells(tmp_path):
    path = tmp_path / 'labels.tsv'
    path.write_bytes(b'index\tname\n1\ta\vb\n2\tc\x1fd "e"\n')
    with contextlib.suppress(InputError):
        assert all(
            name == name.strip() and '\n' not in name and '\t' not in name
            for name in read_labels(path).values()
        )


def test_participants_and_patterns_do_not_leave_the_dataset(toy, tmp_path, capsys):
    for option in (['--participant-label', '../../etc'], ['--pattern', '../*'], ['--session-id', '..']):
        code = main(
            [
                'run',
                'snm',
                str(tmp_path / 'bids'),
                str(tmp_path / 'out'),
                '--connectome-path',
                str(toy.tracks),
                *option,
            ]
        )
        assert code == 2
    assert not (tmp_path / 'out').exists()
    assert len([line for line in capsys.readouterr().err.splitlines() if line.startswith('lacuna:')]) == 3


def test_a_result_that_cannot_be_written_is_said(toy, tmp_path, options, capsys):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'connectome').touch()  # where a folder should be
    assert main(['run', 'snm', str(toy.mask), str(out), *options]) == 1
    assert 'connectome' in capsys.readouterr().err


# ---------------------------------------------------------------- code


def calls(tree: ast.AST):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_no_shell_no_pickle_no_evaluation_in_the_source():
    """All calls of the package: with ``shell=``, to what unpickles or evaluates, or to ``numpy.load`` unless it says no."""
    banned = {
        'eval',
        'exec',
        'system',
        'popen',
        'Unpickler',
        'loadpkl',
        'savepkl',
        'unsafe_load',
        'full_load',
        'mktemp',
        'extractall',
    }
    seen = 0
    for path in sorted((ROOT / 'lacuna').rglob('*.py')):
        source = ast.parse(path.read_text(encoding='utf-8'))
        modules = {
            alias.name for node in ast.walk(source) if isinstance(node, ast.Import) for alias in node.names
        }
        pickles = {'pickle', 'cloudpickle', 'dill', 'joblib', 'marshal', 'shelve'}
        # what a job of a cluster has to do, in the work folder that only its owner can write to
        assert not modules & pickles, path
        for call in calls(source):
            words = {word.arg: word.value for word in call.keywords}
            name = getattr(call.func, 'attr', getattr(call.func, 'id', ''))
            owner = getattr(getattr(call.func, 'value', None), 'id', '')
            assert 'shell' not in words or owner == 'shtab', (path, call.lineno)
            assert name not in banned, (path, call.lineno)
            if owner == 'np' and name == 'load':
                seen += 1
                assert ast.unparse(words['allow_pickle']) == 'False', (path, call.lineno)
    assert seen >= 2


# ---------------------------------------------------------------- folders


def test_compiled_code_is_taken_from_nobody_else(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    monkeypatch.setenv('LACUNA_CACHE_DIR', str(tmp_path / 'cache'))
    monkeypatch.delenv('NUMBA_CACHE_DIR')
    environment.prepare_environment()
    folder = Path(os.environ['NUMBA_CACHE_DIR'])
    assert folder.parent == cache_dir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(cache_dir().stat().st_mode) == 0o700
    assert not caplog.text
    for damage in (lambda: folder.chmod(0o777), lambda: (folder.rmdir(), folder.symlink_to(tmp_path))):
        damage()
        caplog.clear()
        monkeypatch.delenv('NUMBA_CACHE_DIR')
        environment.prepare_environment()
        other = Path(os.environ['NUMBA_CACHE_DIR'])
        assert other.parent == tmp_path / f'lacuna-{os.geteuid()}'
        assert stat.S_IMODE(other.parent.stat().st_mode) == 0o700
        assert str(folder) in caplog.text


def test_a_cache_that_is_there_keeps_its_permissions(tmp_path, monkeypatch):
    """Who shares a cache has made it so; compiled code is kept apart for each user."""
    cache = tmp_path / 'shared'
    cache.mkdir()
    cache.chmod(0o775)
    monkeypatch.setenv('LACUNA_CACHE_DIR', str(cache))
    monkeypatch.delenv('NUMBA_CACHE_DIR')
    environment.prepare_environment()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o775
    assert stat.S_IMODE(Path(os.environ['NUMBA_CACHE_DIR']).stat().st_mode) == 0o700


def test_make_private_dir(tmp_path):
    folder = tmp_path / 'a' / 'b'
    assert make_private_dir(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert make_private_dir(folder)
    folder.chmod(0o755)
    assert make_private_dir(folder)
    for mode in (0o775, 0o757):
        folder.chmod(mode)
        assert not make_private_dir(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a folder to somebody else')
def test_a_folder_of_somebody_else_is_not_ours(tmp_path):
    make_private_dir(tmp_path / 'a')
    os.chown(tmp_path / 'a', 12345, 12345)
    assert not make_private_dir(tmp_path / 'a')


def test_nothing_is_unpickled_from_a_work_folder_that_others_can_write(toy, tmp_path, capsys):
    command = [
        'run',
        'snm',
        str(toy.mask),
        str(tmp_path / 'out'),
        '--connectome-path',
        str(toy.tracks),
        '-w',
        str(tmp_path / 'w'),
    ]
    command += ['--no-report', '--nprocs', '1']
    assert main(command) == 0
    out = tmp_path / 'out'
    name = next(path for path in out.rglob('*disconnectionpct.nii.gz'))
    name.unlink()
    folder = tmp_path / 'w' / work_name(make_config(build_parser().parse_args(command)))
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    (folder / 'trap').touch()
    assert main(command) == 2
    said = capsys.readouterr().err
    assert str(folder) in said
    assert 'Traceback' not in said
    assert not name.exists()
    folder.chmod(0o700)
    assert main(command) == 0
    assert name.exists()


def test_a_link_in_place_of_a_result_is_replaced_not_followed(toy, tmp_path, options):
    """Somebody who can write into the output folder cannot make a run write elsewhere through a link."""
    out = tmp_path / 'out'
    anat = out / 'sub-01' / 'anat'
    anat.mkdir(parents=True)
    precious = tmp_path / 'precious'
    precious.write_text('mine')
    (out / 'README').symlink_to(precious)
    target = anat / 'sub-01_label-lesion_method-snm_space-MNI152NLin6Asym_desc-disconnectionpct.json'
    target.symlink_to(precious)
    assert main(['run', 'snm', str(toy.mask), str(out), *options, '--overwrite']) == 0
    assert precious.read_text() == 'mine'
    assert not target.is_symlink()


# ---------------------------------------------------------------- archives and packed tractograms


def bomb(path: Path, member: str, method: int, megabytes: int) -> None:
    with zipfile.ZipFile(path, 'w', method) as archive, archive.open(member, 'w') as stream:
        for _ in range(megabytes):
            stream.write(bytes(2**20))


@pytest.mark.parametrize('method', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_that_unpack_a_millionfold_are_refused(tmp_path, method):
    path = tmp_path / 'a.zip'
    bomb(path, 'a.tck', method, 50)
    assert path.stat().st_size < 20_000
    (tmp_path / 'scratch').mkdir()
    with pytest.raises(InputError, match='compression'):
        archives.unpack(path, tmp_path / 'scratch', show_progress=False)
    assert not list((tmp_path / 'scratch').iterdir())


def test_encrypted_archive(tmp_path):
    path = tmp_path / 'a.zip'
    bomb(path, 'a.tck', zipfile.ZIP_STORED, 1)
    content = bytearray(path.read_bytes())
    for signature, offset in ((b'PK\x03\x04', 6), (b'PK\x01\x02', 8)):
        content[content.find(signature) + offset] |= 1
    path.write_bytes(content)
    (tmp_path / 'scratch').mkdir()
    with pytest.raises(InputError, match='cannot be read'):
        archives.unpack(path, tmp_path / 'scratch', show_progress=False)


def test_a_trx_whose_header_unpacks_to_more_than_it_says(tmp_path):
    """64 MB of spaces in 64 kB, said to be 100 bytes: no more than that is unpacked."""
    path = tmp_path / 'a.trx'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('header.json', b' ' * 2**26)
    content = bytearray(path.read_bytes())
    struct.pack_into('<I', content, content.rfind(b'PK\x01\x02') + 24, 100)
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            formats.open_tractogram(path)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------- pages


class Page(HTMLParser):
    """What a browser would run or load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.data: list[str] = []
        self.suspicious: list[object] = []
        self._inside: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._inside = None
        if tag == 'script':  # one of JSON is never run
            self._inside = self.data if ('type', 'application/json') in attrs else self.scripts
        self.suspicious += [(tag, name) for name, _ in attrs if name.startswith('on')]
        for name, value in attrs:
            if name in ('src', 'href') and value and value.split(':', 1)[0] in ('javascript', 'x'):
                self.suspicious.append((tag, value))

    def handle_endtag(self, _):
        self._inside = None

    def handle_data(self, data):
        if self._inside is not None:
            self._inside.append(data)


def check_page(text: str) -> Page:
    page = Page(text)
    assert not page.suspicious
    assert not any('alert(' in script for script in page.scripts)
    assert '<script>alert' not in text
    assert '<img src=x' not in text
    return page


def test_the_pages_of_a_participant_and_a_group(tmp_path):
    root = tmp_path / 'out'
    write_results(root, tmp_path / 'in', sample=False)
    for sidecar in [*root.rglob('*.json')]:
        metadata = json.loads(sidecar.read_text())
        poisoned = {
            key: EVIL if isinstance(value, str) and key not in ('Space', 'DatasetType') else value
            for key, value in metadata.items()
        }
        if isinstance(poisoned.get('Tractogram'), dict):
            poisoned['Tractogram'] = {**poisoned['Tractogram'], 'Name': EVIL, 'Space': EVIL}
        if isinstance(poisoned.get('SoftwareVersions'), dict):
            poisoned['SoftwareVersions'] = {EVIL: EVIL}
        sidecar.write_text(json.dumps(poisoned))
    for table in root.rglob('*_desc-roidisconnection.tsv'):
        lines = table.read_text().splitlines()
        lines[1] = f'{EVIL}\t{lines[1].rpartition(chr(9))[2]}'
        table.write_text('\n'.join(lines) + '\n')
    logs = root / 'logs' / '20990101-000000_x'
    logs.mkdir(parents=True)
    (logs / 'CITATION.md').write_text(f'Text {EVIL} [@key].')
    (logs / 'CITATION.bib').write_text(
        f'@article{{key,\n title = {{{EVIL}}},\n author = {{{EVIL}}},\n year = {{2001}}\n}}'
    )
    crash = logs / 'crash-1.txt'
    crash.write_text(f'Node: {EVIL}\nTraceback\nError: {EVIL}\n')
    failure = Failure(tmp_path / 'sub-01_<script>alert(1)<_mask.nii.gz', f'{EVIL} (details: {crash})', '01')
    text = make_report(root, '01', failures=[failure]).read_text(encoding='utf-8')
    page = check_page(text)
    assert '&lt;img src=x onerror=alert(2)&gt;' in text
    assert page.scripts  # the page's own
    for fragment in (root / 'sub-01' / 'figures').glob('*.html'):
        check_page(fragment.read_text(encoding='utf-8'))
    check_page(write_group_report(root, root / 'group.html').read_text(encoding='utf-8'))


def test_the_viewer(monkeypatch):
    """A title, and a key within the scene, that would end the script in which they stand."""
    monkeypatch.setattr(viewer, '_packed', lambda _: {'unit': EVIL})
    text = viewer_page(EVIL, 'MNI152NLin6Asym', mask=None, percent=None)
    page = check_page(text)
    assert '&lt;script&gt;alert(1)' in text
    (scene,) = page.data
    assert json.loads(scene)['streamlines']['unit'] == EVIL  # whole: no byte of it ended the element
