/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file_fault.h: a disk with a volatile write cache, in memory, whose power can be cut. What was
 * written since the last sync may be there after the cut or not, in any combination of sectors:
 * that is what drives, controllers and file systems promise.
 */
#ifndef IMAGE_FILE_FAULT_H
#define IMAGE_FILE_FAULT_H

#include "image/file.h"

/* At most `cap` bytes. */
struct file *file_fault_new(uint64_t cap);
/*
 * Called at each write, truncation and sync, when the former is under way and the latter has done
 * nothing yet: the worst moments for a cut.
 */
void file_fault_watch(struct file *f, void (*moment)(void *opaque), void *opaque);
/* From now on every write and sync fails with EIO. */
void file_fault_cut(struct file *f);
/*
 * What a machine finds that is switched on after a cut now: all that was synced, and of what was
 * not, each sector as it was or as it was to become; of several writes to a sector any. `seed`
 * chooses. A container of its own (file_memory_new()).
 */
struct file *file_fault_survivor(struct file *f, uint64_t seed);

#endif
