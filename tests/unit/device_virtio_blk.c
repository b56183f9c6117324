/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_virtio_blk.c: a disk driven through real rings; its image is the oracle for what it did.
 */
#include "virtio_driver.h"

#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <unistd.h>

#include "core/stream.h"
#include "device/virtio/virtio_blk.h"
#include "image/image.h"

enum { DISK = 4 << 20, HDR = 0x800000, STATUS = 0x801000, DATA = 0x810000 };

struct disk {
	struct t_machine *t;
	struct t_driver v;
	struct image *im;
	char *path;
};

static void disk_new(struct disk *k, bool readonly, const char *queues)
{
	struct image_options o = { .format = "raw", .readonly = readonly, .queues = 4 };
	GError *error = NULL;
	struct device *d;
	int fd = g_file_open_tmp("lodge-blk-XXXXXX", &k->path, NULL);

	assert_int_equal(ftruncate(fd, DISK), 0);
	close(fd);
	o.path = k->path;
	k->im = image_open(&o, &error);
	assert_non_null(k->im);
	k->t = t_machine_new();
	d = device_new(k->t->m, &virtio_blk_class, "disk");
	assert_int_equal(device_set(d, "packed", "on", NULL), 0);
	assert_int_equal(device_set(d, "serial", "LODGE-1", NULL), 0);
	assert_int_equal(device_set(d, "queues", queues, NULL), 0);
	virtio_blk_set_image(d, k->im);
	assert_int_equal(device_add(d, &error), 0);
	machine_reset(k->t->m);
	pci_assign_resources(k->t->host);
	machine_start(k->t->m);
	t_attach(&k->v, k->t, d);
}

static void disk_free(struct disk *k)
{
	t_machine_free(k->t);
	image_close(k->im);
	unlink(k->path);
	g_free(k->path);
}

/* One request; n: which header and status slot. Returns after making it available. */
static uint16_t request(struct disk *k, unsigned qi, unsigned n, uint32_t type, uint64_t sector,
	const struct t_seg *data, unsigned segs, bool indirect)
{
	struct t_seg s[300];
	struct virtio_blk_outhdr *h = t_at(&k->v, HDR + 16 * n);

	*h = (struct virtio_blk_outhdr){ .type = type, .sector = sector };
	*(uint8_t *)t_at(&k->v, STATUS + n) = 0xee;
	s[0] = (struct t_seg){ HDR + 16 * n, 16, false };
	if (segs)
		memcpy(s + 1, data, segs * sizeof(*s));
	s[segs + 1] = (struct t_seg){ STATUS + n, 1, true };
	return t_add(&k->v, qi, s, segs + 2, indirect ? T_TABLES + 0x2000 * n : 0);
}

static uint8_t status(struct disk *k, unsigned n)
{
	return *(uint8_t *)t_at(&k->v, STATUS + n);
}

static uint8_t do_request(struct disk *k, uint32_t type, uint64_t sector, const struct t_seg *data,
	unsigned segs, bool indirect, uint32_t *len)
{
	uint32_t n;

	request(k, 0, 0, type, sector, data, segs, indirect);
	t_kick(&k->v, 0);
	n = t_wait(&k->v, 0, NULL);
	if (len)
		*len = n;
	return status(k, 0);
}

static uint64_t ring_features(unsigned i)
{
	return (i & 1 ? 1ull << VIRTIO_F_RING_PACKED : 0) |
		(i & 2 ? 1ull << VIRTIO_RING_F_EVENT_IDX : 0) |
		(i & 4 ? 1ull << VIRTIO_RING_F_INDIRECT_DESC : 0);
}

/* Every kind of ring: write, read back, compare with the file itself; many times round. */
static void test_io(void **state)
{
	struct disk k;

	disk_new(&k, false, "1");
	for (unsigned mode = 0; mode < 8; mode++) {
		g_autofree uint8_t *file = g_malloc(8192);
		bool indirect = mode & 4;

		t_start(&k.v, ring_features(mode) | 1ull << VIRTIO_BLK_F_FLUSH, 1, 16);
		for (unsigned i = 0; i < 100; i++) {
			uint64_t sector = (i * 37) % 8000;
			struct t_seg out[3] = { { DATA, 512, false },
				{ DATA + 0x10001, 1000, false }, { DATA + 0x20000, 536, false } };
			struct t_seg in[2] = { { DATA + 0x30003, 2000, true },
				{ DATA + 0x40000, 48, true } };
			uint32_t len;
			int fd;

			for (unsigned b = 0; b < 512; b++)
				((uint8_t *)t_at(&k.v, DATA))[b] = (uint8_t)(b + i);
			memset(t_at(&k.v, DATA + 0x10001), (int)(i ^ 0x5a), 1000);
			memset(t_at(&k.v, DATA + 0x20000), (int)(mode + 1), 536);
			assert_int_equal(do_request(&k, VIRTIO_BLK_T_OUT, sector, out, 3, indirect,
				&len), VIRTIO_BLK_S_OK);
			assert_int_equal(len, 1);
			assert_int_equal(do_request(&k, VIRTIO_BLK_T_IN, sector, in, 2, indirect,
				&len), VIRTIO_BLK_S_OK);
			assert_int_equal(len, 2049);
			fd = open(k.path, O_RDONLY);
			assert_int_equal(pread(fd, file, 2048, (off_t)sector * 512), 2048);
			close(fd);
			assert_memory_equal(file, t_at(&k.v, DATA), 512);
			assert_int_equal(file[512], i ^ 0x5a);
			assert_int_equal(file[1512], mode + 1);
			assert_memory_equal(file, t_at(&k.v, DATA + 0x30003), 2000);
			assert_memory_equal(file + 2000, t_at(&k.v, DATA + 0x40000), 48);
		}
		assert_true(k.t->msi[1] > 0);
	}
	disk_free(&k);
}

static void test_config_and_id(void **state)
{
	struct disk k;
	struct t_seg id = { DATA, 20, true };
	uint32_t len;

	disk_new(&k, false, "4");
	t_start(&k.v, 1ull << VIRTIO_BLK_F_MQ, 4, 64);
	assert_int_equal(t_mmio(&k.v, k.v.config, 8), DISK / 512);
	assert_int_equal(t_mmio(&k.v, k.v.config + 34, 2), 4);
	assert_int_equal(t_cfg_read(k.t, k.v.bdf, 0, 4), 0x1af4 | (0x1040 + VIRTIO_ID_BLOCK) << 16);
	assert_int_equal(do_request(&k, VIRTIO_BLK_T_GET_ID, 0, &id, 1, false, &len), 0);
	assert_int_equal(len, 21);
	assert_memory_equal(t_at(&k.v, DATA), "LODGE-1\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	/* Each queue has its vector. */
	for (unsigned q = 0; q < 4; q++) {
		struct t_seg in = { DATA, 512, true };
		unsigned before = k.t->msi[q + 1];

		request(&k, q, q, VIRTIO_BLK_T_IN, q, &in, 1, false);
		t_kick(&k.v, q);
		assert_int_equal(t_wait(&k.v, q, NULL), 513);
		assert_int_equal(k.t->msi[q + 1], before + 1);
	}
	disk_free(&k);
}

static void test_refusals(void **state)
{
	struct disk k;
	struct t_seg in = { DATA, 512, true }, odd = { DATA, 500, true },
		     out = { DATA, 512, false };
	struct t_seg range = { DATA, 16, false };
	struct virtio_blk_discard_write_zeroes *z;

	disk_new(&k, false, "1");
	t_start(&k.v, 1ull << VIRTIO_BLK_F_WRITE_ZEROES, 1, 16);
	assert_int_equal(do_request(&k, VIRTIO_BLK_T_IN, DISK / 512, &in, 1, false, NULL),
		VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_request(&k, VIRTIO_BLK_T_IN, UINT64_MAX, &in, 1, false, NULL),
		VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_request(&k, VIRTIO_BLK_T_IN, 0, &odd, 1, false, NULL),
		VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_request(&k, 77, 0, &in, 1, false, NULL), VIRTIO_BLK_S_UNSUPP);
	z = t_at(&k.v, DATA);
	memset(t_at(&k.v, DATA + 0x1000), 0xaa, 1024);
	assert_int_equal(do_request(&k, VIRTIO_BLK_T_OUT, 8,
		&(struct t_seg){ DATA + 0x1000, 1024, false }, 1, false, NULL), 0);
	*z = (struct virtio_blk_discard_write_zeroes){ .sector = 8, .num_sectors = 1 };
	assert_int_equal(do_request(&k, VIRTIO_BLK_T_WRITE_ZEROES, 0, &range, 1, false, NULL), 0);
	assert_int_equal(do_request(&k, VIRTIO_BLK_T_IN, 8,
		&(struct t_seg){ DATA + 0x1000, 1024, true }, 1, false, NULL), 0);
	assert_int_equal(*(uint8_t *)t_at(&k.v, DATA + 0x1000 + 511), 0);
	assert_int_equal(*(uint8_t *)t_at(&k.v, DATA + 0x1000 + 512), 0xaa);
	*z = (struct virtio_blk_discard_write_zeroes){ .sector = DISK / 512 - 1, .num_sectors = 2 };
	assert_int_equal(do_request(&k, VIRTIO_BLK_T_WRITE_ZEROES, 0, &range, 1, false, NULL),
		VIRTIO_BLK_S_IOERR);
	disk_free(&k);

	disk_new(&k, true, "1");
	assert_true(t_offered(&k.v) >> VIRTIO_BLK_F_RO & 1);
	t_start(&k.v, 1ull << VIRTIO_BLK_F_RO, 1, 16);
	assert_int_equal(do_request(&k, VIRTIO_BLK_T_OUT, 0, &out, 1, false, NULL),
		VIRTIO_BLK_S_IOERR);
	disk_free(&k);
}

/* A full ring at once, completions in any order; then a reset with everything in flight. */
static void test_depth_and_reset(void **state)
{
	struct disk k;
	unsigned pending = 0;

	disk_new(&k, false, "1");
	for (unsigned mode = 0; mode < 8; mode++) {
		bool seen[64] = { false };
		unsigned per = mode & 4 ? 1 : 4, count = 64 / (mode & 4 ? 1 : 4);
		uint16_t ids[64];

		t_start(&k.v, ring_features(mode), 1, 64);
		for (unsigned round = 0; round < 5; round++) {
			memset(seen, 0, sizeof(seen));
			for (unsigned n = 0; n < count; n++) {
				struct t_seg in[2] = { { DATA + 0x2000 * n, 4096, true },
					{ DATA + 0x2000 * n + 4096, 4096, true } };

				ids[n] = request(&k, 0, n, VIRTIO_BLK_T_IN, 16 * n, in, 2,
					per == 1);
			}
			t_kick(&k.v, 0);
			for (unsigned n = 0; n < count; n++) {
				uint16_t id;
				unsigned i = 0;

				assert_int_equal(t_wait(&k.v, 0, &id), 8193);
				while (i < count && ids[i] != id)
					i++;
				assert_true(i < count && !seen[i]);
				seen[i] = true;
				assert_int_equal(status(&k, i), 0);
			}
		}
		/* Flushes take a while: reset finds them in flight. */
		for (unsigned n = 0; n < count; n++)
			request(&k, 0, n, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, per == 1);
		t_kick(&k.v, 0);
		t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_STATUS, 0, 1);
		pending += t_status(&k.v) != 0;
		t_reset(&k.v);
		/* After reset, memory is the driver's again. */
		memset(t_at(&k.v, STATUS), 0x77, count);
		t_spin();
		for (unsigned n = 0; n < count; n++)
			assert_int_equal(status(&k, n), 0x77);
	}
	assert_true(pending > 0);
	disk_free(&k);
}

/* Each of these must end in DEVICE_NEEDS_RESET and a configuration interrupt, nothing else. */
static void test_broken(void **state)
{
	struct disk k;

	disk_new(&k, false, "1");
	for (unsigned what = 0; what < 12; what++) {
		for (unsigned packed = 0; packed < 2; packed++) {
			struct t_seg s[3] = { { HDR, 16, false }, { DATA, 512, true },
				{ STATUS, 1, true } };
			uint64_t table = 0;
			unsigned before = k.t->msi[0], n = 3;
			struct t_queue *q = &k.v.q[0];
			struct vring_desc *d;

			t_start(&k.v, ring_features(4 | packed), 1, 16);
			*(struct virtio_blk_outhdr *)t_at(&k.v, HDR) =
				(struct virtio_blk_outhdr){ .type = VIRTIO_BLK_T_IN };
			d = t_at(&k.v, q->desc);
			switch (what) {
			case 0: s[1].addr = T_RAM; break;
			case 1: s[1].addr = UINT64_MAX - 100; break;
			case 2: s[1] = (struct t_seg){ T_RAM - 256, 512, true }; break;
			case 3: s[0].write = true; break; /* no header */
			case 4: n = 1; break;		  /* no status */
			case 5: s[1].write = true; s[2].write = false; break;
			case 6: table = T_RAM + 4096; break;
			case 7: s[0].addr = T_ECAM; break; /* registers are no memory */
			case 8: s[0].len = 15; break;
			case 9: s[1].len = UINT32_MAX; break;
			default: break;
			}
			if (table) {
				if (packed)
					*(struct vring_packed_desc *)d = (struct vring_packed_desc){
						table, 48, 0, VRING_DESC_F_INDIRECT |
						1 << VRING_PACKED_DESC_F_AVAIL };
				else
					t_add(&k.v, 0, s, 1, 0);
				if (!packed)
					d[0] = (struct vring_desc){ table, 48,
						VRING_DESC_F_INDIRECT, 0 };
			} else {
				t_add(&k.v, 0, s, n, 0);
			}
			if (what == 10) { /* a loop, or a chain without end */
				if (packed)
					for (unsigned i = 0; i < 16; i++)
						((struct vring_packed_desc *)d)[i].flags |=
							VRING_DESC_F_NEXT;
				else
					d[1] = (struct vring_desc){ DATA, 16, VRING_DESC_F_NEXT,
						0 };
			}
			if (what == 11) { /* an index far ahead; packed: a table in a chain */
				if (packed)
					((struct vring_packed_desc *)d)[1].flags |=
						VRING_DESC_F_INDIRECT;
				else
					((uint16_t *)t_at(&k.v, q->avail))[1] = 0x4000;
			}
			t_kick(&k.v, 0);
			t_spin();
			assert_int_equal(t_status(&k.v), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
			assert_int_equal(k.t->msi[0], before + 1);
			/* And it works again after a reset. */
			t_start(&k.v, 0, 1, 16);
			assert_int_equal(do_request(&k, VIRTIO_BLK_T_IN, 0,
				&(struct t_seg){ DATA, 512, true }, 1, false, NULL), 0);
		}
	}
	disk_free(&k);
}

static void test_ring_outside_ram(void **state)
{
	struct disk k;

	disk_new(&k, false, "1");
	t_start(&k.v, 0, 0, 16);
	t_reset(&k.v);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_STATUS, 3, 1);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_GF, 1, 4);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_STATUS, 11, 1);
	t_queue_setup(&k.v, 0, 16);
	/* Enabled queues do not move. */
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_Q_DESCLO, 0, 4);
	assert_int_equal(t_mmio(&k.v, k.v.common + VIRTIO_PCI_COMMON_Q_DESCLO, 4), k.v.q[0].desc);
	t_reset(&k.v);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_STATUS, 3, 1);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_GF, 1, 4);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_GF, 1, 4);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_GF, 0, 4);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_STATUS, 11, 1);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_Q_DESCLO, T_RAM - 64, 4);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_STATUS, 15, 1);
	t_spin();
	assert_true(t_status(&k.v) & VIRTIO_CONFIG_S_NEEDS_RESET);
	disk_free(&k);
}

static void test_features(void **state)
{
	struct disk k;

	disk_new(&k, false, "1");
	t_reset(&k.v);
	/* No VERSION_1, then a feature that was not offered: FEATURES_OK does not stick. */
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_STATUS, 11, 1);
	assert_int_equal(t_status(&k.v), 3);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_GF, 1 | 1u << 31, 4);
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_STATUS, 11, 1);
	assert_int_equal(t_status(&k.v), 3);
	/* DRIVER_OK without FEATURES_OK neither. */
	t_mmio_w(&k.v, k.v.common + VIRTIO_PCI_COMMON_STATUS, 7, 1);
	assert_int_equal(t_status(&k.v), 3);
	disk_free(&k);
}

/* Interrupts: with the event index only when asked for. */
static void test_event_index(void **state)
{
	struct disk k;

	disk_new(&k, false, "1");
	for (unsigned packed = 0; packed < 2; packed++) {
		struct t_seg in = { DATA, 512, true };
		struct t_queue *q = &k.v.q[0];
		unsigned seen;

		t_start(&k.v, ring_features(2 | packed), 1, 16);
		for (unsigned i = 0; i < 40; i++) {
			/* Interrupt wanted for the chain after the next: every second one. */
			if (i % 2 == 0) {
				if (packed)
					*(uint32_t *)t_at(&k.v, q->avail) =
						(uint32_t)((q->last_used + 3) % 16) |
						(uint32_t)(q->used_wrap ^ (q->last_used + 3 >= 16))
							<< 15 |
						VRING_PACKED_EVENT_FLAG_DESC << 16;
				else
					((uint16_t *)t_at(&k.v, q->avail))[2 + 16] =
						q->last_used + 1;
			}
			seen = k.t->msi[1];
			assert_int_equal(
				do_request(&k, VIRTIO_BLK_T_IN, 0, &in, 1, false, NULL), 0);
			if (i)
				assert_int_equal(k.t->msi[1] - seen, i % 2);
		}
		/* None wanted at all. */
		t_start(&k.v, ring_features(packed), 1, 16);
		if (packed)
			((uint16_t *)t_at(&k.v, q->avail))[1] = VRING_PACKED_EVENT_FLAG_DISABLE;
		else
			((uint16_t *)t_at(&k.v, q->avail))[0] = VRING_AVAIL_F_NO_INTERRUPT;
		do_request(&k, VIRTIO_BLK_T_IN, 0, &in, 1, false, NULL);
		seen = k.t->msi[1];
		for (unsigned i = 0; i < 20; i++)
			do_request(&k, VIRTIO_BLK_T_IN, 0, &in, 1, false, NULL);
		assert_int_equal(k.t->msi[1], seen);
	}
	disk_free(&k);
}

/* Pausing loses nothing; saved and loaded into a second machine, the driver goes on. */
static void test_pause_and_move(void **state)
{
	for (unsigned mode = 0; mode < 4; mode++) {
		struct disk a, b;
		struct t_seg in = { DATA, 512, true };
		GError *error = NULL;

		disk_new(&a, false, "1");
		disk_new(&b, false, "1");
		t_start(&a.v, ring_features(mode), 1, 16);
		for (unsigned i = 0; i < 21; i++)
			do_request(&a, VIRTIO_BLK_T_IN, 0, &in, 1, false, NULL);
		request(&a, 0, 1, VIRTIO_BLK_T_IN, 0, &in, 1, false);
		t_kick(&a.v, 0);
		machine_pause(a.t->m);
		t_spin();
		/* Whatever was or was not served before: nothing moves now. */
		machine_pause(b.t->m);
		memcpy(b.t->ram->host, a.t->ram->host, T_RAM);
		for (unsigned i = 0; i < a.t->m->devices->len; i++) {
			struct device *from = g_ptr_array_index(a.t->m->devices, i);
			struct device *to = g_ptr_array_index(b.t->m->devices, i);
			g_autoptr(GByteArray) bytes = g_byte_array_new();

			state_put(bytes, from->cls->state, from);
			assert_int_equal(state_get(bytes->data, bytes->len, to->cls->state, 1, to,
				&error), 0);
			assert_int_equal(to->cls->loaded(to, &error), 0);
		}
		memcpy(b.v.q, a.v.q, sizeof(a.v.q));
		b.v.packed = a.v.packed;
		machine_start(b.t->m);
		assert_int_equal(t_wait(&b.v, 0, NULL), 513);
		for (unsigned i = 0; i < 21; i++)
			assert_int_equal(
				do_request(&b, VIRTIO_BLK_T_IN, 0, &in, 1, false, NULL), 0);
		disk_free(&a);
		disk_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_io),
		cmocka_unit_test(test_config_and_id),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_depth_and_reset),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_ring_outside_ram),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_event_index),
		cmocka_unit_test(test_pause_and_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
