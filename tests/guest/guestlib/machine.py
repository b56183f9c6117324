# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual machine with the default guest, under lodge-vm or under a peer."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from guestlib.console import Console, Gone, SCALE

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "lodge"
PROMPT = "lodge-test# "


def free_port():
    """A TCP port nobody listens on just now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def disk_copy(source, target):
    """A sparse copy: a test may do to it what it likes."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(source), str(target)], check=True)
    return target


class Machine:
    """One run of a VMM. Subclasses know its command line."""

    name = None

    def __init__(self, directory, cpus=1, memory="1G", accel="jit", disk=None, append="",
                 kernel=None, initrd=None, ssh=False, qmp=False, extra=(), log=None, binary=None,
                 env=None):
        self.directory = pathlib.Path(directory)
        self.cpus, self.memory, self.accel = cpus, memory, accel
        self.disk = disk
        self.kernel = kernel or CACHE / "vmlinuz"
        self.initrd = initrd if initrd is not None or kernel else CACHE / "initrd.img"
        self.append = append
        self.ssh_port = free_port() if ssh else None
        self.qmp_path = self.directory / f"qmp-{os.getpid()}-{id(self):x}" if qmp else None
        self.extra = list(extra)
        self.log = log
        self.binary = binary  # a path, or a list: with options that always go along
        self.env = env
        self.console = None

    def argv(self):
        raise NotImplementedError

    def cmdline(self):
        return " ".join(filter(None, [(CACHE / "cmdline").read_text().strip(), self.append]))

    def start(self):
        self.console = Console([str(a) for a in self.argv()], log=self.log, env=self.env)
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        if self.console:
            self.console.kill()

    # -- the guest's shell

    def expect(self, pattern, timeout):
        return self.console.expect(pattern, timeout)

    def send(self, text):
        self.console.send(text)

    def boot(self, timeout=180):
        """Waits for the login prompt; returns the seconds since the program was started."""
        self.expect(r"login: ", timeout)
        return time.monotonic() - self.console.started

    def login(self, timeout=60):
        """Logs in as root and makes the shell easy to read for run()."""
        self.send("root\n")
        self.expect(r"root@lodge:\S*# ", timeout)
        self.shell_prepare(timeout)

    def shell_prepare(self, timeout=60):
        self.send(f" bind 'set enable-bracketed-paste off'; stty -echo; PS1='{PROMPT}'; "
                  "PROMPT_COMMAND=; PS2=; export LC_ALL=C TERM=dumb; dmesg -n 1; echo shell-is-'ready'\n")
        self.expect(r"shell-is-ready\n(.|\n)*?" + PROMPT, timeout)

    def run(self, command, timeout=60, check=True):
        """Runs a shell command in the guest; returns its output, or (check=False) status, output."""
        self.send(f"( {command}\n) </dev/null 2>&1; echo \"=\"\"STATUS $?=\"\n")
        m = self.expect(r"((?:.|\n)*?)=STATUS (\d+)=\n(?:.|\n)*?" + PROMPT, timeout)
        output = m[1]
        if not check:
            return int(m[2]), output
        if m[2] != "0":
            raise AssertionError(f"`{command}` in the guest: status {m[2]}\n{output[-1500:]}")
        return output

    def poweroff(self, timeout=90):
        """Asks the guest to power off; returns the exit status of the VMM."""
        self.send("poweroff\n")
        self.expect(r"reboot: Power down", timeout)
        return self.console.wait(20)

    def ssh(self, command, timeout=60, **kw):
        """Runs a command through the forwarded port with the guest's key."""
        return subprocess.run(
            ["ssh", "-q", "-p", str(self.ssh_port), "-i", str(CACHE / "id_ed25519"),
             "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
             "-o", "BatchMode=yes", f"-oConnectTimeout={int(30 * SCALE)}", "root@127.0.0.1",
             command],
            capture_output=True, text=True, stdin=kw.pop("stdin", subprocess.DEVNULL),
            timeout=timeout * SCALE, **kw)


class LodgeVM(Machine):
    name = "lodge-vm"

    def argv(self):
        out = [self.binary, "--accel", self.accel, "--cpus", self.cpus, "--memory", self.memory,
               "--kernel", self.kernel, "--append", self.cmdline(), "--serial", "stdio"]
        if self.initrd:
            out += ["--initrd", self.initrd]
        if self.disk:
            out += ["--disk", f"path={self.disk},format=raw"]
        if self.ssh_port:
            out += ["--net", f"user,forward=tcp:{self.ssh_port}:22"]
        else:
            out += ["--net", "user"]
        if self.qmp_path:
            out += ["--qmp", self.qmp_path]
        return out + self.extra


class Qemu(Machine):
    """QEMU's own translator with the same devices."""

    name = "qemu"

    def argv(self):
        binary = self.binary or shutil.which("qemu-system-x86_64")
        accel = "kvm" if self.accel == "kvm" else "tcg"
        out = [*(binary if isinstance(binary, list) else [binary]), "-M", "q35", "-accel", accel,
               "-cpu", "max", "-smp", self.cpus,
               "-m", self.memory, "-nodefaults", "-no-user-config", "-display", "none",
               "-serial", "mon:stdio", "-kernel", self.kernel, "-append", self.cmdline()]
        if self.initrd:
            out += ["-initrd", self.initrd]
        if self.disk:
            out += ["-drive", f"file={self.disk},format=raw,if=none,id=d0",
                    "-device", "virtio-blk-pci,drive=d0,disable-legacy=on"]
        forward = f",hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22" if self.ssh_port else ""
        out += ["-netdev", "user,id=n0" + forward,
                "-device", "virtio-net-pci,netdev=n0,disable-legacy=on,romfile="]
        if self.qmp_path:
            out += ["-qmp", f"unix:{self.qmp_path},server=on,wait=off"]
        return out + self.extra


BACKENDS = {"lodge": LodgeVM, "qemu": Qemu}


def scratch():
    """A temporary directory that may hold disk images (not on a tmpfs)."""
    return tempfile.TemporaryDirectory(prefix="lodge-test-", dir="/var/tmp")


__all__ = ["BACKENDS", "CACHE", "Gone", "LodgeVM", "Machine", "Qemu", "disk_copy", "free_port",
           "scratch"]
