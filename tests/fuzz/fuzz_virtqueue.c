/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_virtqueue.c: a driver that may do anything with rings, descriptors, registers and kicks of
 * every virtio device, while the host side sends frames, input and requests.
 */
#include "input.h"

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <unistd.h>

#include "accel/accel.h"
#include "char/char.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/region.h"
#include "device/bus/pci_host.h"
#include "device/virtio/virtio_balloon.h"
#include "device/virtio/virtio_blk.h"
#include "device/virtio/virtio_console.h"
#include "device/virtio/virtio_net.h"
#include "device/virtio/virtio_rng.h"
#include "image/image.h"
#include "net/kind.h"

enum {
	RAM = 1 << 20,
	RINGS = 0x1000,	 /* 4 KiB a queue: descriptors, 0x800 driver area, 0xc00 device area */
	TABLES = 0x40000,
	BUFFERS = 0x60000,
	DISK = 1 << 20,
	RING_SIZE = 16,
};

static struct machine *m;
static struct ram *ram;
static struct pci_host *host;
static struct device *device[5];
static struct chardev *tty, *channel;

static uint8_t sink_sum; /* so that every byte sent is read */

static void sink_send(struct netdev *n, const struct iovec *iov, int cnt)
{

	for (int i = 0; i < cnt; i++)
		for (size_t k = 0; k < iov[i].iov_len; k++)
			sink_sum ^= ((const uint8_t *)iov[i].iov_base)[k];
}

static void sink_flush(struct netdev *n)
{
	static const uint8_t frame[1200] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (n->user)
		n->user->receive(n->opaque, frame, sizeof(frame));
}

static const struct net_kind sink = { .name = "sink", .send = sink_send, .flush_rx = sink_flush };
static struct netdev net = { .kind = &sink };

static void gsi(void *opaque, unsigned line, int level)
{
}

static void msi(void *opaque, uint64_t addr, uint32_t data)
{
}

static const struct intc_ops intc = { .name = "fuzz", .gsi = gsi, .msi = msi };

static struct image *disk(void)
{
	struct image_options o = { .format = "raw", .queues = 2 };
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp("lodge-fuzz-XXXXXX", &path, NULL);
	struct image *im;

	if (ftruncate(fd, DISK) < 0)
		g_error("no disk");
	close(fd);
	o.path = path;
	im = image_open(&o, NULL);
	unlink(path);
	return im;
}

static void setup(void)
{
	static struct region low;
	struct device *d;

	m = machine_new(accel_find("null", NULL, NULL), NULL);
	m->intc = (struct intc){ &intc, NULL };
	ram = ram_new("ram", RAM, false, NULL);
	g_ptr_array_add(m->rams, ram);
	low = (struct region){ .name = "ram", .ram = ram, .size = RAM };
	region_place(m->memory, &low, 0, 0);
	d = device_new(m, &pci_host_class, "pci");
	device_add(d, NULL);
	host = pci_host_find(m);
	device[0] = device_new(m, &virtio_blk_class, "blk");
	virtio_blk_set_image(device[0], disk());
	device_set(device[0], "queues", "2", NULL);
	device[1] = device_new(m, &virtio_net_class, "net");
	virtio_net_set_netdev(device[1], &net);
	device_set(device[1], "queue_pairs", "2", NULL);
	device[2] = device_new(m, &virtio_console_class, "console");
	tty = char_open("memory", NULL);
	channel = char_open("memory", NULL);
	virtio_console_add_port(device[2], NULL, true, tty, NULL);
	virtio_console_add_port(device[2], "channel", false, channel, NULL);
	device[3] = device_new(m, &virtio_rng_class, "rng");
	device[4] = device_new(m, &virtio_balloon_class, "balloon");
	for (unsigned i = 0; i < G_N_ELEMENTS(device); i++) {
		device_set(device[i], "packed", "on", NULL);
		if (device_add(device[i], NULL) < 0)
			g_error("device %u cannot be added", i);
	}
}

static uint64_t bar(struct device *d)
{
	return pci_bar_address(pci_device_of(d), 0);
}

static void reg(struct device *d, unsigned off, uint64_t val, unsigned size)
{
	space_write(m->memory, bar(d) + off, val, size);
}

/* To DRIVER_OK with a choice of features and some queues set up well. */
static void start(struct device *d, struct input *in)
{
	uint64_t want = in_get(in, 8), offered;

	space_write(m->memory, 0xb0000000 + ((uint64_t)pci_device_of(d)->devfn << 12) + 4, 6, 2);
	reg(d, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	reg(d, VIRTIO_PCI_COMMON_STATUS, 3, 1);
	reg(d, VIRTIO_PCI_COMMON_DFSELECT, 0, 4);
	offered = space_read(m->memory, bar(d) + VIRTIO_PCI_COMMON_DF, 4);
	reg(d, VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	offered |= space_read(m->memory, bar(d) + VIRTIO_PCI_COMMON_DF, 4) << 32;
	want = (want & offered) | 1ull << VIRTIO_F_VERSION_1;
	reg(d, VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	reg(d, VIRTIO_PCI_COMMON_GF, (uint32_t)want, 4);
	reg(d, VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	reg(d, VIRTIO_PCI_COMMON_GF, want >> 32, 4);
	reg(d, VIRTIO_PCI_COMMON_STATUS, 11, 1);
	for (unsigned q = 0; q < 6; q++) {
		uint32_t at = RINGS + 0x1000 * q;

		reg(d, VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
		reg(d, VIRTIO_PCI_COMMON_Q_SIZE, RING_SIZE, 2);
		reg(d, VIRTIO_PCI_COMMON_Q_DESCLO, at, 4);
		reg(d, VIRTIO_PCI_COMMON_Q_AVAILLO, at + 0x800, 4);
		reg(d, VIRTIO_PCI_COMMON_Q_USEDLO, at + 0xc00, 4);
		reg(d, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	}
	reg(d, VIRTIO_PCI_COMMON_STATUS, 15, 1);
}

static void host_side(struct input *in)
{
	uint8_t buf[256];
	size_t n = in_bytes(in, buf, in_get(in, 1));

	if (net.user)
		net.user->receive(net.opaque, buf, n);
	char_memory_feed(n & 1 ? tty : channel, buf, n);
	char_memory_read(tty, buf, sizeof(buf));
	char_memory_read(channel, buf, sizeof(buf));
	virtio_balloon_set_target(device[4], n << 12);
	virtio_balloon_set_interval(device[4], n & 1);
}

static void step(struct device *d, struct input *in)
{
	static const uint8_t sizes[] = { 1, 2, 4, 8 };
	uint8_t op = (uint8_t)in_get(in, 1);
	unsigned size = sizes[op >> 6];
	uint32_t at, i;

	switch (op & 15) {
	case 0:
	case 1:
	case 2: /* one well-formed split descriptor, made available */
	case 3:
		i = in_get(in, 1);
		at = RINGS + 0x1000 * (i % 6);
		{
			uint8_t slot = in_get(in, 1) % RING_SIZE, flags = in_get(in, 1) & 7;
			uint64_t addr = BUFFERS + (in_get(in, 2) << (op & 3));
			uint32_t len = (uint32_t)in_get(in, 2);
			uint16_t *avail = (uint16_t *)(ram->host + at + 0x800);

			memcpy(ram->host + at + 16 * slot, &addr, 8);
			memcpy(ram->host + at + 16 * slot + 8, &len, 4);
			ram->host[at + 16 * slot + 12] = flags;
			ram->host[at + 16 * slot + 14] = (uint8_t)(slot + 1) % RING_SIZE;
			if (op & 16)
				avail[2 + avail[1]++ % RING_SIZE] = slot;
		}
		break;
	case 4:
	case 5: /* anything into rings */
		at = RINGS + in_get(in, 2) % 0x6000;
		in_bytes(in, ram->host + at, in_get(in, 1) & 31);
		break;
	case 6: /* into tables and buffers */
	case 7:
		at = (op & 1 ? TABLES : BUFFERS) + (uint32_t)in_get(in, 2);
		in_bytes(in, ram->host + at, in_get(in, 1) & 63);
		break;
	case 8:
	case 9:
		reg(d, 0x3000 + 4 * (in_get(in, 1) & 7), 0, 2);
		break;
	case 10:
		reg(d, (unsigned)in_get(in, 1) & 0x3f, in_get(in, size), size);
		break;
	case 11:
		reg(d, 0x2000 + ((unsigned)in_get(in, 1) & 0x3f), in_get(in, size), size);
		break;
	case 12:
		space_read(m->memory, bar(d) + in_get(in, 2) % 0x6000, size);
		break;
	case 13:
		for (i = 0; i < 4; i++)
			g_main_context_iteration(NULL, FALSE);
		break;
	case 14:
		host_side(in);
		break;
	case 15:
		if (op & 16)
			start(d, in);
		else if (op & 32)
			machine_pause(m), machine_start(m);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct device *d;

	if (!m)
		setup();
	machine_reset(m);
	pci_assign_resources(host);
	memset(ram->host, 0, RAM);
	machine_start(m);
	d = device[in_get(&in, 1) % G_N_ELEMENTS(device)];
	start(d, &in);
	while (in_more(&in))
		step(d, &in);
	while (g_main_context_iteration(NULL, FALSE))
		;
	machine_pause(m);
	return 0;
}
