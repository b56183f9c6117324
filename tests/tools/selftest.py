#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree's checkers refuse what they are there to refuse."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import devices  # noqa: E402
import files  # noqa: E402
import headers  # noqa: E402
import layers  # noqa: E402

HEAD = "/* SPDX-License-Identifier: GPL-2.0-or-later */\n/* {}: a thing. */\n"
CLASS = '''static const struct device_class a = { .name = "a", .help = "x", .size = 8, .version = 1,
    .state = (const struct field[]){ { 0 } }, .init = a_init };'''


class Tree(unittest.TestCase):
    def tree(self, **content):
        """A temporary tree; keys are paths with / as __ and . as _dot_."""
        root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name, text in content.items():
            f = root / name.replace("__", "/").replace("_dot_", ".")
            f.parent.mkdir(parents=True, exist_ok=True)
            f.write_text(text)
        return root

    def test_layers_accept_down(self):
        root = self.tree(base__a_dot_h="", core__b_dot_h='#include "base/a.h"\n')
        self.assertEqual(layers.check(root), [])

    def test_layers_refuse(self):
        for name, text in {"base__a_dot_c": "core/x.h", "device__a_dot_c": "accel/accel.h",
                           "accel__a_dot_c": "device/x.h", "device__b_dot_c": "image/raw.h",
                           "image__a_dot_c": "core/x.h", "odd__a_dot_c": "base/x.h",
                           "core__c_dot_c": "x.h"}.items():
            root = self.tree(**{name: f'#include "{text}"\n', "core__x_dot_h": "",
                                "accel__accel_dot_h": "", "device__x_dot_h": "",
                                "image__raw_dot_h": "", "base__x_dot_h": ""})
            self.assertEqual(len(layers.check(root)), 1, f"{name} including {text}")

    def test_layers_refuse_cycle(self):
        root = self.tree(base__a_dot_h='#include "base/b.h"\n', base__b_dot_h='#include "base/a.h"\n')
        self.assertIn("cycle", layers.check(root)[0])

    def test_headers(self):
        root = self.tree(a_dot_h="#pragma once\n#include <stdint.h>\nextern uint32_t a;\n")
        self.assertEqual(headers.check(root), [])
        root = self.tree(a_dot_h="#pragma once\nextern uint32_t a;\n")
        self.assertEqual(len(headers.check(root)), 1)
        root = self.tree(a_dot_h="struct unguarded { int x; };\n")
        self.assertEqual(len(headers.check(root)), 1)

    def test_files(self):
        good = {"src__meson_dot_build": "# SPDX-License-Identifier: GPL-2.0-or-later\nfiles('a.c')\n",
                "src__a_dot_c": HEAD.format("a.c")}
        self.assertEqual(files.check(self.tree(**good)), [])
        for change in ({"src__a_dot_c": "int x;\n"}, {"src__a_dot_c": HEAD.format("b.c")},
                       {"src__b_dot_c": HEAD.format("b.c")}, {"tool": "#!/bin/sh\n"}):
            self.assertEqual(len(files.check(self.tree(**{**good, **change}))), 1, change)

    def test_devices(self):
        self.assertEqual(devices.check(self.tree(a_dot_c=CLASS)), [])
        self.assertEqual(len(devices.check(self.tree(a_dot_c=CLASS, b_dot_c=CLASS))), 1)
        for field in ("name", "help", "version"):
            broken = CLASS.replace(f".{field} = ", ".other = ")
            self.assertEqual(len(devices.check(self.tree(a_dot_c=broken))), 1, field)
        null = CLASS.replace("(const struct field[]){ { 0 } }", "NULL")
        self.assertEqual(len(devices.check(self.tree(a_dot_c=null))), 1)


if __name__ == "__main__":
    unittest.main()
