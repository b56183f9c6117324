# SPDX-License-Identifier: GPL-2.0-or-later
"""Tiny guests of ours in real, protected and long mode, on the translator and on /dev/kvm."""
import pathlib
import re
import subprocess

from runner import Skip, test

IMAGES = pathlib.Path(__file__).parent / "images"


def assemble(env, name, out, *options):
    subprocess.run(["nasm", "-f", "bin", "-Wall", "-Werror", "-i", f"{IMAGES}/", *options, "-o",
                    str(out), str(IMAGES / f"{name}.asm")], check=True)
    return out


def has_virtualization():
    return bool(re.search(r"\b(vmx|svm)\b", pathlib.Path("/proc/cpuinfo").read_text()))


def run(env, name, accel):
    plain = accel == "kvm" and not has_virtualization()
    cpus = 2 if name == "smp" else 1
    image = assemble(env, name, env.tmp / f"{name}.bin", *(["-DPLAIN"] if plain else []))
    if env.backend.name == "lodge-vm":
        argv = [env.binary, "--accel", accel, "--cpus", str(cpus), "--memory", "64M", "--kernel",
                f"path={image},format=raw", "--debug-console", "stdio", "--debug-exit"]
    else:
        rom = assemble(env, "rom", env.tmp / "rom", f'-DIMAGE="{image}"')
        argv = ["qemu-system-x86_64", "-M", "q35", "-accel", "kvm" if accel == "kvm" else "tcg",
                "-cpu", "max", "-smp", str(cpus), "-m", "64M", "-nodefaults", "-display", "none", "-bios",
                rom, "-chardev", "stdio,id=c,signal=off", "-device",
                "isa-debugcon,chardev=c,iobase=0xe9", "-device", "isa-debug-exit,iobase=0xf4"]
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL)
    assert done.stdout == f"{name} ok\n" and done.returncode == 1, \
        f"status {done.returncode}: {done.stdout!r} {done.stderr[-800:]}"
    return "in part: this /dev/kvm has neither VT-x nor SVM" if plain else ""


def usable_kvm(env):
    try:
        with open("/dev/kvm", "rb+", buffering=0):
            pass
    except OSError as e:
        raise Skip(f"/dev/kvm: {e.strerror}") from None


# What no other oracle runs: TCG checks no limits, sets no RF in frames, gives other error codes than the
# manual and lets some undefined encodings through; a /dev/kvm without VT-x or SVM lacks parts of all.
OWN = {"limits", "system", "faults", "debug", "paging", "segments", "vm86", "registers", "apic"}
NEED_VIRTUALIZATION = {"tasks", "segments", "vm86", "system", "smp", "faults", "debug", "paging", "smc",
                       "registers", "apic"}

MODES = ("real", "protected", "limits", "segments", "vm86", "tasks", "long", "system", "faults", "debug",
         "registers",
         "paging", "smc", "apic", "smp")

for mode in MODES:
    @test(f"tiny.jit_{mode}", timeout=30)
    def on_jit(env, mode=mode):
        if mode in OWN and env.backend.name == "qemu":
            raise Skip("TCG does otherwise than the manuals here")
        return run(env, mode, "jit")

    @test(f"tiny.kvm_{mode}", timeout=30)
    def on_kvm(env, mode=mode):
        usable_kvm(env)
        if mode in NEED_VIRTUALIZATION and not has_virtualization():
            raise Skip("this /dev/kvm has neither VT-x nor SVM")
        return run(env, mode, "kvm")
