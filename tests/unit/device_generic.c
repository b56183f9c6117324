/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_generic.c: what every device class must stand: its tables, save and load, hostile states,
 * random register accesses. */
#include "device_rig.h"

#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "core/stream.h"
#include "device/bus/pci_host.h"
#include "device/devices.h"
#include "device/virtio/virtio_blk.h"
#include "device/virtio/virtio_console.h"
#include "device/virtio/virtio_net.h"
#include "image/image.h"
#include "net/net.h"

enum { LOADS = 300, POKES = 10000, VCPU_POKES = 3000 };

static struct rig_irqs irqs;
static GArray *found; /* struct flat: where the device under test can be poked */
static unsigned found_ports; /* that many of them, from the first, are I/O ports */

/* What a class cannot be made without; they outlive the machine. */
static char *disk;
static struct image *image;
static struct netdev *netdev;

static void back_end(struct device *d)
{
	struct image_options o = { .path = disk, .format = "raw", .queues = 1 };

	if (d->cls == &virtio_blk_class)
		virtio_blk_set_image(d, image = image_open(&o, NULL));
	else if (d->cls == &virtio_net_class)
		virtio_net_set_netdev(d, netdev = net_open("none", NULL));
	else if (d->cls == &virtio_console_class)
		assert_int_equal(virtio_console_add_port(d, NULL, true, NULL, NULL), 0);
}

static void back_ends_close(void)
{
	g_clear_pointer(&image, image_close);
	g_clear_pointer(&netdev, net_close);
}

static struct machine *machine_with(const struct device_class *cls, struct device **ret)
{
	struct machine *m = rig_new(2, &irqs);
	struct device *d = device_new(m, cls, "dut");
	GError *error = NULL;

	if (cls != &pci_host_class)
		rig_add(m, &pci_host_class, "pci-host", NULL);
	back_end(d);
	if (device_add(d, &error) < 0)
		fail_msg("%s: cannot be made: %s", cls->name, error->message);
	if (cls->reset)
		cls->reset(d);
	*ret = d;
	return m;
}

static void check_table(const char *cls, const struct field *f, uint64_t size, bool config)
{
	static const uint8_t bytes[] = { [FIELD_BOOL] = 1, [FIELD_U8] = 1, [FIELD_U16] = 2,
		[FIELD_U32] = 4, [FIELD_U64] = 8, [FIELD_BYTES] = 1,
		[FIELD_STRING] = sizeof(char *),
		[FIELD_SIZE] = 8, [FIELD_MAC] = 6, [FIELD_BLOB] = sizeof(void *) };

	for (const struct field *first = f; f->name; f++) {
		uint64_t each = f->kind == FIELD_STRUCT ? f->stride : bytes[f->kind];
		uint64_t count = f->kind == FIELD_BLOB ? 1 : f->count;

		if (!f->count || f->offset + each * count > size)
			fail_msg("%s: field %s is outside its struct", cls, f->name);
		if (config && !f->help)
			fail_msg("%s: property %s has no help", cls, f->name);
		for (const struct field *g = first; g < f; g++)
			if (!strcmp(g->name, f->name))
				fail_msg("%s: two fields are called %s", cls, f->name);
		if (f->kind == FIELD_STRUCT)
			check_table(cls, f->sub, f->stride, config);
	}
}

static void test_tables(void **state)
{
	for (const struct device_class *const *c = devices; *c; c++) {
		assert_non_null((*c)->name);
		assert_non_null((*c)->help);
		assert_true((*c)->version >= 1);
		assert_true((*c)->size >= sizeof(struct device));
		if (!(*c)->state)
			fail_msg("%s has no state table", (*c)->name);
		check_table((*c)->name, (*c)->state, (*c)->size, false);
		if ((*c)->config)
			check_table((*c)->name, (*c)->config, (*c)->size, true);
		assert_ptr_equal(device_class_find((*c)->name), *c);
	}
}

static GByteArray *save(struct device *d)
{
	GByteArray *out = g_byte_array_new();

	state_put(out, d->cls->state, d);
	return out;
}

static bool same(const GByteArray *a, const GByteArray *b)
{
	return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

static int load(struct device *d, const GByteArray *b)
{
	int rc;

	device_lock(d);
	rc = state_get(b->data, b->len, d->cls->state, d->cls->version, d, NULL);
	if (rc == 0 && d->cls->loaded)
		rc = d->cls->loaded(d, NULL);
	device_unlock(d);
	return rc;
}

static void find_registers(struct machine *m, const struct device *d)
{
	struct flat f;

	g_array_set_size(found, 0);
	for (uint64_t a = 0; a < 0x10000; a++)
		if (space_find(m->ports, a, &f) && f.start == a && f.region->device == d)
			g_array_append_val(found, f);
	found_ports = found->len;
	for (uint64_t a = 0xe0000000; a < 1ull << 32; a += 4096)
		if (space_find(m->memory, a, &f) && f.start == a && f.region->device == d)
			g_array_append_val(found, f);
}

/* Random accesses to the registers the device has placed. */
static void poke(struct machine *m, struct device *d, GRand *r, unsigned n)
{
	for (unsigned i = 0; found->len && i < n; i++) {
		unsigned k = g_rand_int_range(r, 0, found->len);
		unsigned size = 1u << g_rand_int_range(r, 0, 4);
		struct space *s = k < found_ports ? m->ports : m->memory;
		struct flat f = g_array_index(found, struct flat, k);
		uint64_t a = f.start + g_rand_int(r) % f.size;
		uint64_t v = (uint64_t)g_rand_int(r) << 32 | g_rand_int(r);

		size = k < found_ports ? MIN(size, 4) : size;
		if (g_rand_int_range(r, 0, 4) == 0)
			v = 1ull << g_rand_int_range(r, 0, 64);
		if (g_rand_boolean(r))
			space_write(s, a, v, size);
		else
			space_read(s, a, size);
		if (i % 512 == 511)
			rig_advance(m, g_rand_int_range(r, 0, 100000000));
	}
}

/* Local APICs are reached through their vCPU. */
static void poke_vcpu(struct vcpu *c, void *opaque)
{
	struct vcpu_intc *i = &c->intc;
	GRand *r = opaque;
	uint64_t v;

	for (unsigned n = 0; n < VCPU_POKES; n++) {
		uint32_t reg = g_rand_int_range(r, 0, 64);

		v = g_rand_boolean(r) ? g_rand_int(r) : 1ull << g_rand_int_range(r, 0, 64);
		switch (g_rand_int_range(r, 0, 8)) {
		case 0: i->msr_write(i->opaque, 0x800 + reg, v); break;
		case 1: i->msr_read(i->opaque, 0x800 + reg, &v); break;
		case 2: space_write(c->machine->memory, 0xfee00000 + reg * 16, v, 4); break;
		case 3: space_read(c->machine->memory, 0xfee00000 + reg * 16, 4); break;
		case 4: i->base_set(i->opaque, 0xfee00000 | (v & 0xd00)); break;
		case 5: i->tpr_set(i->opaque, v & 15); break;
		case 6:
			v = clock_ns(c->machine->clock) + (v & 0xfffff);
			i->msr_write(i->opaque, 0x6e0, v);
			break;
		default:
			if (i->pending(i->opaque))
				i->ack(i->opaque);
		}
	}
}

static void each_class(void (*fn)(struct machine *m, struct device *d, GRand *r))
{
	for (const struct device_class *const *c = devices; *c; c++) {
		struct device *d;
		struct machine *m = machine_with(*c, &d);
		g_autoptr(GRand) r = g_rand_new_with_seed(4711);

		find_registers(m, d);
		fn(m, d, r);
		rig_free(m);
		back_ends_close();
	}
}

static void round_trip(struct machine *m, struct device *d, GRand *r)
{
	for (unsigned i = 0; i < 20; i++) {
		g_autoptr(GByteArray) a = NULL, b = NULL;

		poke(m, d, r, 200);
		if (m->vcpus[0]->intc.msr_write)
			rig_on_vcpu(m, 0, poke_vcpu, r);
		a = save(d);
		/* What a reset forgets must come back. */
		if (d->cls->reset)
			d->cls->reset(d);
		assert_int_equal(load(d, a), 0);
		b = save(d);
		/* The RTC follows the host's clock meanwhile. */
		if (strcmp(d->cls->name, "rtc") && !same(a, b))
			fail_msg("%s: state is another one after save and load", d->cls->name);
	}
}

static void test_round_trip(void **state)
{
	each_class(round_trip);
}

/* Gives fields random values, as a well-formed stream could. */
static void scramble(const struct field *f, void *object, GRand *r, unsigned one_in)
{
	static const uint8_t bytes[] = { [FIELD_U8] = 1, [FIELD_U16] = 2, [FIELD_U32] = 4,
		[FIELD_U64] = 8, [FIELD_BYTES] = 1, [FIELD_SIZE] = 8 };

	for (; f->name; f++) {
		uint8_t *at = (uint8_t *)object + f->offset;

		if (f->kind == FIELD_STRUCT) {
			for (uint32_t i = 0; i < f->count; i++)
				scramble(f->sub, at + (size_t)i * f->stride, r, one_in);
			continue;
		}
		if (g_rand_int_range(r, 0, one_in))
			continue;
		if (f->kind == FIELD_BOOL) {
			for (uint32_t i = 0; i < f->count; i++)
				((bool *)at)[i] = g_rand_boolean(r);
		} else if (f->kind < array_len(bytes)) {
			uint32_t n = f->count * bytes[f->kind];
			unsigned how = g_rand_int_range(r, 0, 3);

			for (uint32_t i = 0; i < n; i++)
				at[i] = how == 0 ? g_rand_int(r) :
					how == 2 && i % 8 == 7 ? 0x7f : 0xff;
		}
	}
}

/* Streams damaged anywhere, and well-formed ones whose values are nonsense. */
static void hostile(struct machine *m, struct device *d, GRand *r)
{
	g_autoptr(GByteArray) good = save(d);
	unsigned taken = 0;

	for (unsigned i = 0; good->len && i < LOADS; i++) {
		g_autoptr(GByteArray) b = g_byte_array_new();

		if (i % 3) {
			scramble(d->cls->state, d, r, 1 + g_rand_int_range(r, 0, 20));
			state_put(b, d->cls->state, d);
		} else {
			g_byte_array_append(b, good->data, good->len);
			for (unsigned n = 1 + i / 20; n--;)
				b->data[g_rand_int(r) % b->len] = g_rand_int(r);
			if (i % 16 == 0)
				g_byte_array_set_size(b, g_rand_int(r) % good->len);
		}
		if (load(d, b) == 0) {
			poke(m, d, r, 20);
			if (taken++ % 8 == 0)
				rig_advance(m, g_rand_int_range(r, 0, 50000000));
		} else {
			assert_int_equal(load(d, good), 0);
		}
	}
	if (d->cls->reset)
		d->cls->reset(d);
	poke(m, d, r, 200);
	g_test_message("%s took %u of %u", d->cls->name, taken, LOADS);
}

static void test_hostile_state(void **state)
{
	each_class(hostile);
}

static void pokes(struct machine *m, struct device *d, GRand *r)
{
	poke(m, d, r, POKES);
	if (m->vcpus[0]->intc.msr_write)
		rig_on_vcpu(m, 0, poke_vcpu, r);
}

static void test_random_pokes(void **state)
{
	each_class(pokes);
}

/* Reset brings back the same registers whatever happened before. */
static void reset(struct machine *m, struct device *d, GRand *r)
{
	g_autoptr(GByteArray) a = NULL, b = NULL;

	if (!d->cls->reset || !strcmp(d->cls->name, "rtc"))
		return; /* a battery-backed clock forgets nothing */
	d->cls->reset(d);
	a = save(d);
	poke(m, d, r, 500);
	d->cls->reset(d);
	b = save(d);
	if (!same(a, b))
		fail_msg("%s: reset leaves something behind", d->cls->name);
}

static void test_reset(void **state)
{
	each_class(reset);
}

static int set_up(void **state)
{
	int fd = g_file_open_tmp("lodge-generic-XXXXXX", &disk, NULL);

	if (fd < 0 || ftruncate(fd, 1 << 20) < 0 || close(fd) < 0)
		return -1;
	found = g_array_new(FALSE, FALSE, sizeof(struct flat));
	return 0;
}

static int tear_down(void **state)
{
	g_array_free(found, TRUE);
	unlink(disk);
	g_free(disk);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_hostile_state),
		cmocka_unit_test(test_random_pokes),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
