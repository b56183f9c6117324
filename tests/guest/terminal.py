# SPDX-License-Identifier: GPL-2.0-or-later
"""The terminal lodge-vm runs in: its keys, and its state afterwards."""
import contextlib
import fcntl
import os
import pathlib
import signal
import subprocess
import termios

from guestlib.console import Console
from runner import Skip, test


def settings(m):
    return termios.tcgetattr(m.console.slave)


@test("terminal.keys", timeout=120)
def keys(env):
    """Ctrl-a ? helps, Ctrl-a x ends it, and the terminal is as it was."""
    m = env.machine(append="init=/bin/sh")
    m.expect(r"# ", 90)
    raw = settings(m)
    assert not raw[3] & (termios.ECHO | termios.ICANON), "the terminal is not raw while it runs"
    m.send("\x01?")
    if env.backend.name == "lodge-vm":  # QEMU says it on the terminal itself
        m.console.expect_stderr(r"Ctrl-a x ", 10)
    else:
        m.expect(r"C-a x", 10)
    m.send("\x01x")
    status = m.console.wait(10)
    assert status == 0, f"exit status {status}"
    after = settings(m)
    assert after[3] & termios.ECHO and after[3] & termios.ICANON, "left the terminal raw"
    assert not fcntl.fcntl(m.console.slave, fcntl.F_GETFL) & os.O_NONBLOCK, "left it non-blocking"
    assert after[0] & termios.ICRNL and after[1] & termios.OPOST, "left the terminal raw"


@test("terminal.sigterm", timeout=120)
def sigterm(env):
    m = env.machine(append="init=/bin/sh")
    m.expect(r"# ", 90)
    m.console.process.send_signal(signal.SIGTERM)
    status = m.console.wait(20)
    assert status in (0, -signal.SIGTERM, 128 + signal.SIGTERM), f"exit status {status}"
    assert settings(m)[3] & termios.ECHO, "left the terminal raw"


@test("terminal.closed", timeout=120)
def closed(env):
    """The terminal goes away: so does the machine."""
    m = env.machine(append="init=/bin/sh")
    m.expect(r"# ", 90)
    m.console.ended = True  # stops the reader, which holds the other end
    m.console.threads[0].join(5)
    m.console.close()
    m.console.wait(20)


@test("terminal.run_daemon", timeout=400)
def run_daemon(env):
    """./run ends with the daemon up for its user, Debian under it, and says what to type next."""
    if env.backend.name != "lodge-vm":
        raise Skip("lodge-vm's own script")
    root = pathlib.Path(__file__).resolve().parents[2]
    own = {**os.environ, "LODGE_URI": "qemu:///session"}
    for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        own[name] = str(env.tmp / name)
        (env.tmp / name).mkdir(mode=0o700)

    def command(*words, **kw):
        return subprocess.run([str(w) for w in words], env=own, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=300, **kw)

    lodge = root / "build-release/src/prog/lodge"
    try:
        done = command(root / "run", "--cpus", "1")
        assert done.returncode == 0, done.stderr
        assert "lodge shell debian" in done.stderr, done.stderr
        assert command(lodge, "domstate", "debian").stdout == "running\n"
        assert "bookworm" in command(lodge, "shell", "debian", "cat", "/etc/os-release").stdout
        again = command(root / "run")  # finds it running
        assert again.returncode == 0 and "lodge shell debian" in again.stderr, again.stderr
        assert command(lodge, "list", "--name").stdout.split() == ["debian"]
    finally:
        command(lodge, "destroy", "debian")
        for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if str(env.tmp).encode() in environ.read_bytes():
                    os.kill(int(environ.parent.name), signal.SIGTERM)


@test("terminal.run", timeout=240)
def run_script(env):
    """./run --terminal boots the default guest on this terminal and leaves it as it was."""
    if env.backend.name != "lodge-vm":
        raise Skip("lodge-vm's own script")
    script = pathlib.Path(__file__).resolve().parents[2] / "run"
    console = Console([str(script), "--terminal", "--accel", env.accel, "--cpus", "1", "--disk",
                       str(env.disk())], log=env.log())
    env.stack.callback(console.kill)
    console.expect(r"login: ", 180)
    console.send("root\n")
    console.expect(r"root@lodge:\S*# ", 60)
    assert "ssh -p" in console.stderr or "Ctrl-a x" in console.stderr, console.stderr
    console.send("\x01x")
    assert console.wait(20) == 0
    after = termios.tcgetattr(console.slave)
    assert after[3] & termios.ECHO and after[3] & termios.ICANON, "left the terminal raw"
