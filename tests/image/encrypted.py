# SPDX-License-Identifier: GPL-2.0-or-later
"""LUKS containers and encrypted qcow2: made by QEMU, cryptsetup and us, read by the others."""
import shutil
import subprocess

from imagelib import MIB, check, peers, test

WORD = "correct horse"


def secret_file(env):
    p = env.path("word")
    p.write_text(WORD)
    return p


def opts(form, path):
    """QEMU's way of naming an encrypted image."""
    key = "key-secret" if form == "luks" else "encrypt.key-secret"
    return f"driver={form},file.filename={path},{key}=s"


SECRET = ["--object", f"secret,id=s,data={WORD}"]


@test
def with_qemu(env):
    source, word = env.source(), secret_file(env)
    for peer in peers()[-1:]:  # deriving keys takes its time
        for form, theirs, ours in (("luks", "key-secret=s,iter-time=50", []),
                                   ("qcow2", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=50", ["-o", "encryption=luks"])):
            a, b = env.path(f"a.{form}"), env.path(f"b.{form}")
            for _ in range(10):  # on a busy host QEMU cannot always time its key derivation
                done = peer.img("convert", *SECRET, "-f", "raw", "-O", form, "-o", theirs, source, a, status=None)
                if "accurate CPU usage" not in done.stderr:
                    break
            check(done.returncode == 0, done.stderr)
            env.lodge("compare", "--secret-file", word, "-f", form, a, "-F", "raw", source)
            env.lodge("compare", *SECRET, "-f", form, a, "-F", "raw", source)
            env.lodge("convert", "--force", "--secret-file", word, "-f", "raw", "-O", form, *ours, source, b)
            peer.img("compare", *SECRET, "--image-opts", opts(form, b),
                     f"driver=raw,file.filename={source}")
            peer.io(*SECRET, "--image-opts", opts(form, b), "-c", "write -P 5 5M 70k")
            twin = env.path("twin.img")
            shutil.copy(source, twin)
            peer.io("-f", "raw", "-c", "write -P 5 5M 70k", twin)
            env.lodge("compare", "--secret-file", word, "-f", form, b, "-F", "raw", twin)
            if form == "qcow2":
                peer.img("check", *SECRET, "--image-opts", opts(form, b))
                env.lodge("check", b)
            done = env.lodge("map", "--object", "secret,id=s,data=wrong", "-f", form, b, status=None)
            check(done.returncode == 3 and "passphrase" in done.stderr, done.stderr)
            with open(b, "rb") as f:
                check(b"\5" * 4096 not in f.read(), "plain bytes in an encrypted image")


@test
def with_cryptsetup(env):
    """LUKS1 and LUKS2 headers with its ciphers and key derivations; cryptsetup opens ours."""
    word = secret_file(env)
    if not shutil.which("cryptsetup"):
        raise RuntimeError("cryptsetup is missing: apt-get install cryptsetup-bin")
    kinds = [["--type", "luks1"], ["--type", "luks1", "--cipher", "aes-cbc-essiv:sha256", "--key-size", "256"],
             ["--type", "luks1", "--hash", "sha1", "--cipher", "aes-cbc-plain64", "--key-size", "128"],
             ["--type", "luks2", "--pbkdf", "pbkdf2"], ["--type", "luks2", "--pbkdf", "argon2id"],
             ["--type", "luks2", "--pbkdf", "argon2i", "--sector-size", "4096"]]
    for kind in kinds:
        p = env.path("c.img")
        with open(p, "wb") as f:
            f.truncate(40 * MIB)
        fast = ["--pbkdf-force-iterations", "4" if "argon2" in str(kind) else "1000"]
        memory = ["--pbkdf-memory", "32768"] if "argon2" in str(kind) else []
        subprocess.run(["cryptsetup", "-q", "luksFormat", *kind, *fast, *memory, "--key-file", str(word), str(p)],
                       check=True, timeout=60, capture_output=True)
        out = env.lodge.json("info", "--json", "-f", "luks", "--secret-file", word, p)
        check(out["format-specific"]["data"]["version"] == int(kind[1][-1]), out)
        # QEMU reads LUKS1: what we write it must see.
        env.lodge("convert", "-n", "--secret-file", word, "-f", "raw", "-O", "luks", small(env), p)
        if kind[1] == "luks1":
            peers()[-1].io(*SECRET, "--image-opts", opts("luks", p), "-c", "read -P 7 0 1M")
        env.lodge("compare", "--secret-file", word, "-f", "luks", p, "-F", "raw", small(env))
        p.unlink()
    p = env.path("ours.luks")
    env.lodge("create", "-q", "-f", "luks", "--secret-file", word, p, "8M")
    subprocess.run(["cryptsetup", "open", "--test-passphrase", "--key-file", str(word), str(p)], check=True,
                   timeout=60, capture_output=True)
    subprocess.run(["cryptsetup", "luksDump", str(p)], check=True, capture_output=True, timeout=60)


def small(env):
    p = env.path("small.img")
    if not p.exists():
        p.write_bytes(b"\7" * MIB)
    return p
