/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_target.h: an image that gets its name when it is whole. */
#ifndef CLI_IMAGE_TARGET_H
#define CLI_IMAGE_TARGET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct image_target {
	const char *path; /* borrowed */
	char *dir;  /* owned: folder the parts are made in; NULL: one part beside the target */
	char *part; /* owned: what to make */
	bool force;
};

/* Fails if the target is there, unless `force`. image_target_end() in either case. */
int image_target_start(
	struct image_target *t, const char *path, const char *format, bool force, GError **error);
int image_target_finish(struct image_target *t, GError **error);
/* Removes what is left of the parts. */
void image_target_end(struct image_target *t);
/* Whether the file system of path has room for `need` bytes. */
int image_target_room(const char *path, uint64_t need, bool force, GError **error);

#endif
