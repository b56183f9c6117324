/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_balloon.h: memory the guest gives back, and what it says of its use. */
#ifndef DEVICE_VIRTIO_VIRTIO_BALLOON_H
#define DEVICE_VIRTIO_VIRTIO_BALLOON_H

#include "core/device.h"

enum { BALLOON_STATS = 10 }; /* tags of VIRTIO 1.2, 5.5.6.4 */

extern const struct device_class virtio_balloon_class;

bool virtio_balloon_is(struct device *d);
/* Memory the guest should have, bytes; more than its RAM means all of it. Main loop thread. */
void virtio_balloon_set_target(struct device *d, uint64_t bytes);
/* Memory it has now: its RAM without what is in the balloon, bytes. Any thread. */
uint64_t virtio_balloon_actual(struct device *d);
/* The guest changed its balloon: called with the new actual, any thread. */
void virtio_balloon_listen(struct device *d, void (*changed)(void *opaque, uint64_t actual),
	void *opaque);
/* Asks the guest for fresh statistics every so many seconds; 0: no more. Main loop thread. */
void virtio_balloon_set_interval(struct device *d, unsigned seconds);
/* The last statistics by tag; UINT64_MAX: never told. Returns seconds of virtual time of the last
 * answer, 0: none yet. */
uint64_t virtio_balloon_stats(struct device *d, uint64_t ret_stats[BALLOON_STATS]);

#endif
