"""Connectomes that are looked up by their names, and found again by them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.repositories import apis, archive, figshare, osf_project, serve
from helpers.waiting import HANGS

from lacuna.cli import main
from lacuna.datasets import sources
from lacuna.datasets.connectomes import connectome_path, fetch, fetched
from lacuna.datasets.download import Patience
from lacuna.errors import InputError
from lacuna.streamlines.files.bundle_tables import read_bundles
from lacuna.streamlines.files.tck import scan, write_tck
from lacuna.streamlines.subsample import Subsample
from lacuna.utils.files import read_json

QUICK = Patience(timeout=HANGS, attempts=2, first_wait=0.01)
NAME = 'dtor985_10pct'


@pytest.fixture
def site():
    server = serve()
    yield server.site
    server.shutdown()
    server.server_close()


@pytest.fixture
def tracks(tmp_path):
    """A tractogram of 40 streamlines, as bytes."""
    path = tmp_path / 'tracks.tck'
    write_tck(path, [[[x, y, 0.0] for x in range(3)] for y in range(40)], step_size=0.5)
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.fixture
def addresses(site, monkeypatch):
    """The commands ask the server, not the world."""
    for name, address in apis(site).items():
        monkeypatch.setitem(sources._data()['apis'], name, address)


def found(site, tmp_path, name=NAME, **options):
    said = []
    path = fetch(name, tmp_path / 'to', apis=apis(site), patience=QUICK, say=said.append, **options)
    return path, said


# ---------------------------------------------------------------- OSF


OTHERS = {'readme.md': b'x', 'a.nii.gz': b'x', 'dtor985_10pct.json': b'{}', 'HCP.tck': b'x'}


@pytest.mark.parametrize('place', ['', 'tractograms/', 'in a component', 'in a folder of a component'])
@pytest.mark.parametrize('percent', [10, 25])
def test_file_is_looked_up_by_its_name(site, tmp_path, tracks, place, percent):
    """On whatever page, in whatever folder of the project or of a component of it."""
    mine, other = f'dTOR985_{percent}pct.tck', f'dTOR985_{35 - percent}pct.tck'
    files = OTHERS | {f'tractograms/{other}': b'other'}
    if 'component' in place:
        inside = {f'{"x/" if "folder" in place else ""}{mine}': tracks}
        osf_project(site, files, children={'abcde': {'b.txt': b''}, 'fghij': inside})
    else:
        osf_project(site, files | {f'{place}{mine}': tracks})
    path, said = found(site, tmp_path, f'dtor985_{percent}pct')
    assert path == tmp_path / f'to/dtor985_{percent}pct.tck'
    assert scan(path).count == 40
    sidecar = read_json(path.with_suffix('.json'))
    assert (sidecar['Space'], sidecar['StreamlineCount']) == ('MNI152NLin2009bAsym', 40)
    assert sidecar['License'] == 'CC0'
    assert len(said) == 1
    assert mine in said[0]
    assert 'expected' in said[0]  # so much smaller than what is known of it
    assert not any('Authorization' in headers for _, headers in site.requests)


def test_exact_name_before_a_like_one(site, tmp_path, tracks):
    osf_project(site, {'old_dtor985_10pct.tck': b'x', 'dtor985_10pct.tck': tracks})
    assert scan(found(site, tmp_path)[0]).count == 40


def test_checksum_is_compared(site, tmp_path, tracks):
    osf_project(site, {'dtor985_10pct.tck': tracks})
    path = next(path for path in site.files if path.startswith('/download/'))
    site.files[path] = tracks[:-12] + np.full(3, np.inf, '>f4').tobytes()
    with pytest.raises(InputError, match='checksum'):
        found(site, tmp_path)
    assert not (tmp_path / f'to/{NAME}.tck').exists()


def test_size_is_compared_if_there_is_no_checksum(site, tmp_path, tracks):
    osf_project(site, {'dtor985_10pct.tck': tracks}, hashes=False)
    path = next(path for path in site.files if path.startswith('/download/'))
    site.files[path] = tracks + b'more'
    with pytest.raises(InputError, match=f'{len(tracks) + 4} bytes.* {len(tracks)}'):
        found(site, tmp_path)
    assert not (tmp_path / f'to/{NAME}.tck').exists()
    site.files[path] = tracks
    assert scan(found(site, tmp_path)[0]).count == 40


def test_count_of_the_header_is_compared(site, tmp_path, tracks):
    osf_project(site, {'dtor985_10pct.tck': tracks.replace(b'0000000040', b'0000000041')})
    with pytest.raises(InputError, match='40 whole streamlines, the header says 41'):
        found(site, tmp_path)
    assert not (tmp_path / f'to/{NAME}.tck').exists()


WAYS = [
    '--url',
    "'lacuna fetch dtor985 --fraction 0.1 --seed 1'",
    "'lacuna convert IN OUT --fraction 0.1 --seed 1'",
]


@pytest.mark.usefixtures('addresses')
def test_not_there(site, tmp_path, capsys):
    """One line: what was looked at, and what works instead."""
    osf_project(site, OTHERS | {'dtor985_25pct.tck': b'x'})
    assert main(['fetch', NAME, '--output-dir', str(tmp_path / 'to')]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert all(word in err for word in [*WAYS, 'yz9mb', '5 files', 'HCP.tck', 'dtor985_25pct.tck'])
    assert not list((tmp_path / 'to').glob('*'))


def test_more_than_one(site, tmp_path, tracks):
    osf_project(site, {'dtor985_10pct.tck': tracks, 'old/dtor985_10pct.tck': tracks})
    with pytest.raises(InputError, match=r'more than one.*--url') as caught:
        found(site, tmp_path)
    assert len(re.findall(rf'{site.address}/download/\w+', str(caught.value))) == 2


PROJECT = '/osf/nodes/yz9mb/files/'


@pytest.mark.parametrize(
    'answer',
    [
        b'[]',
        b'{}',
        b'null',
        b'<html>',
        b'{"data": [{"type": "files"}], "links": {}}',
        b'{"data": [], "links": {"next": "https://elsewhere.example.org/secret"}}',
        b'{"data": [], "links": {"next": "%s/osf/nodes/yz9mb/files/?page=1"}}',  # for ever
    ],
)
def test_odd_answer(site, tmp_path, answer):
    osf_project(site, OTHERS)
    site.add(PROJECT, answer.replace(b'%s', site.address.encode()))
    with pytest.raises(InputError, match='--fraction') as caught:
        found(site, tmp_path)
    assert '\n' not in str(caught.value)
    assert len(site.requests) < 70


@pytest.mark.parametrize('status', ['403', '404', '500'])
def test_project_that_is_gone(site, tmp_path, status):
    site.add(PROJECT, b'', status)
    with pytest.raises(InputError) as caught:
        found(site, tmp_path)
    assert all(word in str(caught.value) for word in [*WAYS, 'yz9mb'])


def test_list_says_where_each_is_from(capsys):
    assert main(['fetch', '--list']) == 0
    assert capsys.readouterr().out.count('OSF project yz9mb') == 2


# ---------------------------------------------------------------- Figshare


def test_file_of_the_article_is_known_by_its_number(site, tmp_path, tracks):
    known = sources.connectomes()['dtor985']
    assert (known.record, known.file) == ('25209947', '44515847')
    figshare(site, tracks)
    listed = f'/figshare/articles/{known.record}/files'
    files = json.loads(site.files[listed])
    files.append(files[1] | {'id': 7, 'name': 'other.tck', 'download_url': f'{site.address}/other'})
    site.add(listed, json.dumps(files).encode())
    path, said = found(site, tmp_path, 'dtor985', token='t')  # noqa: S106
    assert scan(path).count == 40
    assert 'dTOR.tck' in said[0]
    files[1]['id'] = 8  # neither is the one that is known
    site.add(listed, json.dumps(files).encode())
    with pytest.raises(InputError, match='--url'):
        found(site, tmp_path, 'dtor985', token='t', force=True)  # noqa: S106


@pytest.mark.usefixtures('addresses')
def test_a_part_is_drawn_while_it_is_converted(site, tmp_path, tracks, monkeypatch, capsys):
    figshare(site, tracks)
    monkeypatch.setenv('FIGSHARE_API_KEY', 't')
    folder = tmp_path / 'to'
    words = ['fetch', 'dtor985', '--output-dir', str(folder)]
    assert main([*words, '--fraction', '0.1', '--seed', '1']) == 0
    path = folder / 'dtor985_fraction-0.1_seed-1.tck'
    assert {each.name for each in folder.iterdir()} == {path.name, path.with_suffix('.json').name}
    assert scan(path).count == 4
    sidecar = read_json(path.with_suffix('.json'))
    assert sidecar['Subsample'] == [{'Fraction': 0.1, 'Seed': 1, 'SourceStreamlineCount': 40}]
    assert (sidecar['Name'], sidecar['Space']) == (path.stem, 'MNI152NLin2009bAsym')
    assert f'{path}: 4 streamlines' in capsys.readouterr().out

    # a whole that is here is not downloaded again
    assert main(words) == 0
    asked = len(site.requests)
    assert main([*words, '--fraction', '0.5', '--seed', '2']) == 0
    assert scan(folder / 'dtor985_fraction-0.5_seed-2.tck').count == 20
    path.unlink()
    first = sidecar['SHA256']
    assert main([*words, '--fraction', '0.1', '--seed', '1']) == 0
    assert scan(path).sha256 == first
    assert len(site.requests) == asked


def test_bundles_of_a_part(site, tmp_path, tracks):
    url = site.add('/a.zip', archive('zip', {'AF_L.tck': tracks, 'CST_R.tck': tracks}))
    part = Subsample(0.5, 3)
    path, _ = found(site, tmp_path, 'hcp1065', url=url, subsample=part)
    bundles = read_bundles(path.with_name(f'{path.stem}_bundles.tsv'))
    drawn = part.draw(80)(80)
    assert [len(rows) for rows in bundles.values()] == [drawn[:40].sum(), drawn[40:].sum()]
    assert np.concatenate(list(bundles.values())).tolist() == list(range(40))


# ---------------------------------------------------------------- by its name


@pytest.mark.usefixtures('addresses')
def test_fetched_connectome_is_found_by_its_name(site, tmp_path, tracks, monkeypatch, capsys):
    """Wherever it went, from any folder."""
    osf_project(site, {'dtor985_10pct.tck': tracks})
    monkeypatch.chdir(tmp_path)
    assert main(['fetch', NAME, '--output-dir', 'data']) == 0
    assert fetched() == {NAME: tmp_path / f'data/{NAME}.tck'}
    assert connectome_path(NAME) == tmp_path / f'data/{NAME}.tck'
    capsys.readouterr()
    assert main(['info', 'connectomes']) == 0
    assert f'{tmp_path}/data/{NAME}.tck' in capsys.readouterr().out

    # a folder of its name is no tractogram; a file of its name is
    Path(NAME).mkdir()
    assert connectome_path(NAME) == tmp_path / f'data/{NAME}.tck'
    Path(NAME).rmdir()

    # fetched to another place, the last is meant; moved away, the name says nothing any more
    assert main(['fetch', NAME, '--output-dir', 'other']) == 0
    assert connectome_path(NAME) == tmp_path / f'other/{NAME}.tck'
    (tmp_path / f'other/{NAME}.tck').unlink()
    with pytest.raises(InputError, match=f"'lacuna fetch {NAME}'"):
        connectome_path(NAME)


def test_any_fetched_connectome_has_a_name(site, tmp_path, tracks):
    url = site.add('/x.tck', tracks)
    path, _ = found(site, tmp_path, 'mine.v2', url=url, space='MNI152NLin6Asym')
    assert connectome_path('mine.v2') == path


def test_run_and_index_take_the_name(site, tmp_path, toy):
    url = site.add('/toy.tck', toy.tracks.read_bytes())
    fetch('mine', tmp_path / 'far', url=url, space='MNI152NLin6Asym', patience=QUICK)
    words = ['--no-report', '-w', str(tmp_path / 'w'), '--nprocs', '1']
    out = tmp_path / 'out'
    assert main(['index', 'mine']) == 0
    assert main(['run', 'snm', str(tmp_path / 'bids'), str(out), '--connectome-path', 'mine', *words]) == 0
    assert len(list(out.rglob('*_desc-disconnectionpct.nii.gz'))) == 1
    # the settings name the file: they hold when the name means another
    (settings,) = out.glob('logs/*/settings.toml')
    assert f'{tmp_path}/far/mine.tck' in settings.read_text()


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('dtor985_10pct', "'lacuna fetch dtor985_10pct'"),
        ('dTOR985_10pct', 'dtor985_10pct'),
        ('dtor985_10', 'dtor985_10pct'),
        ('hcp1056', 'hcp1065'),
        ('min', 'mine'),
        ('qqqqqq', "'lacuna fetch --list'"),
        ('../mine', '../mine'),
        ('mine.tck', 'mine.tck'),
    ],
)
def test_name_of_none(site, tmp_path, toy, name, expected, capsys):
    fetch('mine', tmp_path / 'far', url=site.add('/t.tck', toy.tracks.read_bytes()), space='MNI152NLin6Asym')
    out = tmp_path / 'out'
    assert main(['run', 'snm', str(tmp_path / 'bids'), str(out), '--connectome-path', name]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert expected in err
    assert not out.exists()
