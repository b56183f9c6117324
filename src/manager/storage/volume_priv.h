/* SPDX-License-Identifier: GPL-2.0-or-later */
/* volume_priv.h: what volume.c and volume_create.c share. */
#ifndef MANAGER_VOLUME_PRIV_H
#define MANAGER_VOLUME_PRIV_H

#include "manager/storage/volume.h"

/* One job a volume: between these two its name is in the pool's `busy`. */
int volume_begin(struct pool *p, const char *name, GError **error);
void volume_end(struct pool *p, const char *name);
/* A reference to what is there now; NULL: nothing. */
struct volume *volume_look_again(struct pool *p, const char *name, bool raw);
bool volume_is_made_raw(struct pool *p, const struct volume *v);

#endif
