"""`lacuna fetch` against a real server on the loopback that answers as Figshare and OSF do, and breaks as servers do."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import threading
from contextlib import nullcontext

import nibabel as nib
import numpy as np
import pytest
from helpers.repositories import archive, figshare, md5, serve
from helpers.waiting import HANGS

from lacuna.cli import main
from lacuna.datasets.connectomes import fetch
from lacuna.datasets.download import Patience, Remote, check_space, download
from lacuna.datasets.sources import connectomes, locate
from lacuna.errors import InputError
from lacuna.streamlines.files.bundle_tables import read_bundles
from lacuna.streamlines.files.tck import iter_blocks, read_header, scan, write_tck
from lacuna.utils.files import read_json

TOKEN = 'sEcReT-t0ken'  # noqa: S105
QUICK = Patience(timeout=HANGS, attempts=4, first_wait=0.01)


@pytest.fixture
def servers():
    both = serve(), serve()
    yield both
    for server in both:
        server.shutdown()
        server.server_close()


@pytest.fixture
def site(servers):
    return servers[0].site


def line(length, y=0.0):
    return np.array([[x, y, 0.0] for x in range(length)])


@pytest.fixture
def tracks(tmp_path):
    """A tractogram of 3 streamlines of 20,000 vertices each, as bytes: 720 kB."""
    path = tmp_path / 'tracks.tck'
    write_tck(path, [line(20_000, y) for y in range(3)], step_size=0.5)
    return path.read_bytes()


def get(site, tmp_path, content, *answers, size=None, checksum=None):
    url = site.add('/file.tck', content, *answers)
    remote = Remote(url, 'file.tck', size, checksum)
    return download(remote, tmp_path / 'work', patience=QUICK).read_bytes()


def test_whole_file(site, tmp_path, tracks):
    assert get(site, tmp_path, tracks, checksum=f'md5:{md5(tracks)}') == tracks
    assert {path.name for path in (tmp_path / 'work').iterdir()} == {'file.tck', '.lock'}


def test_broken_connection_is_resumed(site, tmp_path, tracks):
    assert get(site, tmp_path, tracks, 'breaks', 'breaks', 'whole') == tracks
    ranges = [headers.get('Range') for headers in site.asked('/file.tck')]
    assert ranges[0] is None
    starts = [int(text.removeprefix('bytes=').rstrip('-')) for text in ranges[1:]]
    assert 0 < starts[0] <= len(tracks) // 2 < starts[1]


def test_next_call_goes_on(site, tmp_path, tracks):
    with pytest.raises(InputError, match=r'answers 500.*is kept'):
        get(site, tmp_path, tracks, 'breaks', '500')
    part = (tmp_path / 'work' / 'file.tck.part').stat().st_size
    assert part > 0
    site.requests.clear()
    assert get(site, tmp_path, tracks, 'whole') == tracks
    assert site.asked('/file.tck')[0]['Range'] == f'bytes={part}-'


def test_file_that_changed_is_not_mixed(site, tmp_path, tracks):
    with pytest.raises(InputError):
        get(site, tmp_path, tracks, 'breaks', '500')
    site.etag = '"two"'
    other = tracks[::-1]
    assert get(site, tmp_path, other, 'whole') == other


def test_server_without_ranges(site, tmp_path, tracks):
    assert get(site, tmp_path, tracks, 'breaks', 'no ranges') == tracks


def test_part_that_is_whole(site, tmp_path, tracks):
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'file.tck.part').write_bytes(tracks)
    assert get(site, tmp_path, tracks) == tracks


def test_part_that_is_too_long(site, tmp_path, tracks):
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'file.tck.part').write_bytes(tracks + b'more')
    assert get(site, tmp_path, tracks) == tracks


@pytest.mark.parametrize('answer', ['no length', 'slow'])
def test_unusual_but_right(site, tmp_path, tracks, answer):
    assert get(site, tmp_path, tracks, answer) == tracks


def test_timeout_is_tried_again(site, tmp_path, tracks):
    url = site.add('/file.tck', tracks, 'hang', 'whole')
    patience = Patience(timeout=0.3, attempts=20, first_wait=0.01)
    path = download(Remote(url, 'file.tck'), tmp_path / 'work', patience=patience)
    assert path.read_bytes() == tracks


@pytest.mark.parametrize('status', ['429', '500', '503'])
def test_busy_server_is_asked_again(site, tmp_path, tracks, status):
    assert get(site, tmp_path, tracks, status, status, 'whole') == tracks


@pytest.mark.parametrize(
    ('status', 'expected', 'times'),
    [
        ('401', '--api-key', 1),
        ('403', '--api-key', 1),
        ('404', '--url', 1),
        ('418', '418', 1),
        ('429', '429', QUICK.attempts),
        ('500', '500', QUICK.attempts),
        ('page', 'web page', 1),
    ],
)
def test_refusal_is_one_line(site, tmp_path, tracks, status, expected, times):
    with pytest.raises(InputError) as caught:
        get(site, tmp_path, tracks, status)
    assert expected in str(caught.value)
    assert '\n' not in str(caught.value)
    assert len(site.asked('/file.tck')) == times
    assert not (tmp_path / 'work' / 'file.tck').exists()


def test_no_server(tmp_path):
    with pytest.raises(InputError, match=r'127\.0\.0\.1:9/x\.tck'):
        download(Remote('http://127.0.0.1:9/x.tck', 'x.tck'), tmp_path, patience=QUICK)


def test_wrong_checksum(site, tmp_path, tracks):
    with pytest.raises(InputError, match='checksum'):
        get(site, tmp_path, tracks, checksum=f'md5:{md5(b"other")}')
    assert {path.name for path in (tmp_path / 'work').iterdir()} == {'.lock'}


def test_full_disk_is_foreseen(site, tmp_path, tracks):
    with pytest.raises(InputError, match=r'1000000\.0 GB'):
        check_space(tmp_path, 10**15)
    record = connectomes()['dtor985'].record
    apis = figshare(site, tracks)
    files = json.loads(site.files[f'/figshare/articles/{record}/files'])
    files[1]['size'] = 10**15
    site.add(f'/figshare/articles/{record}/files', json.dumps(files).encode())
    with pytest.raises(InputError, match='--output-dir'):
        fetch('dtor985', tmp_path / 'c', token=TOKEN, apis=apis, patience=QUICK)
    assert not site.asked('/ndownloader/1')


def test_full_disk_keeps_the_part(site, tmp_path, tracks, monkeypatch):
    def fill(step):
        if step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr('lacuna.datasets.download.counting', lambda *_, **__: nullcontext(fill))
    remote = Remote(site.add('/file.tck', tracks), 'file.tck')
    with pytest.raises(InputError, match='No space left on device'):
        download(remote, tmp_path / 'work', patience=QUICK)
    assert (tmp_path / 'work' / 'file.tck.part').stat().st_size > 0


def test_figshare(site, tmp_path, tracks):
    folder = tmp_path / 'connectomes'
    path = fetch('dtor985', folder, token=TOKEN, apis=figshare(site, tracks), patience=QUICK)
    assert path == folder / 'dtor985.tck'
    assert scan(path).count == 3
    assert read_header(path).step_size == 0.5
    sidecar = read_json(folder / 'dtor985.json')
    assert sidecar['Space'] == 'MNI152NLin2009bAsym'
    assert sidecar['StreamlineCount'] == 3
    assert 'Elias' in sidecar['ReferencesAndLinks'][0]
    assert sidecar['Sources'][0] == f'{site.address}/ndownloader/1'
    assert {path.name for path in folder.iterdir()} == {'dtor985.tck', 'dtor985.json'}
    assert all(headers['Authorization'] == f'token {TOKEN}' for _, headers in site.requests)


def test_what_is_there_is_left(site, tmp_path, tracks):
    apis = figshare(site, tracks)
    for _ in range(2):
        path = fetch('dtor985', tmp_path / 'c', token=TOKEN, apis=apis, patience=QUICK)
    assert len(site.requests) == 2
    path.write_bytes(b'')
    fetch('dtor985', tmp_path / 'c', token=TOKEN, apis=apis, force=True, patience=QUICK)
    assert scan(path).count == 3


def test_token_stays_with_its_site(servers, tmp_path, tracks):
    site, elsewhere = servers[0].site, servers[1].site
    store = elsewhere.add('/store', tracks)
    fetch('dtor985', tmp_path, token=TOKEN, apis=figshare(site, tracks, f'to {store}'), patience=QUICK)
    assert scan(tmp_path / 'dtor985.tck').count == 3
    (headers,) = elsewhere.asked('/store')
    assert 'Authorization' not in headers


@pytest.mark.parametrize(
    ('url', 'sent'),
    [
        ('https://ndownloader.figshare.com/files/1', True),
        ('https://figshare.com/files/1', True),
        ('http://figshare.com/files/1', False),
        ('https://notfigshare.com/files/1', False),
        ('https://figshare.com.example.org/files/1', False),
    ],
)
def test_token_goes_to_figshare_only(url, sent):
    assert (locate(connectomes()['dtor985'], url=url, token=TOKEN).token == TOKEN) is sent
    assert locate(connectomes()['hcp1065'], url=url, token=TOKEN).token is None


@pytest.mark.parametrize('answer', ['whole', '401', '403', '404', 'page', '500'])
def test_token_is_never_shown(site, tmp_path, tracks, answer, capsys, caplog):
    caplog.set_level('DEBUG')
    apis = figshare(site, tracks, answer)
    shown = ''
    try:
        fetch('dtor985', tmp_path / 'c', token=TOKEN, apis=apis, patience=QUICK)
    except InputError as error:
        shown = repr(error)
    shown += caplog.text + ''.join(capsys.readouterr())
    shown += ''.join(path.read_text('latin1') for path in (tmp_path / 'c').rglob('*') if path.is_file())
    assert TOKEN not in shown
    assert TOKEN not in repr(Remote('x', 'y', token=TOKEN))


def test_secret_in_an_address_is_never_shown(site, tmp_path, tracks, capsys):
    url = site.add('/a.tck', tracks, '404')
    args = ['fetch', 'hcp1065', '--url', f'{url}?token={TOKEN}', '--output-dir', str(tmp_path / 'c')]
    assert main(args) == 2
    site.answers['/a.tck'] = ['whole']
    assert main(args) == 0
    shown = ''.join(capsys.readouterr()) + (tmp_path / 'c' / 'hcp1065.json').read_text()
    assert TOKEN not in shown


def test_figshare_needs_a_token(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv('FIGSHARE_API_KEY', raising=False)
    assert main(['fetch', 'dtor985', '--output-dir', str(tmp_path)]) == 2
    assert 'FIGSHARE_API_KEY' in capsys.readouterr().err


@pytest.mark.parametrize('bad', ['with\nbreak', 'schlüssel'])
def test_token_of_odd_characters(tmp_path, bad):
    with pytest.raises(InputError, match='token') as caught:
        fetch('dtor985', tmp_path, token=bad)
    assert bad not in str(caught.value)


@pytest.mark.parametrize('answer', [b'[]', b'{}', b'null', b'<html>', b'[{"name": "a.tck"}]'])
def test_odd_answer_of_the_api(site, tmp_path, answer):
    apis = figshare(site, b'')
    site.add(f'/figshare/articles/{connectomes()["dtor985"].record}/files', answer)
    with pytest.raises(InputError, match='--url'):
        fetch('dtor985', tmp_path, token=TOKEN, apis=apis, patience=QUICK)


def test_osf(site, tmp_path, tracks):
    """An address at OSF is looked up: its API knows name, size and checksum."""
    about = {
        'attributes': {
            'name': 'dTOR_10pct.tck',
            'size': len(tracks),
            'extra': {'hashes': {'md5': md5(tracks), 'sha256': hashlib.sha256(tracks).hexdigest()}},
        },
        'links': {'download': f'{site.address}/download/abc12/'},
    }
    site.add('/osf/files/abc12/', json.dumps({'data': about}).encode())
    site.add('/download/abc12/', b'-', f'to {site.add("/v1/resources/x", tracks, "breaks", "whole")}')
    apis = {'figshare': 'x', 'osf': f'{site.address}/osf'}
    url = 'https://osf.io/abc12/download'
    remote = locate(connectomes()['dtor985_10pct'], url=url, apis=apis, token=TOKEN)
    assert remote.checksum == f'sha256:{hashlib.sha256(tracks).hexdigest()}'
    assert remote.name == 'dTOR_10pct.tck'
    assert remote.token is None
    path = fetch('dtor985_10pct', tmp_path, url=url, apis=apis, token=TOKEN, patience=QUICK)
    assert scan(path).count == 3
    assert not any('Authorization' in headers for _, headers in site.requests)


def trk(tmp_path, *lines):
    path = tmp_path / 'source.trk'
    nib.streamlines.save(nib.streamlines.Tractogram(lines, affine_to_rasmm=np.eye(4)), str(path))
    return path.read_bytes()


def points(path):
    return next(block for block, _ in iter_blocks(read_header(path)))


@pytest.mark.parametrize('zipped', [False, True])
def test_trk_becomes_tck(site, tmp_path, zipped):
    content = trk(tmp_path, line(3), line(2, 5))
    name = '/file.trk.gz' if zipped else '/file.trk'
    url = site.add(name, gzip.compress(content) if zipped else content)
    path = fetch('hcp1065', tmp_path / 'c', url=url, patience=QUICK)
    assert scan(path).count == 2
    np.testing.assert_allclose(points(path), [*line(3), *line(2, 5)], atol=1e-5)


@pytest.mark.parametrize('kind', ['zip', 'tar.gz'])
def test_archive_of_bundles(site, tmp_path, kind):
    members = {
        'tracts/association/AF_L.trk.gz': gzip.compress(trk(tmp_path, line(3), line(2, 5))),
        'tracts/readme.txt': b'no tractogram',
        '__MACOSX/._AF_L.trk.gz': b'of a Mac',
        'tracts/projection/CST_R.trk.gz': gzip.compress(trk(tmp_path, line(4, 9))),
    }
    url = site.add(f'/tracts.{kind}', archive(kind, members))
    path = fetch('hcp1065', tmp_path / 'c', url=url, patience=QUICK)
    assert scan(path).count == 3
    np.testing.assert_allclose(points(path), [*line(3), *line(2, 5), *line(4, 9)], atol=1e-5)
    bundles = read_bundles(tmp_path / 'c' / 'hcp1065_bundles.tsv')
    assert {name: rows.tolist() for name, rows in bundles.items()} == {'AF_L': [0, 1], 'CST_R': [2]}
    assert {entry.name for entry in path.parent.iterdir()} == {
        'hcp1065.tck',
        'hcp1065.json',
        'hcp1065_bundles.tsv',
    }


@pytest.mark.parametrize('kind', ['zip', 'tar.gz'])
@pytest.mark.parametrize('name', ['../../evil.tck', '/tmp/evil-of-lacuna.tck', '..\\evil.tck'])  # noqa: S108
def test_no_path_of_an_archive_is_followed(site, tmp_path, tracks, kind, name):
    url = site.add(f'/a.{kind}', archive(kind, {name: tracks, 'ok.tck': tracks}))
    path = fetch('hcp1065', tmp_path / 'one' / 'two', url=url, patience=QUICK)
    assert scan(path).count == 6
    written = {entry.name for entry in tmp_path.rglob('*') if entry.is_file()}
    assert written == {'tracks.tck', 'hcp1065.tck', 'hcp1065.json', 'hcp1065_bundles.tsv'}


def test_no_link_of_an_archive_is_followed(site, tmp_path, tracks):
    (tmp_path / 'private.tck').write_bytes(tracks)
    members = {'link.tck': str(tmp_path / 'private.tck'), 'ok.tck': tracks}
    url = site.add('/a.tar.gz', archive('tar.gz', members))
    assert scan(fetch('hcp1065', tmp_path / 'c', url=url, patience=QUICK)).count == 3


@pytest.mark.parametrize(
    ('name', 'content', 'expected'),
    [
        ('/a.zip', b'no archive', 'the archive cannot be read'),
        ('/a.tar.gz', b'no archive', 'the archive cannot be read'),
        ('/a.zip', archive('zip', {'readme.txt': b'x'}), 'no tractogram in the archive'),
        ('/a.tck', b'no tractogram', 'a.tck'),
    ],
    # not from the content: an archive contains the time, and the processes of pytest-xdist must find the same tests
    ids=['zip', 'tar', 'zip without tractogram', 'tck'],
)
def test_useless_download_is_not_kept(site, tmp_path, tracks, name, content, expected):
    with pytest.raises(InputError, match=expected):
        fetch('hcp1065', tmp_path / 'c', url=site.add(name, content), patience=QUICK)
    assert not list((tmp_path / 'c').glob('hcp1065*'))
    if name == '/a.tck':
        assert scan(fetch('hcp1065', tmp_path / 'c', url=site.add(name, tracks), patience=QUICK)).count == 3


def test_two_at_once(site, tmp_path, tracks):
    url = site.add('/file.tck', tracks, 'slow')
    errors = []

    def run():
        try:
            download(Remote(url, 'file.tck'), tmp_path / 'work', patience=QUICK)
        except InputError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / 'work' / 'file.tck').read_bytes() == tracks
    assert [str(tmp_path / 'work') in error for error in errors] == [True]


def test_command(site, tmp_path, tracks, capsys, monkeypatch):
    monkeypatch.setenv('LACUNA_CACHE_DIR', str(tmp_path / 'cache'))
    url = site.add('/a.tck', tracks)
    assert main(['fetch', 'hcp1065', '--url', url]) == 0
    path = tmp_path / 'cache' / 'connectomes' / 'hcp1065.tck'
    assert path.is_file()
    printed = capsys.readouterr().out
    assert str(path) in printed
    assert 'Yeh (2022)' in printed
    assert main(['fetch', 'hcp1065', '--url', url]) == 0
    assert '--force' in capsys.readouterr().out


def test_list(capsys):
    assert main(['fetch', '--list']) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in connectomes())


@pytest.mark.parametrize(
    'args',
    [
        ['fetch'],
        ['fetch', 'dtor'],
        ['fetch', 'hcp1065', '--url', 'ftp://example.org/a.tck'],
        ['fetch', 'hcp1065', '--url', 'http://['],
        ['fetch', 'hcp1065', '--url', 'a.tck'],
    ],
)
def test_wrong_usage(tmp_path, monkeypatch, capsys, args):
    monkeypatch.setenv('LACUNA_CACHE_DIR', str(tmp_path / 'cache'))
    assert main(args) == 2
    assert capsys.readouterr().err.count('\n') == 1


def test_quiet_without_a_terminal(site, tmp_path, tracks, lacuna_command):
    url = site.add('/a.tck', tracks)
    ran = lacuna_command('fetch', 'hcp1065', '--url', url, '--output-dir', tmp_path / 'c')
    assert ran.returncode == 0
    assert ran.stderr == ''


def test_a_tractogram_of_ones_own(site, tmp_path, tracks, capsys):
    """With its address and space, any other can be fetched."""
    url = site.add('/mine.tck', tracks)
    words = ['fetch', 'mine', '--output-dir', str(tmp_path / 'to')]
    assert main([*words, '--url', url]) == 2
    assert '--space' in capsys.readouterr().err
    assert main([*words, '--url', url, '--space', 'Talairach']) == 2
    assert 'Talairach' in capsys.readouterr().err
    assert main([*words, '--url', url, '--space', 'MNI152NLin6Asym']) == 0
    assert capsys.readouterr().out == f'{tmp_path}/to/mine.tck: 3 streamlines in MNI152NLin6Asym\n'
    assert (tmp_path / 'to/mine.tck').stat().st_size > 0
    about = json.loads((tmp_path / 'to/mine.json').read_text())
    assert (about['Name'], about['Space']) == ('mine', 'MNI152NLin6Asym')
    assert 'ReferencesAndLinks' not in about
    assert main(['fetch', '../mine', '--url', url, '--space', 'MNI152NLin6Asym']) == 2
    assert "'../mine'" in capsys.readouterr().err
    assert main(['fetch', 'hcp1065', '--url', url, '--space', 'MNI152NLin6Asym']) == 2
    assert 'leave out --space' in capsys.readouterr().err
