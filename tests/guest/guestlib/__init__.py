# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guest tests and the benchmarks stand on: consoles, machines, QMP."""
