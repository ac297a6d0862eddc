"""Files in tar shards."""

import io
import os
import random
import tarfile

import pytest

from mmdit import shards
from mmdit.shards import find_member, read_member

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
FILES = {
    '0001.jpg': b'first',
    'folder/0002.seg.png': b'x' * 512,
    './0003.jpg': b'',
    'f' * 90 + '/' + 'g' * 60 + '.jpg': b'long',
}


def write(path, files, form=tarfile.PAX_FORMAT, **attributes):
    """Write a shard as webdataset does: with times of a fraction."""
    with tarfile.open(path, 'w', format=form) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mtime = 1700000000.25
            for key, value in attributes.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize('form', FORMATS)
def test_files_are_read_by_name(tmp_path, form):
    files = dict(FILES)
    if form != tarfile.USTAR_FORMAT:
        files['größe/' + 'é' * 70 + '.jpg'] = b'accents'
        files['h' * 300] = b'longer'
    path = write(tmp_path / 'a.tar', files, form)
    for name, content in files.items():
        found = read_member(f'{path}/{name.removeprefix("./")}')
        assert found == content
    with pytest.raises(FileNotFoundError, match='a.tar/0009.jpg does not ex'):
        read_member(f'{path}/0009.jpg')


def test_it_reads_what_tar_writes_of_folders(tmp_path):
    folder = tmp_path / 'images'
    (folder / 'sub').mkdir(parents=True)
    for name in ('a.jpg', 'sub/b.jpg'):
        (folder / name).write_bytes(name.encode())
    with tarfile.open(tmp_path / 'x.tar', 'w') as tar:
        tar.add(folder, '.')
    assert read_member(f'{tmp_path}/x.tar/sub/b.jpg') == b'sub/b.jpg'
    assert find_member(f'{tmp_path}/x.tar/a.jpg')[-1] == len(b'a.jpg')


def test_other_paths_are_no_shards(tmp_path):
    (tmp_path / 'folder.tar').mkdir()
    (tmp_path / 'folder.tar' / 'a.jpg').write_bytes(b'a')
    inner = write(tmp_path / 'folder.tar' / 'b.tar', {'c.jpg': b'c'})
    for path in ('folder.tar/a.jpg', 'none.tar/a.jpg', 'a.jpg', 'b.tar'):
        assert read_member(f'{tmp_path}/{path}') is None
    assert read_member('https://host/a.tar/b.jpg') is None
    assert read_member('a\0.tar/b.jpg') is None
    assert read_member(f'{inner}/c.jpg') == b'c'


def test_a_shard_is_gone_through_once(tmp_path, monkeypatch):
    path = write(tmp_path / 'a.tar', FILES)
    read_member(f'{path}/0001.jpg')
    shards._open.cache_clear()  # another process
    monkeypatch.setattr(shards, '_find_members', None)
    assert read_member(f'{path}/0001.jpg') == b'first'
    assert set(os.listdir(tmp_path)) == {'a.tar', '.a.tar.index'}


def test_another_shard_of_that_name_is_another(tmp_path):
    path = tmp_path / 'a.tar'
    for content in (b'one', b'three'):
        write(path, {'0.jpg': content, '1.jpg': b'x' * len(content)})
        os.utime(path, (len(content), len(content)))
        assert read_member(f'{path}/0.jpg') == content


@pytest.mark.parametrize(
    'name', ['../a.jpg', '/etc/passwd', 'a/../../b.jpg', 'a//b.jpg']
)
def test_names_that_lead_elsewhere_are_rejected(tmp_path, name):
    path = write(tmp_path / 'a.tar', {'0.jpg': b'', name: b''})
    with pytest.raises(ValueError, match='is no name of a file below'):
        read_member(f'{path}/0.jpg')


@pytest.mark.parametrize(
    'kind',
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.CONTTYPE,
    ],
)
def test_what_is_no_file_is_rejected(tmp_path, kind):
    path = write(
        tmp_path / 'a.tar',
        {'0.jpg': b''},
        tarfile.GNU_FORMAT,
        type=kind,
        linkname='/etc/passwd',
    )
    what = "'0.jpg' in it is (a link, a device|sparse)"
    with pytest.raises(ValueError, match=what):
        read_member(f'{path}/0.jpg')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: __import__('gzip').compress(c), 'is it compressed'),
        (lambda c: c[:600], 'breaks off in'),
        (lambda c: b'<html>' * 200, 'no plain tar'),
        (lambda c: c[:10240] * 2, 'twice'),
    ],
)
def test_damaged_shards_are_told(tmp_path, change, message):
    path = write(
        tmp_path / 'a.tar', {'0.jpg': b'x' * 3000}, tarfile.USTAR_FORMAT
    )
    content = path.read_bytes()[: 512 + 3072]
    path.write_bytes(change(content))
    with pytest.raises(ValueError, match=f'{path} is not.*{message}.*tar cf'):
        read_member(f'{path}/0.jpg')


def sized(size, kind=tarfile.REGTYPE):
    """Return a header that gives a size, with its checksum."""
    info = tarfile.TarInfo('0.jpg')
    info.type = kind
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size.ljust(12, b'\0')
    header[148:156] = b' ' * 8
    header[148:156] = b'%06o\0 ' % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    'size', [b'-1000', b'7' * 11, b'9', b'\x80' + b'\xff' * 9]
)
def test_sizes_that_lead_elsewhere_are_rejected(tmp_path, size):
    path = tmp_path / 'a.tar'
    path.write_bytes(sized(size) + bytes(1024))
    with pytest.raises(ValueError, match='no plain tar|breaks off in'):
        read_member(f'{path}/0.jpg')


@pytest.mark.parametrize('kind', [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize('bits', [60, 80])
def test_names_that_fit_into_no_memory_are_rejected(tmp_path, kind, bits):
    path = tmp_path / 'a.tar'
    size = b'\x80' + (2**bits).to_bytes(11, 'big')
    path.write_bytes(sized(size, kind) + bytes(1024))
    with pytest.raises(ValueError, match='no plain tar'):
        read_member(f'{path}/0.jpg')


def test_sparse_files_are_rejected(tmp_path):
    sparse = {'GNU.sparse.map': '0,1', 'GNU.sparse.size': '9'}
    path = write(tmp_path / 'a.tar', {'0.jpg': b'x'}, pax_headers=sparse)
    with pytest.raises(ValueError, match='is sparse'):
        read_member(f'{path}/0.jpg')


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, '_MAX_BYTES', 4)
    path = write(tmp_path / 'a.tar', FILES)
    with pytest.raises(ValueError, match='has 5 bytes, expected at most 4'):
        read_member(f'{path}/0001.jpg')


@pytest.mark.parametrize('form', FORMATS)
def test_no_damage_leads_outside(form):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode='w', format=form) as tar:
        for name, content in FILES.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 0.5
            tar.addfile(info, io.BytesIO(content))
    content, draw = file.getvalue()[:7168], random.Random(0)
    told = 0
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 2, 20])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        # A header whose checksum is right again.
        at = 512 * draw.randrange(len(damaged) // 512)
        damaged[at + 148 : at + 156] = b' ' * 8
        damaged[at + 148 : at + 156] = b'%06o\0 ' % sum(damaged[at : at + 512])
        try:
            for _, start, size in shards._find_members(io.BytesIO(damaged)):
                assert 0 <= start <= start + size <= len(damaged)
        except ValueError:
            told += 1
    assert told > 100
