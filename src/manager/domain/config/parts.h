/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parts.h: between the files that read a definition: one function a family of elements. */
#ifndef MANAGER_CONFIG_PARTS_H
#define MANAGER_CONFIG_PARTS_H

#include "manager/domain/config/config.h"

/* Every element must be one we know; what Lodge cannot do is refused by name. */
int policy_check(const xmlNode *root, GError **error);

/* Each completes the element in place and fills its part of the configuration. */
int config_system(struct domain_config *c, xmlNode *root, unsigned flags, GError **error);
int config_tune(struct domain_config *c, xmlNode *root, GError **error);
int config_disk(struct domain_config *c, struct config_device *d, xmlNode *n, unsigned flags,
	GError **error);
int config_nic(struct domain_config *c, struct config_device *d, xmlNode *n, unsigned flags,
	GError **error);
int config_char(struct domain_config *c, struct config_device *d, xmlNode *n, unsigned flags,
	GError **error);
int config_plain(struct domain_config *c, struct config_device *d, xmlNode *n, unsigned flags,
	GError **error);
int config_devices(struct domain_config *c, xmlNode *root, unsigned flags, GError **error);
/* Gives every device its place in the machine, and writes it into the XML. */
int config_place(struct domain_config *c, xmlNode *root, GError **error);

void config_device_free(struct config_device *d);
/* "refused: …" with CONFIG_UNSUPPORTED. */
int config_unsupported(GError **error, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

#endif
