/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain_tune.h: what share of the host a machine has. */
#ifndef MANAGER_DOMAIN_TUNE_H
#define MANAGER_DOMAIN_TUNE_H

#include "manager/domain/config/config.h"
#include "manager/domain/domain.h"

/* The machine's control group; NULL: this host has none for us. Owned by the caller. */
char *domain_cgroup(const struct domain *d);
/* What c asks for, onto the running machine. */
int domain_apply_group(struct domain *d, const struct domain_config *c, GError **error);
int domain_apply_pins(struct domain *d, const struct domain_config *c, GError **error);
/* pid_t of each vCPU's thread, in order, appended. */
int domain_vcpu_threads(struct domain *d, GArray *ret, GError **error);
int domain_set_throttle(
	struct domain *d, const char *alias, const uint64_t *iotune, GError **error);

#endif
