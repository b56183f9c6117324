/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpuset.h: sets of host processors: "0-3,^2,7", the kernel's masks, the protocol's bit maps. */
#ifndef MANAGER_CPUSET_H
#define MANAGER_CPUSET_H

#include <glib.h>
#include <sched.h>
#include <stdint.h>

/* At most CPU_SETSIZE processors; an empty set is refused. */
int cpuset_parse(const char *text, cpu_set_t *ret, GError **error);
char *cpuset_format(const cpu_set_t *set); /* owned by the caller */
/* Little-endian bits, as virsh sends them. */
void cpuset_from_bits(const uint8_t *bits, size_t len, cpu_set_t *ret);
void cpuset_to_bits(const cpu_set_t *set, uint8_t *bits, size_t len);
/* All processors that are up. */
void cpuset_online(cpu_set_t *ret);

#endif
