/* SPDX-License-Identifier: GPL-2.0-or-later */
/* machine.h: finding and naming machines, for the handlers about them. */
#ifndef MANAGER_REST_MACHINE_H
#define MANAGER_REST_MACHINE_H

#include "manager/rest/request.h"

/* The machine of the first parameter, by name or UUID. Then rest_machine_clear(). */
int rest_machine_find(struct request *r, struct remote_nonnull_domain *ret, GError **error);
void rest_machine_clear(struct remote_nonnull_domain *dom);
/* libvirt's numbers as words. */
const char *rest_machine_state(int state);
const char *rest_machine_reason(int state, int reason);

#endif
