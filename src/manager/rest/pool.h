/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool.h: finding pools and volumes, for the handlers about them. */
#ifndef MANAGER_REST_POOL_H
#define MANAGER_REST_POOL_H

#include "manager/rest/request.h"

/* The pool of the first parameter, by name or UUID; the volume of the second in it. Clear
 * afterwards. */
int rest_pool_find(struct request *r, struct remote_nonnull_storage_pool *ret, GError **error);
void rest_pool_clear(struct remote_nonnull_storage_pool *pool);
int rest_volume_find(struct request *r, struct remote_nonnull_storage_vol *ret, GError **error);
void rest_volume_clear(struct remote_nonnull_storage_vol *vol);

#endif
