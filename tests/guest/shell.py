# SPDX-License-Identifier: GPL-2.0-or-later
"""Work a person does in a guest: packages, compilers, interpreters, ssh, load."""
import hashlib
import os
import re

from boot import complaints
from guestlib.machine import CACHE
from runner import test

PYTHON_TESTS = "test_math test_float test_struct test_decimal test_json test_zlib test_hashlib " \
    "test_threading"

# Integer, floating point, recursion, setjmp, threads, signals: checked against its own answers,
# which the host's compiler gives too.
PROGRAM = r"""
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static uint64_t fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
static int compare(const void *a, const void *b) { return *(int *)a < *(int *)b ? -1 : 1; }
static void *count(void *arg) { for (int i = 0; i < 1000000; i++) __atomic_fetch_add((long *)arg, 1, 5); return 0; }
static sigjmp_buf again;
static void fault(int s) { siglongjmp(again, s); }
int main(void)
{
	static int v[200000]; unsigned x = 1; long n = 0; double s = 0; pthread_t t[4]; uint64_t h = 14695981039346656037u;
	for (int i = 0; i < 200000; i++) v[i] = (x = x * 1664525 + 1013904223) >> 1;
	qsort(v, 200000, 4, compare);
	for (int i = 0; i < 200000; i++) h = (h ^ (unsigned)v[i]) * 1099511628211u;
	for (int i = 1; i < 300000; i++) s += sin(i) * sqrt(i) / (1 + pow(i, 0.25)) + fmod(i, 3.7) - cbrt(i);
	for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, count, &n);
	for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
	signal(SIGSEGV, fault); signal(SIGFPE, fault);
	int seen = sigsetjmp(again, 1); if (!seen) *(volatile int *)16 = 1;
	static volatile int zero; int fpe = sigsetjmp(again, 1); if (!fpe) seen = 1 / zero;
	long double l = 1; for (int i = 1; i < 40; i++) l = l * i / (i + .5L) + 1;
	printf("%lu %016lx %.9f %ld %d %d %.15Lf\n", fib(30), h, s, n, seen, fpe, l);
	return 0;
}
"""


@test("shell.login", timeout=400)
def login(env):
    m = env.workbench()
    assert m.run("id -u").strip() == "0"
    assert "bookworm" in m.run("cat /etc/os-release")


@test("shell.clock", timeout=60)
def clock(env):
    """Guest time and host time pass alike, and agree."""
    import time
    m = env.workbench()
    host, guest = time.time(), float(m.run("date +%s.%N"))
    assert abs(host - guest) < 3, f"guest is {guest - host:+.1f} s off"
    start, before = time.monotonic(), float(m.run("cut -d' ' -f1 /proc/uptime"))
    m.run("sleep 5")
    host, guest = time.monotonic() - start, float(m.run("cut -d' ' -f1 /proc/uptime")) - before
    assert abs(host - guest) < 0.3 + 0.02 * host, f"{guest:.2f} s in the guest, {host:.2f} outside"
    return m.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource").strip()


@test("shell.gcc", timeout=240)
def gcc(env):
    """gcc compiles a program in the guest; it prints there what it prints here."""
    import subprocess
    m = env.workbench()
    source = env.tmp / "p.c"
    source.write_text(PROGRAM)
    with open(source, "rb") as f:
        assert m.ssh("cat > /tmp/p.c", stdin=f).returncode == 0
    for flags in ("-O0", "-O2 -march=x86-64-v2"):
        subprocess.run(["gcc", *flags.split(), "-w", "-o", str(env.tmp / "p"), str(source), "-lm",
                        "-lpthread"], check=True)
        here = subprocess.run([str(env.tmp / "p")], capture_output=True, text=True).stdout
        there = m.run(f"gcc {flags} -w -o /tmp/p /tmp/p.c -lm -lpthread && /tmp/p", 120)
        assert there == here, f"{flags}: guest {there!r}, host {here!r}"


@test("shell.python", timeout=900)
def python(env):
    m = env.workbench()
    chosen = PYTHON_TESTS if env.full else "test_math test_float test_struct test_json test_zlib"
    out = m.run(f"python3 -m test {chosen} 2>&1 | tail -n 60", 840)
    assert re.search(r"Tests? result: SUCCESS|Result: SUCCESS", out), out


@test("shell.openssl", timeout=300)
def openssl(env):
    """Known answers of every digest and cipher kernel that openssl picks for this CPU."""
    m = env.workbench()
    data = os.urandom(1 << 20)
    (env.tmp / "data").write_bytes(data)
    with open(env.tmp / "data", "rb") as f:
        assert m.ssh("cat > /tmp/data", stdin=f).returncode == 0
    for digest in ("md5", "sha1", "sha256", "sha512", "sha3-256", "blake2b512"):
        name = {"sha3-256": "sha3_256", "blake2b512": "blake2b"}.get(digest, digest)
        there = m.run(f"openssl dgst -{digest} /tmp/data").split()[-1]
        assert there == hashlib.new(name, data).hexdigest(), digest
    m.run("for c in aes-128-gcm aes-256-gcm chacha20-poly1305; do "
          "openssl speed -seconds 1 -bytes 1024 -evp $c >/dev/null 2>&1 || exit 1; done; "
          "for c in aes-256-cbc aes-128-ctr camellia-256-cbc chacha20; do "
          "openssl enc -$c -pbkdf2 -k x -in /tmp/data -out /tmp/e && "
          "openssl enc -d -$c -pbkdf2 -k x -in /tmp/e | cmp - /tmp/data || exit 1; done", 120)
    # What the guest encrypts the host's openssl decrypts.
    import subprocess
    sealed = m.ssh("openssl enc -aes-256-cbc -pbkdf2 -k x -in /tmp/data -a").stdout
    opened = subprocess.run(["openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-k", "x", "-a"],
                            input=sealed.encode(), capture_output=True)
    assert opened.stdout == data, "the host cannot decrypt what the guest encrypted"
    m.run("openssl genrsa -out /tmp/k 2048 2>/dev/null && openssl rsa -in /tmp/k -check -noout && "
          "openssl ecparam -name prime256v1 -genkey -noout -out /tmp/ec && "
          "openssl dgst -sha256 -sign /tmp/ec -out /tmp/s /tmp/data && openssl ec -in /tmp/ec "
          "-pubout -out /tmp/p 2>/dev/null && openssl dgst -sha256 -verify /tmp/p -signature /tmp/s "
          "/tmp/data", 120)


def stress(env, options, short, long, cpus=2):
    m = env.workbench(cpus)
    seconds = long if env.full else short
    out = m.run(f"stress-ng {options} --verify -t {seconds} 2>&1", seconds * 3 + 120)
    assert "successful run completed" in out and "fail:" not in out, out[-1500:]
    return f"{seconds} s"


@test("shell.stress_cpu", timeout=400, full_timeout=700)
def stress_cpu(env):
    return stress(env, "--cpu 4 --cpu-method all", 20, 120)


@test("shell.stress_vm", timeout=300, full_timeout=500)
def stress_vm(env):
    return stress(env, "--vm 2 --vm-bytes 256M", 10, 60)


@test("shell.stress_sched", timeout=300, full_timeout=700)
def stress_sched(env):
    return stress(env, "--futex 2 --switch 2 --fork 2", 10, 120)


@test("shell.ssh", timeout=120)
def ssh(env):
    m = env.workbench()
    done = m.ssh("uname -n; cat /proc/sys/kernel/ostype")
    assert done.stdout == "lodge\nLinux\n", (done.stdout, done.stderr)
    # 32 MiB each way, byte for byte
    data = os.urandom(1 << 20) * 32
    (env.tmp / "data").write_bytes(data)
    with open(env.tmp / "data", "rb") as f:
        there = m.ssh("sha256sum", stdin=f, timeout=120).stdout.split()[0]
    assert there == hashlib.sha256(data).hexdigest()
    back = m.ssh("dd if=/dev/zero bs=1M count=32 status=none | tr '\\0' L", timeout=120).stdout
    assert len(back) == 32 << 20 and not back.strip("L")
    assert (CACHE / "id_ed25519").exists()


@test("shell.apt", timeout=500)
def apt(env):
    m = env.workbench()
    m.run("apt-get update -q", 300)
    m.run("DEBIAN_FRONTEND=noninteractive apt-get install -y -q hello", 240)
    assert "Hello, world!" in m.run("hello")


@test("shell.modules", timeout=120)
def modules(env):
    """Loading modules patches code that other vCPUs run."""
    m = env.workbench()
    m.run("for i in 1 2 3; do for m in raid6_pq zstd_compress tcp_bbr sch_fq; do "
          "modprobe $m && modprobe -r $m || exit 1; done; done", 90)
    m.run("mountpoint -q /sys/kernel/tracing || mount -t tracefs t /sys/kernel/tracing; "
          "cd /sys/kernel/tracing && for i in 1 2 3; do echo function > current_tracer && "
          "ls -R /proc/self >/dev/null && echo nop > current_tracer || exit 1; done", 90)


@test("shell.dmesg", timeout=60)
def dmesg(env):
    """Comes last: after all that work no kernel has complained."""
    for m in env.shared.values() or [env.workbench()]:
        log = m.run("dmesg")
        assert not complaints(log), "\n".join(complaints(log))
    for m in list(env.shared.values()):
        assert m.poweroff() == 0
