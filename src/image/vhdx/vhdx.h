/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdx.h: Hyper-V's VHDX, shared by its files. Spec: Microsoft [MS-VHDX], version 8.0. */
#ifndef IMAGE_VHDX_VHDX_H
#define IMAGE_VHDX_VHDX_H

#include "image/simple.h"

enum {
	MIB = 1 << 20,
	/* 2.2: the header section */
	AT_HEADER = 64 << 10,
	AT_REGIONS = 192 << 10,
	HEADER_SIZE = 4096,
	REGIONS_SIZE = 64 << 10,
	H_SUM = 4,
	H_SEQUENCE = 8,
	H_FILE_GUID = 16,
	H_DATA_GUID = 32,
	H_LOG_GUID = 48,
	H_LOG_VERSION = 64,
	H_VERSION = 66,
	H_LOG_SIZE = 68,
	H_LOG_AT = 72,
	/* 2.5.1.1: states of a payload block */
	STATE_ABSENT = 0,
	STATE_UNDEFINED = 1,
	STATE_ZERO = 2,
	STATE_UNMAPPED = 3,
	STATE_PRESENT = 6,
	STATE_PARTIAL = 7,
	STATE_MASK = 7,
};

struct vhdx {
	struct block_table bat;
	struct file_end end;
	uint8_t header[HEADER_SIZE]; /* the current one */
	int header_slot;             /* 0, 1: where it is */
	uint64_t log_at, bat_at, meta_at;
	uint32_t log_size, bat_size, meta_size;
	uint32_t block;  /* bytes */
	uint32_t chunk;  /* payload blocks a sector bitmap block stands for */
	uint32_t sector; /* logical */
	bool parent, fixed;
	bool opened_for_writing; /* the header says so */
	uint8_t *bits;           /* owned: of the partial block looked at last */
	uint64_t bits_of;        /* block + 1; 0: none */
};

/* log.c: brings what is in the log to its place. 1: there was something; 0: nothing; -1 with error.
 */
int vhdx_log_replay(struct file *f, struct vhdx *s, bool readonly, GError **error);
/* header.c */
int vhdx_header_read(struct image *im, struct vhdx *s, GError **error);
/* Writes the other copy, with the next sequence number. */
int vhdx_header_write(struct file *f, struct vhdx *s);
int vhdx_regions_read(struct image *im, struct vhdx *s, GError **error);
int vhdx_metadata_read(struct image *im, struct vhdx *s, GError **error);
int vhdx_create(struct file *f, const struct image_spec *spec, GError **error);
extern const struct image_option_def vhdx_options[];
/* A GUID as text to its mixed-endian bytes. */
void vhdx_guid(const char *text, uint8_t out[16]);

#endif
