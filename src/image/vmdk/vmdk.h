/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmdk.h: VMware's VMDK, shared by its files. Spec: VMware, "Virtual Disk Format 5.0". A sector is
 * 512 bytes; all fields are little-endian.
 */
#ifndef IMAGE_VMDK_VMDK_H
#define IMAGE_VMDK_VMDK_H

#include "image/simple.h"

enum {
	SECTOR = 512,
	/* "Hosted Sparse Extent Header" */
	H_VERSION = 4,
	H_FLAGS = 8,
	H_CAPACITY = 12,
	H_GRAIN = 20,
	H_TEXT = 28,
	H_TEXT_SIZE = 36,
	H_GTES = 44,
	H_RGD = 48,
	H_GD = 56,
	H_OVERHEAD = 64,
	H_UNCLEAN = 72,
	H_NEWLINES = 73,
	H_COMPRESS = 77,
	FLAG_NEWLINES = 1,
	FLAG_REDUNDANT = 2,
	FLAG_ZEROED = 4,
	FLAG_COMPRESSED = 1 << 16,
	FLAG_MARKERS = 1 << 17,
	/* "ESXi Host Sparse Extents" */
	C_VERSION = 4,
	C_CAPACITY = 12,
	C_GRAIN = 16,
	C_GD = 20,
	C_GDES = 24,
	COWD_GTES = 4096,
	/* "Stream-Optimized Compressed Sparse Extents" */
	MARKER_EOS = 0,
	MARKER_GT = 1,
	MARKER_GD = 2,
	MARKER_FOOTER = 3,
	GTES = 512,
	GRAIN = 128,    /* entries of a table, sectors of a grain, in what we make */
	GRAIN_ZERO = 1, /* an entry: reads as zeroes */
	TEXT_SECTORS = 20,
	TEXT_MAX = 1 << 20,
	EXTENT_SECTORS = 4192256, /* of each file in the two-gigabyte formats */
};

#define GD_AT_END UINT64_MAX
#define NO_PARENT 0xffffffffu

enum vmdk_kind { VMDK_FLAT, VMDK_ZERO, VMDK_SPARSE, VMDK_COWD };

struct vmdk_extent {
	enum vmdk_kind kind;
	struct file *file;       /* borrowed: the image's, or one of im->files */
	uint64_t start, sectors; /* of the disk */
	uint64_t at;             /* FLAT: first sector in file */
	/* sparse */
	uint32_t flags, grain; /* grain in bytes */
	uint32_t gtes, gdes;
	uint32_t *gd, *rgd;     /* owned; rgd NULL: not redundant */
	uint64_t gd_at, rgd_at; /* bytes */
	uint64_t data_from;     /* sector; no grain is before that */
	struct block_table table, rtable;
	struct file_end end;
};

struct vmdk_stream;

struct vmdk {
	GArray *extents; /* struct vmdk_extent, by start */
	char *type;      /* owned; createType */
	uint32_t cid, parent_cid;
	uint64_t cid_at;            /* of its digits in im->file; 0: none */
	bool cid_new;               /* this writer has given it a new one */
	struct vmdk_stream *stream; /* owned; being made */
};

/* descriptor.c: text that says what the disk is made of. 0 or -1 with error. */
struct vmdk_text {
	char *type, *parent; /* owned */
	uint32_t cid, parent_cid;
	uint64_t cid_at; /* bytes from the text's begin; 0: none */
	GArray *lines;   /* struct vmdk_line */
};
struct vmdk_line {
	char *access, *kind, *name; /* owned; name may be NULL */
	uint64_t sectors, at;
};
int vmdk_text_parse(struct vmdk_text *t, const char *text, const char *path, GError **error);
void vmdk_text_fini(struct vmdk_text *t);
bool vmdk_is_text(const uint8_t *head, size_t n);

/* sparse.c */
int vmdk_sparse_open(struct image *im, struct vmdk_extent *e, struct file *f,
	bool *ret_fresh_stream, GError **error);
int vmdk_cowd_open(struct image *im, struct vmdk_extent *e, struct file *f, GError **error);
void vmdk_extent_fini(struct vmdk_extent *e);
/* Brings a grain's place to both tables, with room for the table if it has none. */
int vmdk_grain_set(struct image *im, struct vmdk_extent *e, uint64_t grain, uint32_t sector);

/* create.c */
extern const struct image_option_def vmdk_options[];
int vmdk_create(struct file *f, const struct image_spec *spec, GError **error);

/* stream.c: writing stream-optimized images, a compressed grain after the other. */
int vmdk_stream_start(struct image *im, GError **error);
int vmdk_stream_write(struct image *im, uint64_t off, const void *data, size_t n);
/* Closes the file for readers: tables and footer. More grains may follow. */
int vmdk_stream_finish(struct image *im);
int vmdk_stream_map(struct image *im, uint64_t off, uint64_t len, struct extent *out);
void vmdk_stream_free(struct vmdk_stream *s);
size_t vmdk_pack(const struct image *im, const void *cluster, void *dst, size_t cap);
int vmdk_unpack(struct image *im, const struct extent *x, void *dst);

#endif
