#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""virt-manager, unmodified, on a screen nobody sees: it connects, lists, shows a machine's details and console, follows
what happens to it, shows the host and the wizard. `tests/manager/virt_manager.py BUILD [TEST...]`"""
import os
import subprocess
import time

import hostlib
import rest

DISPLAY = ":77"


class Manager:
    """One virt-manager with the windows that its arguments ask for."""

    def __init__(self, h, *argv):
        self.h, self.log = h, h.root / "virt-manager.log"
        self.env = dict(os.environ, HOME=str(h.root), XDG_RUNTIME_DIR=str(h.root), DISPLAY=DISPLAY, LC_ALL="C",
                        GSETTINGS_BACKEND="memory", NO_AT_BRIDGE="1", LIBGL_ALWAYS_SOFTWARE="1")
        out = open(self.log, "w")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.screen = subprocess.Popen(["Xvfb", DISPLAY, "-screen", "0", "1280x1024x24"], **quiet)
        h.until(lambda: self.tool("getdisplaygeometry") == 0, "Xvfb starts", 20)
        self.process = subprocess.Popen(
            ["dbus-run-session", "--", "virt-manager", "--connect", f"qemu+unix:///system?socket={h.socket}", "--no-fork",
             "--debug", *argv], env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def tool(self, *argv):
        return subprocess.run(["xdotool", *argv], env=self.env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode

    def window(self, name):
        self.h.until(lambda: self.tool("search", "--onlyvisible", "--name", name) == 0,
                     f"a window '{name}':\n{self.log.read_text()[-2000:]}", 40)

    def says(self, text):
        self.h.until(lambda: text in self.log.read_text(), f"'{text}' in:\n{self.log.read_text()[-2000:]}", 40)

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.screen.terminate()
        self.screen.wait(timeout=20)
        for line in self.log.read_text().splitlines():
            self.h.check("Traceback" not in line and "] ERROR" not in line, f"no errors: {line}")


def machine(h):
    h.virsh("define", h.file("vm.xml", rest.TINY.format(name="shown", kernel=rest.kernel(h))))
    h.virsh("start", "shown")
    m = Manager(h, "--show-domain-editor", "shown")
    m.says("changed to state=Active")
    m.window("shown on")
    m.says("Opening console stream")
    h.virsh("suspend", "shown")
    h.virsh("destroy", "shown")
    h.virsh("undefine", "shown")
    time.sleep(3)
    m.end()


def host(h):
    m = Manager(h, "--show-host-summary")
    m.says("changed to state=Active")
    m.window("Connection Details")
    m.end()


def wizard(h):
    m = Manager(h, "--show-domain-creator")
    m.says("changed to state=Active")
    m.window("New VM")
    m.end()


if __name__ == "__main__":
    hostlib.main([machine, host, wizard])
