# SPDX-License-Identifier: BSD-3-Clause
"""What people run on their files: each written by programs on one side, and looked at by programs on another.

Scripts of sh that stand in a directory of their own on a volume, with ``$PLACE`` outside of it for what is compared,
and ``$FILES`` for how many; ``$OTHER`` is an account and ``$OTHERS`` a group that both sides know.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """One program's work."""

    name: str
    needs: tuple[str, ...]
    """Programs."""
    write: str
    read: str
    """On the other, after what was written is closed; may write too."""
    says: str
    """The end of what *read* prints."""
    unlike: str = ""
    """The paths whose content no two runs of *write* make alike: a regular expression."""


GIT = Program(
    "git",
    ("git",),
    """export HOME=$PLACE GIT_CONFIG_COUNT=4 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=t \\
        GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=t@t GIT_CONFIG_KEY_2=safe.directory GIT_CONFIG_VALUE_2='*' \\
        GIT_CONFIG_KEY_3=pack.threads GIT_CONFIG_VALUE_3=1 \\
        GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000'
    git init -q --bare -b main origin.git
    git clone -q origin.git work 2>/dev/null
    cd work
    for i in $(seq 40); do mkdir -p d$((i % 5)); seq $i 900 >d$((i % 5))/f$i; done
    git add .
    git commit -qm one
    for i in $(seq 10); do echo more >>d$((i % 5))/f$i; git commit -qam "change $i"; done
    git push -q origin HEAD:main
    git gc -q
    git fsck --full --strict""",
    """export HOME=$PLACE GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
    git -C work fsck --full --strict
    git -C origin.git fsck --full --strict
    git clone -q -b main origin.git again
    diff -r -x .git work again
    git -C again log --oneline | wc -l
    git -C again status --short""",
    "11\n",
    r"\.git/(config|index)$",  # where it came from; times and numbers of files
)

MAKE = Program(
    "make",
    ("make", "gcc"),
    """all=
    for i in $(seq 24); do echo "int f$i(void) { return $i; }" >f$i.c; all="$all f$i.o"; done
    { for i in $(seq 24); do echo "int f$i(void);"; done; echo '#include <stdio.h>'; echo 'int main(void) { int n = 0;'
    for i in $(seq 24); do echo "n += f$i();"; done; echo 'printf("%d", n); puts(""); return 0; }'; } >main.c
    { echo "prog: main.o libf.a"; printf '\\t$(CC) -o $@ $^\\n'
    echo "libf.a:$all"; printf '\\t$(AR) rcs $@ $^\\n'; } >Makefile
    make -s -j 4
    ./prog""",
    """make -q
    ./prog""",
    "300\n",
)

SQLITE = Program(
    "sqlite3",
    ("sqlite3",),
    """umask 0
    sqlite3 base.db 'create table t (who text, n integer, b blob)'
    for who in 1 2 3; do
        { echo '.timeout 100000'; for n in $(seq 20); do
        echo "begin immediate; insert into t values ('$who', $n, randomblob($n * 137 % 5000)); commit;"
        done; } | sqlite3 base.db &
        all="${all:-} $!"
    done
    for one in $all; do wait $one; done
    sqlite3 base.db 'pragma integrity_check; select count(*) from t; delete from t where n % 4 = 0; vacuum'
    sqlite3 wal.db 'pragma journal_mode = wal; create table t (a); insert into t values (7)' >/dev/null""",
    """sqlite3 base.db 'pragma integrity_check; select count(*) from t'
    { echo '.timeout 100000'; echo "insert into t values ('there', 1, zeroblob(9000));"; } | sqlite3 base.db
    sqlite3 base.db 'pragma integrity_check; select count(*) from t'""",
    "ok\n45\nok\n46\n",
    r"^base\.db$",  # who writes when
)

RSYNC = Program(
    "rsync",
    ("rsync", "setfacl", "python3"),
    """mkdir -p a/b
    echo x >a/f
    ln a/f a/b/g
    ln -s ../f a/b/s
    ln -s nowhere a/broken
    mkfifo a/p
    truncate -s 3M a/sparse
    echo end >>a/sparse
    mkdir a/b/many
    for i in $(seq 60); do echo $i >a/b/many/$i; done
    setfacl -m u:$OTHER:r,g:$OTHERS:rw a/f
    setfacl -d -m u:$OTHER:rx a/b
    python3 -c "import os; os.setxattr('a/f', 'user.k', b'v' * 3000); os.setxattr('a/b', 'user.l', bytes(range(256)))"
    chmod 2751 a/b
    touch -d @12345.678 a/f a/b
    rsync -aHAX a/ c/
    test -z "$(rsync -aHAXnic --delete a/ c/)" """,
    """test -z "$(rsync -aHAXnic --delete a/ c/)"
    stat -c '%h %a %Y' c/f c/b/g
    stat -c %a c/b
    readlink c/b/s
    python3 -c "import os; print(len(os.getxattr('c/f', 'user.k')))"
    getfacl -c c/f | grep ":$OTHER:" | cut -d : -f 1,3""",
    "2 664 12345\n2 664 12345\n2751\n../f\n3000\nuser:r--\n",
)

TAR = Program(
    "tar",
    ("tar", "python3"),
    """python3 - "$PLACE" "$FILES" <<'END'
import os, sys
place, count = sys.argv[1], int(sys.argv[2])
for number in range(count):
    directory = f"{place}/tree/{number % 97}/{number % 11}"
    os.makedirs(directory, exist_ok=True)
    with open(f"{directory}/{number}", "w") as file:
        file.write(f"{number}\\n" * (number % 500))
END
    tar -C "$PLACE" -cf "$PLACE/all.tar" tree
    tar -xf "$PLACE/all.tar"
    tar -cf again.tar tree""",
    """tar -df again.tar
    diff -r tree "$PLACE/tree"
    find tree -type f | wc -l
    mkdir other
    tar -C other -xf again.tar
    rm -r other""",
    "",
    r"^again\.tar$",  # times
)

FIO = Program(
    "fio",
    ("fio",),
    """cat >$PLACE/job <<'END'
[global]
size=3m
bs=4k
verify=crc32c
verify_fatal=1
randseed=7
fallocate=none
[sync]
rw=randwrite
ioengine=psync
fsync=64
[direct]
rw=randwrite
ioengine=libaio
direct=1
iodepth=8
[mmap]
rw=randwrite
ioengine=mmap
[large]
rw=write
bs=1m
size=16m
ioengine=psync
END
    fio --minimal --verify_state_save=0 --do_verify=1 $PLACE/job >/dev/null""",
    """fio --minimal --verify_state_save=0 --verify_only $PLACE/job >/dev/null
    ls | wc -l""",
    "4\n",
    r".",  # times are part of the pattern
)

PROGRAMS = (GIT, MAKE, SQLITE, RSYNC, TAR, FIO)
