/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest.h: the translator, whole, as an engine of the differential tester. */
#ifndef TESTS_ISA_GUEST_H
#define TESTS_ISA_GUEST_H

#include <glib.h>
#include <stdbool.h>

struct diff_case;
struct diff_memory;
struct diff_result;
struct guest;
struct x86_lift_config;

struct guest *guest_new(struct diff_memory *m, GError **error);
/* What its CPU model says about instructions. */
const struct x86_lift_config *guest_config(const struct guest *g);
/* Calls body on the vCPU's thread and returns when it has; guest_run is for in there. */
void guest_main(struct guest *g, void (*body)(void *opaque), void *opaque);
/* False: it hung or ended in an unknown way. Leaves its memory = golden. */
bool guest_run(struct guest *g, const struct diff_case *c, struct diff_result *out);
/* m->golden has changed. */
void guest_new_memory(struct guest *g);
/* From a signal handler: come back. */
void guest_stop(struct guest *g);

#endif
