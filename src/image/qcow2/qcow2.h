/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2.h: a qcow2 image's tables in memory, shared by the files of this folder.
 * Spec: QEMU documentation, "Qcow2 Image File Format".
 *
 * How a power cut is survived. Tables change in the cache only; flush.c brings them down in three
 * steps with a sync between them: (1) reference counts, new tables that nothing refers to, guest
 * data; (2) the refcount table, if it changed; (3) L2 and L1 entries. References to a cluster that
 * was given up are taken back after step 3 (deferred, below), so that a cut leaks clusters at
 * worst.
 */
#ifndef QCOW2_QCOW2_H
#define QCOW2_QCOW2_H

#include "image/format.h"

enum {
	QCOW2_MAGIC = 0x514649fb,
	V2_HEADER = 72,
	V3_HEADER = 112, /* what we write: with compression_type and padding */
	HEADER_MAX = 4096,
	L1_BYTES_MAX = 32 << 20,
	RT_BYTES_MAX = 64 << 20,
	SNAPSHOTS_MAX = 65536,
	BITMAPS_MAX = 65535,
	SUBCLUSTERS = 32,
};

/* Header, incompatible_features and others. */
#define INCOMPAT_DIRTY    (1ull << 0)
#define INCOMPAT_CORRUPT  (1ull << 1)
#define INCOMPAT_DATA     (1ull << 2)
#define INCOMPAT_COMPRESS (1ull << 3)
#define INCOMPAT_EXTL2    (1ull << 4)
#define INCOMPAT_KNOWN    0x1full
#define COMPAT_LAZY       (1ull << 0)
#define AUTOCLEAR_BITMAPS (1ull << 0)
#define AUTOCLEAR_RAW     (1ull << 1)

/* L1 and L2 entries. */
#define ENTRY_COPIED     (1ull << 63)
#define ENTRY_COMPRESSED (1ull << 62)
#define ENTRY_ZERO       (1ull << 0)
#define ENTRY_OFFSET     0x00fffffffffffe00ull
#define L1_RESERVED      0x7f000000000001ffull
#define L2_RESERVED      0x3f000000000001feull

enum header_ext {
	EXT_END = 0,
	EXT_BACKING_FORMAT = 0xe2792aca,
	EXT_FEATURES = 0x6803f857,
	EXT_BITMAPS = 0x23852875,
	EXT_CRYPTO = 0x0537be77,
	EXT_DATA_FILE = 0x44415441,
};

/* When a changed page may go down. */
enum page_phase { PAGE_CLEAN, PAGE_FIRST, PAGE_LAST };

struct page {
	uint64_t at; /* offset in the file */
	uint8_t *data;
	struct page *hash_next, *newer, *older;
	uint8_t phase; /* enum page_phase */
};

struct page_cache {
	struct page **hash;
	unsigned hash_size, count, max, dirty;
	struct page *newest, *oldest;
	uint32_t page; /* bytes */
};

/* References to clusters that are to be taken back. */
struct deferred {
	uint64_t first, count; /* clusters */
	uint64_t flushes;      /* only after this many */
	uint64_t grace;        /* image_grace_over() */
	bool unmap;
};

struct qcow2_snapshot {
	uint64_t l1_at;
	uint32_t l1_size; /* entries */
	char *id, *name;  /* owned */
	uint32_t seconds, nanoseconds;
	uint64_t clock, vm_state, disk_size;
	uint8_t *extra; /* owned; extra data as read */
	uint32_t extra_size;
};

struct header_blob {
	uint32_t type, size;
	uint8_t *data; /* owned */
};

struct qcow2 {
	struct image *im;  /* back pointer */
	struct file *file; /* im->file */
	/* header */
	uint32_t version, cluster_bits, cluster_size, crypt_method, refcount_order, header_length;
	uint64_t incompatible, compatible, autoclear;
	uint8_t compression;  /* 0: deflate, 1: zstd */
	GArray *unknown;      /* struct header_blob: kept when the header is rewritten */
	uint8_t *header_tail; /* owned; unknown fields behind ours */
	char *data_name;      /* owned; of the external data file, as written */
	uint64_t crypto_at, crypto_len;
	/* bitmap extension */
	uint32_t bitmap_count;
	uint64_t bitmap_dir_at, bitmap_dir_size;
	GPtrArray *bitmaps; /* bitmap.c; NULL: not loaded */
	/* L1, in host order */
	uint64_t *l1, l1_at;
	uint32_t l1_size, l1_room; /* entries; clusters' worth of entries on disk */
	uint32_t l1_dirty_from, l1_dirty_to;
	bool l1_moved;          /* the header is to point to it */
	GHashTable *new_tables; /* offsets of L2 tables no L1 on disk refers to yet */
	/* refcount table, in host order */
	uint64_t *rt, rt_at;
	uint32_t rt_clusters, rt_size; /* entries */
	uint32_t rt_dirty_from, rt_dirty_to;
	bool rt_moved;
	uint64_t free_hint; /* cluster index where the search for room begins */
	uint64_t high;      /* clusters from here on were never used: they read as zeroes */
	uint64_t packed_at; /* next byte for a compressed cluster; 0: start a new cluster */
	GArray *deferred;   /* struct deferred, oldest first */
	unsigned deferred_head;
	uint64_t flushes;
	GArray *snapshots; /* struct qcow2_snapshot */
	uint64_t snapshots_at, snapshots_size;
	struct file *data; /* borrowed from im->files; == file without an external one */
	struct page_cache cache;
	bool in_check; /* damage is looked for: it changes no state */
	/* What the header in the file says; the tables above may have moved since. */
	struct {
		uint64_t l1_at, rt_at;
		uint32_t l1_size, rt_clusters;
	} disk;
};

static inline struct qcow2 *qcow2_of(const struct image *im)
{
	return im->state;
}

static inline bool qcow2_external(const struct qcow2 *s)
{
	return s->data != s->file;
}

static inline bool qcow2_extended(const struct qcow2 *s)
{
	return s->incompatible & INCOMPAT_EXTL2;
}

static inline unsigned l2_entry_bits(const struct qcow2 *s)
{
	return qcow2_extended(s) ? 4 : 3;
}

/* log2 of the entries in an L2 table. */
static inline unsigned l2_bits(const struct qcow2 *s)
{
	return s->cluster_bits - l2_entry_bits(s);
}

static inline uint64_t to_clusters(const struct qcow2 *s, uint64_t bytes)
{
	return (bytes >> s->cluster_bits) + !!(bytes & (s->cluster_size - 1));
}

static inline uint64_t entries_for(const struct qcow2 *s, uint64_t bytes)
{
	return (to_clusters(s, bytes) + (1ull << l2_bits(s)) - 1) >> l2_bits(s);
}

/* cache.c; offsets are multiples of the page size. -EAGAIN: not there and IMAGE_NOWAIT. */
void cache_init(struct page_cache *c, uint32_t page, uint64_t bytes);
void cache_fini(struct page_cache *c);
/* The page and all that was got before stay until cache_room() is called. */
int cache_get(struct qcow2 *s, uint64_t at, unsigned flags, struct page **out);
/* A page of new, unreferenced room: zeroes, without reading. */
int cache_new(struct qcow2 *s, uint64_t at, struct page **out);
void cache_dirty(struct qcow2 *s, struct page *p, enum page_phase phase);
/* Throws old pages out; may flush. Called where nothing is half done. */
int cache_room(struct qcow2 *s, unsigned flags);
int cache_write(struct qcow2 *s, enum page_phase phase);
void cache_drop(struct qcow2 *s, uint64_t at, uint64_t n); /* forgets pages, changed or not */
void cache_drop_all(struct qcow2 *s);

/* refcount.c; clusters are counted from the start of the file. */
int refcount_get(struct qcow2 *s, uint64_t cluster, unsigned flags, uint64_t *out);
/* Changes the counts of n clusters by `by`. -ERANGE: the width does not allow it. */
int refcount_add(struct qcow2 *s, uint64_t cluster, uint64_t n, int by);
int refcount_set(struct qcow2 *s, uint64_t cluster, uint64_t value);
/* Up to n free clusters in a row, at least 1, counted once. Fresh: they read as zeroes. */
int clusters_alloc(struct qcow2 *s, uint64_t n, unsigned flags, uint64_t *ret_first,
	uint64_t *ret_count, bool *ret_fresh);
/* Exactly n, for tables. Offset in the file. */
int clusters_alloc_all(struct qcow2 *s, uint64_t n, uint64_t *ret_at);
/* Whether bytes [at, at + n) touch the header, the L1 or refcount table or the snapshot table. */
bool overlaps_tables(const struct qcow2 *s, uint64_t at, uint64_t n);
/* Takes a reference back when that is safe. */
void defer_free(struct qcow2 *s, uint64_t first, uint64_t n, bool unmap);
int deferred_apply(struct qcow2 *s);
uint64_t refcount_max(const struct qcow2 *s);
unsigned block_bits(const struct qcow2 *s); /* log2 of the entries of a refcount block */

/* flush.c */
int qcow2_flush(struct image *im);
int tables_flush(struct qcow2 *s);
int tables_settle(struct qcow2 *s); /* until nothing waits, not even what was given up */
/* While several tables that must agree are being changed: an image left so is repaired when it is
 * opened. Durable. Version 2 has no such bit. */
int mark_dirty(struct qcow2 *s);
int mark_clean(struct qcow2 *s);
int qcow2_corrupt(struct qcow2 *s, const char *what, uint64_t at); /* -EIO */

/* table.c */
struct l2_ref {
	struct page *page;
	uint32_t pos;   /* of the entry in the page */
	uint64_t table; /* offset of the L2 table */
};
uint64_t l2_get(const struct qcow2 *s, const struct l2_ref *r, uint64_t *ret_bitmap);
void l2_set(struct qcow2 *s, const struct l2_ref *r, uint64_t entry, uint64_t bitmap);
/* The entry of guest byte off; 1: there is no L2 table. */
int l2_find(struct qcow2 *s, uint64_t off, unsigned flags, struct l2_ref *out);
/* The same; makes the L2 table or the active image's own copy of it. */
int l2_make(struct qcow2 *s, uint64_t off, unsigned flags, struct l2_ref *out);
/* Clusters a compressed entry touches. */
void packed_clusters(const struct qcow2 *s, uint64_t entry, uint64_t *ret_first, uint64_t *ret_n);
void packed_bytes(const struct qcow2 *s, uint64_t entry, uint64_t *ret_at, uint64_t *ret_n);
int l1_write(struct qcow2 *s);
int l1_grow(struct qcow2 *s, uint32_t entries);

/* map.c, write.c */
int qcow2_map(struct image *im, uint64_t off, uint64_t len, unsigned flags, struct extent *out);
int qcow2_unpack(struct image *im, const struct extent *x, void *dst);
int qcow2_alloc(struct image *im, uint64_t off, uint64_t len, unsigned flags, uint64_t *ret_start,
	struct extent *out);
int qcow2_commit(struct image *im, uint64_t start, const struct extent *x, unsigned flags);
void qcow2_abandon(struct image *im, uint64_t start, const struct extent *x);
int qcow2_drop(struct image *im, uint64_t off, uint64_t len, bool to_zero, bool unmap);
int qcow2_write_packed(struct image *im, uint64_t off, const void *data, size_t n);
size_t qcow2_pack(const struct image *im, const void *cluster, void *dst, size_t cap);

/* header.c */
int header_read(struct qcow2 *s, GError **error);
int header_update(struct qcow2 *s);                  /* the fixed fields, in one sector */
int header_rewrite(struct qcow2 *s, GError **error); /* all of it: extensions, names */
void header_free(struct qcow2 *s);

/* create.c, resize.c */
extern const struct image_option_def qcow2_options[];
int qcow2_create(struct file *f, const struct image_spec *spec, GError **error);
int qcow2_resize(struct image *im, uint64_t size, const struct image_spec *spec, GError **error);
int qcow2_amend(struct image *im, const struct image_spec *spec, GError **error);
int qcow2_set_backing(struct image *im, const char *path, const char *format, GError **error);
/* Room for [off, end) that reads as zeroes. */
int qcow2_preallocate(
	struct image *im, uint64_t off, uint64_t end, enum image_preallocation how, GError **error);

/* check.c */
int qcow2_check(struct image *im, struct image_report *out, bool repair, GError **error);

/* snapshot.c */
int snapshots_read(struct qcow2 *s, GError **error);
void snapshots_free(struct qcow2 *s);
uint64_t qcow2_vmstate_base(const struct image *im);
extern const struct image_snapshot_ops qcow2_snapshot_ops;

/* bitmap.c */
extern const struct image_bitmap_ops qcow2_bitmap_ops;
/* Calls f for each piece of the file bitmaps use; stops if it fails. */
int bitmaps_walk(struct qcow2 *s, int (*f)(void *opaque, uint64_t at, uint64_t n), void *opaque);
int bitmaps_open(struct qcow2 *s, GError **error);
void bitmaps_close(struct qcow2 *s);
void bitmaps_moved(struct qcow2 *s, struct image *from, struct image *to);

/* crypt.c */
int crypt_open(struct qcow2 *s, const struct image_options *o, GError **error);
int crypt_create(struct qcow2 *s, const struct image_spec *spec, GError **error);

#endif
