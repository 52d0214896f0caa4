# SPDX-License-Identifier: BSD-3-Clause
"""Programs that nobody changed: on the local parts joined in one process, and on a mount of real daemons."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.filegrid import FileGrid, file_grid
from support.localfs import LocalFs
from xos.xtreemfs.fuse.mounting import MountOptions
from xos.xtreemfs.fuse.serve import mounted

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"),
    pytest.mark.timeout(120),  # whole programs, on a machine that may be busy
]
SOURCE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    with file_grid(2, home=None) as made:
        made.mount()
        yield made


@pytest.fixture(params=["local parts", "mount"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Path]:
    if request.param == "mount":
        (mount,) = request.getfixturevalue("grid").mounts
        path: Path = mount.path / request.node.name.replace(" ", "-").replace("/", "-")
        await asyncio.to_thread(path.mkdir)
        yield path
        return
    path = tmp_path / "mnt"
    path.mkdir()
    options = MountOptions(source="local", subtype="xostest", suid=True, dev=True)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as kept:
        async with mounted(LocalFs(Path(kept)), path, options):
            yield path


async def sh(home: Path, script: str) -> str:
    """What a script in *home* writes. The shell itself goes there: we may serve that place, and wait for its start."""
    shell = await asyncio.create_subprocess_exec(
        "sh", "-euc", f'cd "$M"; {script}', cwd="/", stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C", "M": str(home), "SOURCE": str(SOURCE), "PYTHON": sys.executable},
    )  # fmt: skip
    output, _ = await shell.communicate()
    assert shell.returncode == 0, output.decode(errors="replace")
    return output.decode(errors="replace")


async def test_git_keeps_a_repository(home: Path) -> None:
    text = await sh(
        home,
        """git init -q --bare origin.git; git clone -q origin.git work 2>/dev/null; cd work
        git config user.name t; git config user.email t@t; cp -r $SOURCE/docs/examples .; git add .; git commit -qm one
        echo more >>examples/text.txt; git commit -qam two; git push -q origin HEAD:main; git gc -q
        git fsck --full; git -C ../origin.git log --oneline main | wc -l; git status --short""",
    )
    assert text.strip().endswith("2")


async def test_a_program_is_built_by_several_compilers_at_once(home: Path) -> None:
    text = await sh(
        home,
        """for i in 1 2 3 4 5 6; do echo "int f$i(void) { return $i; }" >f$i.c; done
        echo 'int f1(void), f6(void); int main(void) { return f1() + f6() - 7; }' >main.c
        printf 'all: prog\\nprog: main.o f1.o f2.o f3.o f4.o f5.o f6.o\\n\\tgcc -o $@ $^\\n' >Makefile
        make -s -j 4; ./prog; echo built""",
    )
    assert text == "built\n"


async def test_a_database_survives_many_transactions(home: Path) -> None:
    code = (
        "import sqlite3\n"
        "db = sqlite3.connect('t.db'); db.execute('create table t (a integer primary key, b text)')\n"
        "for i in range(60):\n"
        "    with db: db.execute('insert into t values (?, ?)', (i, 'x' * (i * 137 % 5000)))\n"
        "with db: db.execute('delete from t where a % 3 = 0')\n"
        "db.execute('vacuum')\n"
        "print(*db.execute('pragma integrity_check').fetchone(), *db.execute('select count(*) from t').fetchone())\n"
    )
    assert await sh(home, f'$PYTHON -c "{code}"') == "ok 40\n"


@pytest.mark.skipif(shutil.which("rsync") is None, reason="needs rsync")
async def test_rsync_keeps_links_attributes_and_times(home: Path) -> None:
    text = await sh(
        home,
        """mkdir -p a/b; echo x >a/f; ln a/f a/b/g; ln -s ../f a/b/s; mkfifo a/p; chmod 2751 a/b
        touch -d @12345.678 a/f
        chown 12:34 a/f; $PYTHON -c "import os; os.setxattr('a/f', 'user.k', b'v')"
        rsync -aHX a/ c/; rsync -aHXni --delete a/ c/
        stat -c '%h %a %u %g %Y' c/f; stat -c %a c/b; readlink c/b/s
        $PYTHON -c "import os; print(os.getxattr('c/f', 'user.k').decode())" """,
    )
    assert text == "2 644 12 34 12345\n2751\n../f\nv\n"


@pytest.mark.skipif(shutil.which("fio") is None, reason="needs fio")
@pytest.mark.parametrize("engine", ["psync", "libaio --direct=1 --iodepth=8", "mmap"])
async def test_fio_verifies_what_it_wrote_at_random(home: Path, engine: str) -> None:
    text = await sh(
        home,
        f"""fio --name=v --directory=. --size=4m --rw=randwrite --bs=4k --ioengine={engine} --fsync=100 --numjobs=2 \\
        --verify=crc32c --do_verify=1 --verify_fatal=1 --minimal""",
    )
    assert "verify" not in text


@pytest.mark.skipif(shutil.which("setfacl") is None or shutil.which("rsync") is None, reason="needs rsync and acl")
async def test_rsync_takes_acls_along(home: Path) -> None:
    if not home.parent.name.startswith("mnt"):
        pytest.skip("the local parts keep no ACLs")
    text = await sh(
        home,
        """mkdir a; echo x >a/f; setfacl -m u:4242:r,g:77:rw a/f; setfacl -d -m u:4242:rx a
        rsync -aHAX a/ c/; rsync -aHAXni --delete a/ c/
        getfacl -nc c/f | head -2; getfacl -nc c | grep default:user:42""",
    )
    assert text == "user::rw-\nuser:4242:r--\ndefault:user:4242:r-x\n"


async def test_others_keep_out(home: Path) -> None:
    text = await sh(
        home,
        """chmod 755 .; mkdir -m 700 mine; echo secret >mine/f; chown -R 4242:4242 mine
        setpriv --reuid 4343 --regid 4343 --clear-groups cat mine/f 2>&1 || true
        setpriv --reuid 4242 --regid 4242 --clear-groups cat mine/f; mkdir -m 1777 tmp; touch tmp/f
        setpriv --reuid 4343 --regid 4343 --clear-groups rm -f tmp/f 2>&1 || true; ls tmp""",
    )
    assert text == "cat: mine/f: Permission denied\nsecret\nrm: cannot remove 'tmp/f': Operation not permitted\nf\n"


async def test_many_small_files_come_and_go(home: Path) -> None:
    text = await sh(
        home,
        """$PYTHON -c "
import os
for i in range(100):
    os.makedirs(f't/{i % 20}', exist_ok=True)
    with open(f't/{i % 20}/{i}', 'w') as f: f.write(str(i) * 50)
"; tar cf all.tar t; mv t u; tar xf all.tar; diff -r t u; rm -r u t; ls""",
    )
    assert text == "all.tar\n"
