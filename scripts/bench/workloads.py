#!/usr/bin/env python3
"""workloads.py - what people do to a file system, timed, on any mounted directory.

    workloads.py --dir DIR [--drop 'COMMAND'] [--only NAME,...] [--quick] [--keep] [--list]

Prints ONE JSON object on stdout:  {workload: {value, unit, detail[, error]}}
Progress goes to stderr.  MB = 1e6 bytes, MiB = 2**20 bytes.

DIR may be on any file system; a fresh subdirectory is made in it and removed at the end.
--drop is the shell command that makes every cache cold, run with nothing open below DIR
(so it may unmount and mount DIR again).  Tools used: fio, tar, git, ls, grep, rm, find,
and python's sqlite3.  Sources that the workloads copy from (a tarball, a git repository)
are built once outside DIR, in $WORKLOADS_CACHE (default: a folder in the temporary folder).

What was written is read back after --drop and compared byte for byte (or by SHA-256 for
the tree); a workload whose data is wrong gives an error, never a number.  Each timed part
stops after --cap seconds (60; 5 with --quick): a workload that moves a fixed amount then
reports the rate over what it did, with detail.cut_short true.
"""
import argparse
import hashlib
import json
import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback

MIB = 1 << 20
K4 = 4096
POOL_SPAN = 8 * MIB
POOL = memoryview(random.Random(20261122).randbytes(POOL_SPAN + MIB))
NEEDLE = "zq7_the_needle_in_the_tree_zq7"
ENV = dict(os.environ, LC_ALL="C", GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null",
           GIT_CONFIG_COUNT="2", GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*",
           GIT_CONFIG_KEY_1="gc.auto", GIT_CONFIG_VALUE_1="0", GIT_TERMINAL_PROMPT="0",
           GIT_AUTHOR_NAME="w", GIT_AUTHOR_EMAIL="w@example.invalid",
           GIT_COMMITTER_NAME="w", GIT_COMMITTER_EMAIL="w@example.invalid",
           GIT_AUTHOR_DATE="2026-01-01T00:00:00Z", GIT_COMMITTER_DATE="2026-01-01T00:00:00Z")


class Wrong(Exception):
    """What was read back is not what was written."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def piece(number, size):
    """The size bytes that belong at place `number`: cheap, repeatable, not compressible."""
    at = (number * 4099) % POOL_SPAN
    return POOL[at:at + size]


def write_all(fd, data):
    done = os.write(fd, data)
    while done < len(data):
        done += os.write(fd, data[done:])


# ---------------------------------------------------------------- measuring

def machine_counters():
    with open("/proc/stat") as f:
        t = [int(x) for x in f.readline().split()[1:]]
    busy = (sum(t[:8]) - t[3] - t[4]) / os.sysconf("SC_CLK_TCK")
    rd = wr = 0
    with open("/proc/diskstats") as f:
        for line in f:
            w = line.split()
            if os.path.exists("/sys/block/%s/device" % w[2]):
                rd += int(w[5]) * 512
                wr += int(w[9]) * 512
    return busy, rd, wr


class Timed:
    """Wall time of a block, and what the whole machine did meanwhile."""

    def __enter__(self):
        self.c0 = machine_counters()
        self.t0 = time.monotonic()
        return self

    def now(self):
        return time.monotonic() - self.t0

    def __exit__(self, *_):
        self.s = max(time.monotonic() - self.t0, 1e-9)
        c1 = machine_counters()
        self.detail = {"seconds": round(self.s, 4),
                       "cpu_cores_busy": round((c1[0] - self.c0[0]) / self.s, 2),
                       "disk_read_mib": round((c1[1] - self.c0[1]) / MIB, 1),
                       "disk_written_mib": round((c1[2] - self.c0[2]) / MIB, 1)}
        return False


def command(args, cap, **kw):
    """Run a tool; its seconds.  Raises when it fails or passes the cap."""
    with Timed() as t:
        p = subprocess.run(args, timeout=cap, env=ENV, cwd="/", stdin=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, stdout=kw.pop("stdout", subprocess.DEVNULL), **kw)
    if p.returncode not in kw.get("ok", (0,)):
        raise RuntimeError("%s: exit %d: %s" % (args[0], p.returncode, p.stderr.decode(errors="replace")[-300:]))
    return t


def in_parallel(n, work):
    """Fork n children, let them all go at once, give (Timed, their answers)."""
    kids = []
    go_r, go_w = os.pipe()
    for k in range(n):
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(go_w)
                os.close(r)
                os.read(go_r, 1)
                os.write(w, json.dumps(work(k)).encode())
                code = 0
            except BaseException as e:
                os.write(w, json.dumps({"error": repr(e)}).encode())
            finally:
                os._exit(code)
        os.close(w)
        kids.append((pid, r))
    time.sleep(0.05)
    with Timed() as t:
        os.close(go_w)
        out = []
        for pid, r in kids:
            text = b""
            while True:
                b = os.read(r, 65536)
                if not b:
                    break
                text += b
            os.waitpid(pid, 0)
            os.close(r)
            out.append(json.loads(text))
    os.close(go_r)
    for o in out:
        if isinstance(o, dict) and "error" in o:
            raise RuntimeError(o["error"])
    return t, out


# ---------------------------------------------------------------- sources outside DIR

def fixed_sources(quick):
    """A tarball of ~5,300 real files, its manifest, and a git repository of 2,000 of them."""
    base = os.path.join(os.environ.get("WORKLOADS_CACHE") or os.path.join(tempfile.gettempdir(), "banyan-bench-sources"),
                        "quick" if quick else "full")
    tar, man, repo = (os.path.join(base, x) for x in ("tree.tar", "manifest.json", "repo.git"))
    if not os.path.exists(os.path.join(base, "done")):
        shutil.rmtree(base, ignore_errors=True)
        top = os.path.join(base, "src", "tree")
        os.makedirs(top)
        wants = [("/usr/include", 350 if quick else 3600), ("/usr/share/doc", 150 if quick else 1700)]
        for root, want in wants:
            files = []
            for d, ds, fs in os.walk(root):
                ds.sort()
                for f in fs:
                    p = os.path.join(d, f)
                    if os.path.isfile(p) and not os.path.islink(p) and 0 < os.path.getsize(p) <= 128 * 1024:
                        files.append(p)
            for p in sorted(files)[:want]:
                q = top + p[4:]
                os.makedirs(os.path.dirname(q), exist_ok=True)
                shutil.copyfile(p, q)
        with open(os.path.join(top, "needle.txt"), "w") as f:
            f.write(NEEDLE + "\n")
        manifest = {"files": {}, "dirs": 0, "bytes": 0}
        for d, ds, fs in os.walk(top):
            ds.sort()
            manifest["dirs"] += 1
            for f in sorted(fs):
                p = os.path.join(d, f)
                data = open(p, "rb").read()
                manifest["files"][os.path.relpath(p, os.path.dirname(top))] = hashlib.sha256(data).hexdigest()
                manifest["bytes"] += len(data)
        manifest["fingerprint"] = hashlib.sha256(json.dumps(manifest["files"], sort_keys=True).encode()).hexdigest()[:16]
        subprocess.run(["tar", "--sort=name", "--mtime=2026-01-01", "--owner=0", "--group=0",
                        "-cf", tar, "-C", os.path.dirname(top), "tree"], check=True)
        few = sorted(manifest["files"])[:200 if quick else 2000]
        work = os.path.join(base, "work")
        for p in few:
            q = os.path.join(work, p)
            os.makedirs(os.path.dirname(q), exist_ok=True)
            shutil.copyfile(os.path.join(base, "src", p), q)
        for a in (["init", "-q", "-b", "main", work], ["-C", work, "add", "-A"],
                  ["-C", work, "commit", "-q", "-m", "tree"], ["clone", "-q", "--bare", work, repo]):
            subprocess.run(["git"] + a, check=True, env=ENV)
        manifest["git_files"] = len(few)
        json.dump(manifest, open(man, "w"))
        shutil.rmtree(work)
        shutil.rmtree(os.path.join(base, "src"))
        open(os.path.join(base, "done"), "w").close()
    return tar, repo, json.load(open(man))


# ---------------------------------------------------------------- what the workloads share

class Ctx:
    def __init__(self, opts, home):
        self.home, self.quick, self.dropcmd = home, opts.quick, opts.drop
        self.cap = opts.cap or (5 if opts.quick else 60)
        self.tar, self.repo, self.manifest = fixed_sources(opts.quick)
        q = opts.quick
        self.big_mib, self.w4_mib, self.rw_mib = (64, 8, 32) if q else (512, 64, 256)
        self.rand_s, self.fsync_s, self.stat_s = (2, 1, 1) if q else (10, 5, 5)
        self.small_n, self.j8_n = (200, 50) if q else (2000, 500)
        self.sql_n, self.ren_n = (50, 200) if q else (500, 2000)
        self.state = {}

    def p(self, *a):
        return os.path.join(self.home, *a)

    def drop(self):
        r = subprocess.run(self.dropcmd, shell=True, cwd="/", stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120)
        if r.returncode:
            raise RuntimeError("--drop failed: " + r.stderr.decode(errors="replace")[-300:])

    # --- things that a workload needs and an earlier one may have made
    def big(self):
        if not self.state.get("big"):
            fd = os.open(self.p("big"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
            for i in range(self.big_mib):
                write_all(fd, piece(i, MIB))
            os.fsync(fd)
            os.close(fd)
            self.state["big"] = self.big_mib
        return self.p("big"), self.state["big"]

    def tree(self):
        if not self.state.get("tree"):
            os.makedirs(self.p("x"), exist_ok=True)
            subprocess.run(["tar", "-xf", self.tar, "-C", self.p("x")], check=True, timeout=400)
            self.state["tree"] = True
        return self.p("x", "tree")

    def entries(self):
        return len(self.manifest["files"]) + self.manifest["dirs"] - 1


def check_sequence(path, count, size):
    """The file is exactly pieces 0..count-1 of `size` bytes."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if os.fstat(fd).st_size != count * size:
            raise Wrong("%s: size %d, wrote %d" % (os.path.basename(path), os.fstat(fd).st_size, count * size))
        per = max(1, MIB // size)
        for i in range(0, count, per):
            want = b"".join(piece(j, size) for j in range(i, min(count, i + per)))
            got = b""
            while len(got) < len(want):
                b = os.read(fd, len(want) - len(got))
                if not b:
                    break
                got += b
            if got != want:
                raise Wrong("%s: bytes differ near %d" % (os.path.basename(path), i * size))
    finally:
        os.close(fd)


def check_small(folder, names_numbers):
    have = set(os.listdir(folder))
    want = dict(names_numbers)
    if have != set(want):
        raise Wrong("%s: %d names, wrote %d" % (os.path.basename(folder), len(have), len(want)))
    for name, number in want.items():
        with open(os.path.join(folder, name), "rb") as f:
            if f.read() != piece(number, K4):
                raise Wrong("%s: wrong bytes" % name)


# ---------------------------------------------------------------- the workloads

def seq_write_of(c, name, mib, size):
    path = c.p(name)
    n, done = mib * MIB // size, 0
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    with Timed() as t:
        for done in range(1, n + 1):
            write_all(fd, piece(done - 1, size))
            if not done & 255 and t.now() > c.cap:
                break
        wrote = t.now()
        os.fsync(fd)
        synced = t.now()
        os.close(fd)
    c.drop()
    check_sequence(path, done, size)
    d = t.detail
    d.update(mib=done * size / MIB, write_s=round(wrote, 3), fsync_s=round(synced - wrote, 3),
             close_s=round(t.s - synced, 3), cut_short=done < n)
    return done * size / t.s / 1e6, "MB/s", d


def seq_write(c):
    r = seq_write_of(c, "big", c.big_mib, MIB)
    c.state["big"] = int(r[2]["mib"])
    return r


def seq_write_4k(c):
    r = seq_write_of(c, "w4", c.w4_mib, K4)
    os.unlink(c.p("w4"))
    return r


def read_through(path, t, cap):
    buf = bytearray(MIB)
    fd = os.open(path, os.O_RDONLY)
    total = 0
    while t.now() < cap:
        n = os.readv(fd, [buf])
        if not n:
            break
        total += n
    os.close(fd)
    return total


def seq_read_cold(c):
    path, mib = c.big()
    c.drop()
    with Timed() as t:
        total = read_through(path, t, c.cap)
    if total == mib * MIB:
        check_sequence(path, mib, MIB)
    t.detail.update(mib=total / MIB, cut_short=total < mib * MIB)
    return total / t.s / 1e6, "MB/s", t.detail


def seq_read_warm(c):
    path, mib = c.big()
    with Timed() as t0:
        read_through(path, t0, c.cap)
    rounds = total = 0
    with Timed() as t:
        while not rounds or (t.now() < 2 and rounds < 20):
            total += read_through(path, t, c.cap)
            rounds += 1
    check_sequence(path, mib, MIB)
    t.detail.update(rounds=rounds)
    return total / t.s / 1e6, "MB/s", t.detail


def rand_read_of(c, jobs):
    """Every 4 KiB block at most once (each job has its own part of the file), so that no read is
    served from what an earlier one brought in; ends after the time or when all were read."""
    path, mib = c.big()
    c.drop()
    part = mib // jobs
    with Timed() as t:
        p = subprocess.run(["fio", "--name=rr", "--filename=" + path, "--readonly", "--rw=randread", "--bs=4k",
                            "--ioengine=psync", "--direct=0", "--size=%dm" % part, "--offset_increment=%dm" % part,
                            "--randrepeat=0", "--allrandrepeat=0", "--runtime=%d" % c.rand_s, "--numjobs=%d" % jobs,
                            "--thread", "--group_reporting", "--output-format=json"],
                           cwd="/tmp", capture_output=True, timeout=c.rand_s + 60)
    if p.returncode:
        raise RuntimeError("fio: " + p.stderr.decode(errors="replace")[-300:])
    text = p.stdout.decode()
    r = json.loads(text[text.index("{"):])["jobs"][0]["read"]
    pct = r["clat_ns"].get("percentile", {})
    t.detail.update(ios=r["total_ios"], lat_us_mean=round(r["clat_ns"]["mean"] / 1e3, 1),
                    lat_us_p50=round(pct.get("50.000000", 0) / 1e3, 1), lat_us_p99=round(pct.get("99.000000", 0) / 1e3, 1))
    return r["iops"], "IOPS", t.detail


def rand_read_4k(c):
    return rand_read_of(c, 1)


def rand_read_4k_j4(c):
    return rand_read_of(c, 4)


def rand_write_4k(c):
    """Python rather than fio, so that each block's last content is known and can be checked."""
    blocks = c.rw_mib * MIB // K4
    path = c.p("rw")
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o644)
    for i in range(c.rw_mib):
        write_all(fd, piece(i, MIB))
    os.fsync(fd)
    os.close(fd)
    c.drop()
    rnd = random.Random(7)
    order = [rnd.randrange(blocks) for _ in range(1 << 18)]
    last = [-1] * blocks
    pwrite, mask, n = os.pwrite, (1 << 18) - 1, 0
    fd = os.open(path, os.O_WRONLY)
    with Timed() as t:
        end = time.monotonic() + c.rand_s
        while True:
            b = order[n & mask]
            if pwrite(fd, piece(n + 1, K4), b * K4) != K4:
                raise Wrong("short pwrite")
            last[b] = n
            n += 1
            if not n & 15 and time.monotonic() > end:
                break
        wrote = t.now()
        os.fsync(fd)
        synced = t.now()
        os.close(fd)
    c.drop()
    fd = os.open(path, os.O_RDONLY)
    for i in range(c.rw_mib):
        got = b""
        while len(got) < MIB:
            x = os.read(fd, MIB - len(got))
            if not x:
                raise Wrong("rw: short file")
            got += x
        first = bytes(piece(i, MIB))
        for j in range(256):
            k = last[i * 256 + j]
            want = first[j * K4:(j + 1) * K4] if k < 0 else piece(k + 1, K4)
            if got[j * K4:(j + 1) * K4] != want:
                raise Wrong("rw: block %d differs" % (i * 256 + j))
    os.close(fd)
    os.unlink(path)
    t.detail.update(ops=n, write_s=round(wrote, 3), fsync_s=round(synced - wrote, 3))
    return n / t.s, "IOPS", t.detail


def fsync_append(c):
    path = c.p("log")
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    lat, n = [], 0
    with Timed() as t:
        while t.now() < c.fsync_s:
            a = time.monotonic()
            write_all(fd, piece(n, K4))
            os.fsync(fd)
            lat.append(time.monotonic() - a)
            n += 1
    os.close(fd)
    c.drop()
    check_sequence(path, n, K4)
    os.unlink(path)
    lat.sort()
    t.detail.update(ops=n, lat_ms_p50=round(lat[n // 2] * 1e3, 3), lat_ms_p99=round(lat[int(n * .99)] * 1e3, 3))
    return n / t.s, "ops/s", t.detail


def make_small(folder, count, start, cap):
    t0 = time.monotonic()
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    for i in range(count):
        fd = os.open("%s/f%05d" % (folder, i), flags, 0o644)
        write_all(fd, piece(start + i, K4))
        os.close(fd)
        if not i & 15 and time.monotonic() - t0 > cap:
            return i + 1
    return count


def create_small(c):
    d = c.p("small")
    os.mkdir(d)
    with Timed() as t:
        n = make_small(d, c.small_n, 0, c.cap)
    c.drop()
    check_small(d, [("f%05d" % i, i) for i in range(n)])
    c.state["small"] = n
    t.detail.update(files=n, cut_short=n < c.small_n)
    return n / t.s, "files/s", t.detail


def create_small_j8(c):
    top = c.p("j8")
    os.mkdir(top)
    for k in range(8):
        os.mkdir("%s/d%d" % (top, k))
    t, made = in_parallel(8, lambda k: make_small("%s/d%d" % (top, k), c.j8_n, k * 1000, c.cap))
    c.drop()
    for k in range(8):
        check_small("%s/d%d" % (top, k), [("f%05d" % i, k * 1000 + i) for i in range(made[k])])
    subprocess.run(["rm", "-rf", top], check=True, timeout=120)
    t.detail.update(files=sum(made), cut_short=sum(made) < 8 * c.j8_n)
    return sum(made) / t.s, "files/s", t.detail


def untar(c):
    os.makedirs(c.p("x"))
    files = len(c.manifest["files"])
    with tempfile.TemporaryFile() as out:
        part = None
        with Timed() as t:
            p = subprocess.Popen(["tar", "-xvf", c.tar, "-C", c.p("x")], stdout=out, stderr=subprocess.PIPE,
                                 env=ENV, cwd="/")
            try:
                p.wait(c.cap)
            except subprocess.TimeoutExpired:
                s = t.now()
                out.flush()
                size = os.fstat(out.fileno()).st_size
                names = os.pread(out.fileno(), size, 0).split(b"\n")[:-1]
                part = sum(1 for x in names if not x.endswith(b"/")) / s
        if part is not None:      # the rate is known; let it finish, others need the tree
            p.wait(400)
        if p.returncode:
            raise RuntimeError("tar: " + p.stderr.read().decode(errors="replace")[-300:])
    c.drop()
    found = 0
    base = c.p("x")
    for rel, digest in c.manifest["files"].items():
        with open(os.path.join(base, rel), "rb") as f:
            if hashlib.sha256(f.read()).hexdigest() != digest:
                raise Wrong("untar: %s differs" % rel)
        found += 1
    have = sum(len(fs) for _, _, fs in os.walk(base))
    if have != files:
        raise Wrong("untar: %d files, the tarball has %d" % (have, files))
    c.state["tree"] = True
    t.detail.update(files=files, dirs=c.manifest["dirs"], mb=round(c.manifest["bytes"] / 1e6, 1),
                    tree=c.manifest["fingerprint"], cut_short=part is not None)
    return (part if part is not None else files / t.s), "files/s", t.detail


def ls_once(c, top):
    with tempfile.TemporaryFile() as out:
        command(["ls", "-lR", top], c.cap, stdout=out)
        out.seek(0)
        n = sum(1 for line in out if line[:1] in b"-dl" and line[1:2] in b"r-")
    if n != c.entries():
        raise Wrong("ls -lR shows %d entries, there are %d" % (n, c.entries()))
    return n


def ls_lr_cold(c):
    top = c.tree()
    c.drop()
    with Timed() as t:
        n = ls_once(c, top)
    t.detail.update(entries=n)
    return n / t.s, "entries/s", t.detail


def ls_lr_warm(c):
    top = c.tree()
    ls_once(c, top)
    n = rounds = 0
    with Timed() as t:
        while not rounds or (t.now() < 2 and rounds < 50):
            n += ls_once(c, top)
            rounds += 1
    t.detail.update(rounds=rounds)
    return n / t.s, "entries/s", t.detail


def grep_warm(c):
    top = c.tree()

    def once():
        out = subprocess.run(["grep", "-rlF", NEEDLE, top], env=ENV, cwd="/", stdout=subprocess.PIPE,
                             timeout=c.cap * 2).stdout.decode()
        if out.strip() != os.path.join(top, "needle.txt"):
            raise Wrong("grep found %r" % out[:200])
    once()
    rounds = 0
    with Timed() as t:
        while not rounds or (t.now() < 2 and rounds < 50):
            once()
            rounds += 1
    t.detail.update(rounds=rounds, files_per_s=round(len(c.manifest["files"]) * rounds / t.s))
    return c.manifest["bytes"] * rounds / t.s / 1e6, "MB/s", t.detail


def stat_storm(c):
    c.tree()
    paths = [os.path.join(c.p("x"), rel) for rel in c.manifest["files"]]
    for p in paths:
        os.stat(p)

    def one(k):
        mine = paths[:]
        random.Random(k).shuffle(mine)
        n, end, st = 0, time.monotonic() + c.stat_s, os.stat
        while True:
            for p in mine:
                st(p)
                n += 1
                if not n & 63 and time.monotonic() > end:
                    return n
    t, counts = in_parallel(4, one)
    t.detail.update(ops=sum(counts))
    return sum(counts) / t.s, "ops/s", t.detail


def git(c):
    to = c.p("clone")
    clone = command(["git", "clone", "-q", "file://" + c.repo, to], c.cap * 3)
    s = []
    for _ in range(2):
        with tempfile.TemporaryFile() as out:
            s.append(command(["git", "-C", to, "status", "--porcelain"], c.cap, stdout=out))
            if out.tell():
                raise Wrong("git status is not clean after a clone")
    c.drop()
    command(["git", "-C", to, "fsck", "--full", "--strict"], 120)
    a, b = (subprocess.run(["git", "-C", r, "rev-parse", "HEAD^{tree}"], env=ENV, stdout=subprocess.PIPE,
                           check=True).stdout for r in (to, c.repo))
    if a != b:
        raise Wrong("git: the clone's tree differs")
    command(["git", "-C", to, "diff", "--quiet", "HEAD"], 120)
    command(["rm", "-rf", to], 200)
    d = {"clone_s": round(clone.s, 3), "status1_s": round(s[0].s, 3), "status2_s": round(s[1].s, 3),
         "files": c.manifest["git_files"], "clone": clone.detail}
    return clone.s + s[0].s + s[1].s, "s", d


def sqlite(c):
    path = c.p("db.sqlite")
    con = sqlite3.connect(path, isolation_level=None, timeout=30)
    con.execute("create table t(k integer primary key, v text)")
    h, n = hashlib.sha256(), 0
    with Timed() as t:
        for n in range(1, c.sql_n + 1):
            v = hashlib.sha256(b"%d" % n).hexdigest()
            con.execute("begin")
            con.execute("insert into t values(?, ?)", (n, v))
            con.execute("commit")
            h.update(v.encode())
            if t.now() > c.cap:
                break
    mode = con.execute("pragma journal_mode").fetchone()[0]
    con.close()
    c.drop()
    con = sqlite3.connect(path)
    g, m = hashlib.sha256(), 0
    for (v,) in con.execute("select v from t order by k"):
        g.update(v.encode())
        m += 1
    ok = con.execute("pragma integrity_check").fetchone()[0]
    con.close()
    if ok != "ok" or m != n or g.digest() != h.digest():
        raise Wrong("sqlite: integrity %s, %d rows of %d" % (ok, m, n))
    os.unlink(path)
    t.detail.update(tx=n, journal_mode=mode, cut_short=n < c.sql_n)
    return n / t.s, "tx/s", t.detail


def rename_storm(c):
    d = c.p("small")
    n = c.state.get("small")
    if not n:
        os.makedirs(d, exist_ok=True)
        n = make_small(d, c.ren_n, 0, 120)
    n = min(n, c.ren_n)
    done = 0
    with Timed() as t:
        for i in range(n):
            os.rename("%s/f%05d" % (d, i), "%s/g%05d" % (d, i))
            done += 1
            if not i & 15 and t.now() > c.cap:
                break
    c.drop()
    check_small(d, [(("g%05d" if i < done else "f%05d") % i, i) for i in range(c.state.get("small") or n)])
    c.state["small"] = 0
    subprocess.run(["rm", "-rf", d], check=True, timeout=120)
    t.detail.update(ops=done, cut_short=done < n)
    return done / t.s, "ops/s", t.detail


def rm_rf(c):
    top = c.tree()
    files = len(c.manifest["files"])
    t = command(["rm", "-rf", top], c.cap * 4)
    c.state["tree"] = False
    c.drop()
    if os.path.lexists(top) or os.listdir(c.p("x")):
        raise Wrong("rm -rf left something")
    t.detail.update(files=files, dirs=c.manifest["dirs"])
    return files / t.s, "files/s", t.detail


ALL = [seq_write, seq_write_4k, seq_read_cold, seq_read_warm, rand_read_4k, rand_read_4k_j4, rand_write_4k,
       fsync_append, create_small, create_small_j8, untar, ls_lr_cold, ls_lr_warm, grep_warm, stat_storm, git,
       sqlite, rename_storm, rm_rf]
UNITS = dict(zip((f.__name__ for f in ALL), (
    "MB/s MB/s MB/s MB/s IOPS IOPS IOPS ops/s files/s files/s files/s entries/s entries/s MB/s ops/s s tx/s ops/s "
    "files/s").split()))


def guarded(fn, c, limit):
    """Run one workload in a process of its own, so that a file system that hangs costs one answer only."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.close(r)
        try:
            value, unit, detail = fn(c)
            out = {"value": round(value, 3 if value < 100 else 1), "unit": unit, "detail": detail}
        except BaseException as e:
            say(traceback.format_exc())
            out = {"value": None, "unit": UNITS[fn.__name__], "detail": {},
                   "error": "%s: %s" % (type(e).__name__, str(e)[:400])}
        data = json.dumps({"out": out, "state": c.state}).encode()
        while data:
            data = data[os.write(w, data):]
        os._exit(0)
    os.close(w)
    text, end = b"", time.monotonic() + limit
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([r], [], [], left)[0]:
            break
        b = os.read(r, 1 << 16)
        if not b:
            break
        text += b
    os.close(r)
    try:
        got = json.loads(text)
        c.state.update(got["state"])
        os.waitpid(pid, 0)
        return got["out"]
    except ValueError:
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            pass
        for _ in range(50):
            if os.waitpid(pid, os.WNOHANG)[0]:
                break
            time.sleep(0.1)
        return {"value": None, "unit": UNITS[fn.__name__], "detail": {},
                "error": "no answer within %d s" % limit}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--dir", help="a directory on the mounted file system")
    ap.add_argument("--drop", default="sync; echo 3 > /proc/sys/vm/drop_caches", help="makes caches cold")
    ap.add_argument("--only", help="names, comma-separated")
    ap.add_argument("--quick", action="store_true", help="small sizes, about 5 s a workload at most")
    ap.add_argument("--cap", type=int, help="seconds that one timed part may take")
    ap.add_argument("--keep", action="store_true", help="leave what was written")
    ap.add_argument("--list", action="store_true")
    o = ap.parse_args()
    if o.list:
        print("\n".join(UNITS))
        return 0
    if not o.dir:
        ap.error("--dir is needed")
    names = o.only.split(",") if o.only else list(UNITS)
    bad = [n for n in names if n not in UNITS]
    if bad:
        ap.error("no such workload: " + ", ".join(bad))
    home = tempfile.mkdtemp(prefix="workloads.", dir=os.path.abspath(o.dir))
    os.chdir("/")
    c = Ctx(o, home)
    results = {}
    try:
        for fn in ALL:
            if fn.__name__ in names:
                t0 = time.monotonic()
                r = results[fn.__name__] = guarded(fn, c, c.cap * 4 + (30 if o.quick else 300))
                say("%-16s %12s %-9s  (%.1f s in all)%s" % (fn.__name__, r["value"], r["unit"], time.monotonic() - t0,
                                                         "  " + r["error"] if "error" in r else ""))
    finally:
        if not o.keep:
            try:
                subprocess.run(["rm", "-rf", home], timeout=200)
            except subprocess.TimeoutExpired:
                say("could not remove %s in time" % home)
    print(json.dumps(results, indent=1))
    return 1 if any("error" in r for r in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
