/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_console.c: consoles and byte channels, several ports to a device. Port n has a receive and
 * a transmit queue; the control queues announce ports. Spec: VIRTIO 1.2, 5.3.
 */
#include "device/virtio/virtio_console.h"

#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "char/char.h"
#include "device/virtio/virtio.h"

enum {
	PORTS_MAX = 16,
	QUEUE_SIZE = 128,
	CHAIN_MAX = QUEUE_SIZE + 2,
	CTRL_RX = 2,
	CTRL_TX = 3,
	MESSAGE_MAX = 256,	  /* control message with a name */
	PENDING_MAX = 64 * 1024, /* control messages waiting for the driver's buffers */
};

struct port {
	struct virtio_console *s; /* borrowed */
	unsigned index;
	char *name; /* owned */
	bool console;
	struct chardev *chr; /* borrowed */
	bool connected;	     /* the back end has a peer */
	bool blocked;	     /* the back end takes no more */
	/* saved */
	bool guest_open;
	uint32_t tx_offset; /* bytes of the next transmit chain that are out already */
};

struct virtio_console {
	struct virtio v;
	uint16_t columns, rows;
	unsigned port_count;
	struct port port[PORTS_MAX];
	GByteArray *pending; /* state: messages, each after its length (2 bytes) */
	struct virtq_chain rx_chain, tx_chain;
};

static struct virtio_console *console_of(struct device *d)
{
	return container_of(d, struct virtio_console, v.dev);
}

static bool multiport(const struct virtio_console *s)
{
	return virtio_has(&s->v, VIRTIO_CONSOLE_F_MULTIPORT);
}

static struct virtq *port_rx(struct port *p)
{
	return &p->s->v.queue[p->index ? 2 * (p->index + 1) : 0];
}

static struct virtq *port_tx(struct port *p)
{
	return port_rx(p) + 1;
}

static uint64_t console_features(const struct virtio *v)
{
	return VIRTIO_BIT(VIRTIO_CONSOLE_F_SIZE) | VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT) |
		VIRTIO_BIT(VIRTIO_CONSOLE_F_EMERG_WRITE);
}

static void console_config_read(struct virtio *v, uint8_t *buf)
{
	const struct virtio_console *s = container_of(v, struct virtio_console, v);
	struct virtio_console_config c = { .cols = s->columns, .rows = s->rows,
		.max_nr_ports = s->port_count };

	memcpy(buf, &c, sizeof(c));
}

/* 5.3.4: one character of a kernel in trouble. */
static void console_config_write(struct virtio *v, unsigned off, unsigned len, const uint8_t *buf)
{
	struct virtio_console *s = container_of(v, struct virtio_console, v);
	unsigned at = offsetof(struct virtio_console_config, emerg_wr);

	if (off <= at && off + len > at && s->port[0].chr)
		char_write(s->port[0].chr, buf + at, 1);
}

/* Control messages to the driver. 5.3.6.2. */

static void control_flush(struct virtio_console *s)
{
	struct virtq *q = &s->v.queue[CTRL_RX];

	while (s->pending->len && q->enabled && virtio_live(&s->v) &&
	       virtq_pop(q, &s->rx_chain) > 0) {
		struct virtq_chain *c = &s->rx_chain;
		uint16_t len;
		size_t n;

		memcpy(&len, s->pending->data, 2);
		n = iov_write(c->iov + c->out, c->in, 0, s->pending->data + 2, len);
		virtq_written(q, c, (uint32_t)n);
		virtq_push(q, c, (uint32_t)n);
		g_byte_array_remove_range(s->pending, 0, 2u + len);
	}
	virtq_signal(q);
}

static void control_send(struct port *p, uint16_t event, uint16_t value, const char *name)
{
	struct virtio_console *s = p->s;
	struct virtio_console_control m = { .id = p->index, .event = event, .value = value };
	uint16_t name_len = name ? (uint16_t)MIN(strlen(name), MESSAGE_MAX - sizeof(m)) : 0;
	uint16_t len = (uint16_t)(sizeof(m) + name_len);

	/* A driver that never takes its messages gets no more of them. */
	if (!multiport(s) || s->pending->len + 2u + len > PENDING_MAX)
		return;
	g_byte_array_append(s->pending, (const uint8_t *)&len, 2);
	g_byte_array_append(s->pending, (const uint8_t *)&m, sizeof(m));
	g_byte_array_append(s->pending, (const uint8_t *)name, name_len);
	control_flush(s);
}

static void port_ready(struct port *p)
{
	if (p->console)
		control_send(p, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL);
	if (p->name)
		control_send(p, VIRTIO_CONSOLE_PORT_NAME, 1, p->name);
	if (p->connected)
		control_send(p, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
}

static void control_message(struct virtio_console *s, const struct virtio_console_control *m)
{
	if (m->event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (unsigned i = 0; m->value && i < s->port_count; i++)
			control_send(&s->port[i], VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
		return;
	}
	if (m->id >= s->port_count)
		return;
	if (m->event == VIRTIO_CONSOLE_PORT_READY && m->value) {
		port_ready(&s->port[m->id]);
	} else if (m->event == VIRTIO_CONSOLE_PORT_OPEN) {
		s->port[m->id].guest_open = m->value != 0;
		if (m->value && s->port[m->id].chr)
			char_accept_input(s->port[m->id].chr);
	}
}

static void control_rx(struct virtio *v, struct virtq *q)
{
	control_flush(container_of(v, struct virtio_console, v));
}

static void control_tx(struct virtio *v, struct virtq *q)
{
	struct virtio_console *s = container_of(v, struct virtio_console, v);

	do {
		while (virtq_pop(q, &s->tx_chain) > 0) {
			struct virtio_console_control m;
			size_t n = iov_read(s->tx_chain.iov, s->tx_chain.out, 0, &m, sizeof(m));

			virtq_push(q, &s->tx_chain, 0);
			if (n == sizeof(m))
				control_message(s, &m);
		}
	} while (virtio_live(v) && virtq_kicks(q, true));
	virtq_signal(q);
}

/* Data from the host. */

static bool port_listens(const struct port *p)
{
	return virtio_live(&p->s->v) && (!multiport(p->s) || p->guest_open);
}

static size_t port_can_receive(void *opaque)
{
	struct port *p = opaque;
	struct virtq *q = port_rx(p);
	size_t room = 0;

	device_lock(&p->s->v.dev);
	if (port_listens(p) && q->enabled) {
		struct virtq_chain *c = &p->s->rx_chain;

		if (virtq_pop(q, c) > 0 || (virtq_kicks(q, true) && virtq_pop(q, c) > 0)) {
			room = c->in_bytes;
			virtq_unpop(q, c);
		}
	}
	device_unlock(&p->s->v.dev);
	return room;
}

static void port_receive(void *opaque, const uint8_t *bytes, size_t n)
{
	struct port *p = opaque;
	struct virtq *q = port_rx(p);
	struct virtq_chain *c = &p->s->rx_chain;

	device_lock(&p->s->v.dev);
	while (n && port_listens(p) && q->enabled && virtq_pop(q, c) > 0) {
		size_t part = iov_write(c->iov + c->out, c->in, 0, bytes, n);

		virtq_written(q, c, (uint32_t)part);
		virtq_push(q, c, (uint32_t)part);
		bytes += part;
		n -= part;
	}
	virtq_signal(q);
	device_unlock(&p->s->v.dev);
}

static void data_rx(struct virtio *v, struct virtq *q)
{
	struct virtio_console *s = container_of(v, struct virtio_console, v);
	struct port *p = &s->port[q->index ? q->index / 2 - 1 : 0];

	if (p->chr)
		char_accept_input(p->chr);
}

/* Data to the host. */

/* Writes a chain from p->tx_offset on; false: the back end is full, the offset says how far. */
static bool port_write(struct port *p, const struct virtq_chain *c)
{
	size_t skip = p->tx_offset;

	for (unsigned i = 0; p->chr && i < c->out; i++) {
		size_t len = c->iov[i].iov_len, n;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		n = char_write(p->chr, (const char *)c->iov[i].iov_base + skip, len - skip);
		p->tx_offset += (uint32_t)n;
		if (n < len - skip)
			return false;
		skip = 0;
	}
	p->tx_offset = 0;
	return true;
}

static void data_tx(struct virtio *v, struct virtq *q)
{
	struct virtio_console *s = container_of(v, struct virtio_console, v);
	struct port *p = &s->port[q->index > 1 ? q->index / 2 - 1 : 0];

	do {
		while (!p->blocked && virtq_pop(q, &s->tx_chain) > 0) {
			if (!port_write(p, &s->tx_chain)) {
				virtq_unpop(q, &s->tx_chain);
				p->blocked = true;
				break;
			}
			virtq_push(q, &s->tx_chain, 0);
		}
	} while (!p->blocked && virtio_live(v) && virtq_kicks(q, true));
	virtq_signal(q);
}

static void port_writable(void *opaque)
{
	struct port *p = opaque;
	struct virtq *q = port_tx(p);

	device_lock(&p->s->v.dev);
	p->blocked = false;
	if (q->enabled && virtio_live(&p->s->v))
		data_tx(&p->s->v, q);
	device_unlock(&p->s->v.dev);
}

static void port_connected(void *opaque, bool yes)
{
	struct port *p = opaque;

	device_lock(&p->s->v.dev);
	if (p->connected != yes) {
		p->connected = yes;
		control_send(p, VIRTIO_CONSOLE_PORT_OPEN, yes, NULL);
	}
	device_unlock(&p->s->v.dev);
}

static const struct char_user port_user = {
	.can_receive = port_can_receive,
	.receive = port_receive,
	.writable = port_writable,
	.connected = port_connected,
};

int virtio_console_add_port(struct device *d, const char *name, bool console, struct chardev *c,
	GError **error)
{
	struct virtio_console *s = console_of(d);
	struct port *p = &s->port[s->port_count];

	if (s->port_count == PORTS_MAX)
		return fail(error, LODGE_ERROR_USAGE, "%s: at most %d ports are possible", d->id,
			PORTS_MAX);
	*p = (struct port){ .s = s, .index = s->port_count++, .name = g_strdup(name),
		.console = console, .chr = c, .connected = c != NULL };
	return 0;
}

void virtio_console_set_size(struct device *d, uint16_t columns, uint16_t rows)
{
	struct virtio_console *s = console_of(d);

	device_lock(d);
	s->columns = columns;
	s->rows = rows;
	virtio_config_changed(&s->v);
	device_unlock(d);
}

static void console_reset(struct virtio *v)
{
	struct virtio_console *s = container_of(v, struct virtio_console, v);

	g_byte_array_set_size(s->pending, 0);
	for (unsigned i = 0; i < s->port_count; i++) {
		s->port[i].guest_open = false;
		s->port[i].tx_offset = 0;
		s->port[i].blocked = false;
	}
}

static const struct virtio_type console_type = {
	.id = VIRTIO_ID_CONSOLE,
	.class_code = 0x078000,
	.config_size = sizeof(struct virtio_console_config),
	.features = console_features,
	.config_read = console_config_read,
	.config_write = console_config_write,
	.reset = console_reset,
};

static int console_init(struct device *d, GError **error)
{
	struct virtio_console *s = console_of(d);

	if (!s->port_count)
		return fail(
			error, LODGE_ERROR_USAGE, "%s: a console needs at least one port", d->id);
	s->pending = g_byte_array_new();
	virtq_chain_init(&s->rx_chain, CHAIN_MAX);
	virtq_chain_init(&s->tx_chain, CHAIN_MAX);
	virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_INLINE, data_rx);
	virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_INLINE, data_tx);
	virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_INLINE, control_rx);
	virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_INLINE, control_tx);
	for (unsigned i = 1; i < s->port_count; i++) {
		virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_INLINE, data_rx);
		virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_INLINE, data_tx);
	}
	if (virtio_pci_init(&s->v, &console_type, error) < 0)
		return -1;
	for (unsigned i = 0; i < s->port_count; i++)
		if (s->port[i].chr)
			char_attach(s->port[i].chr, &port_user, &s->port[i]);
	return 0;
}

static void console_resume(struct device *d)
{
	struct virtio_console *s = console_of(d);

	virtio_resume(d);
	for (unsigned i = 0; i < s->port_count; i++)
		if (s->port[i].chr)
			char_accept_input(s->port[i].chr);
}

static int console_loaded(struct device *d, GError **error)
{
	struct virtio_console *s = console_of(d);

	for (unsigned at = 0; at < s->pending->len;) {
		uint16_t len;

		if (s->pending->len - at < 2)
			return fail(
				error, LODGE_ERROR_STATE, "%s: saved messages are damaged", d->id);
		memcpy(&len, s->pending->data + at, 2);
		if (len > MESSAGE_MAX || len > s->pending->len - at - 2)
			return fail(
				error, LODGE_ERROR_STATE, "%s: saved messages are damaged", d->id);
		at += 2u + len;
	}
	for (unsigned i = 0; i < s->port_count; i++)
		s->port[i].blocked = false;
	return virtio_loaded(d, error);
}

static void console_fini(struct device *d)
{
	struct virtio_console *s = console_of(d);

	for (unsigned i = 0; i < s->port_count; i++) {
		if (s->port[i].chr && s->pending)
			char_attach(s->port[i].chr, NULL, NULL);
		g_free(s->port[i].name);
	}
	virtio_fini(d);
	virtq_chain_fini(&s->rx_chain);
	virtq_chain_fini(&s->tx_chain);
}

static const struct field config[] = {
	VIRTIO_CONFIG(struct virtio_console, v),
	CONFIG(struct virtio_console, columns, FIELD_U16, "0", "width of the first console"),
	CONFIG(struct virtio_console, rows, FIELD_U16, "0", "height of the first console"),
	{ 0 },
};

static const struct field port_state[] = {
	FIELD(struct port, guest_open, FIELD_BOOL),
	FIELD(struct port, tx_offset, FIELD_U32),
	{ 0 },
};

static const struct field state[] = {
	VIRTIO_STATE(struct virtio_console, v),
	FIELD_SUB(struct virtio_console, port, port_state, PORTS_MAX, struct port),
	FIELD_ARRAY(struct virtio_console, pending, FIELD_BLOB, PENDING_MAX),
	{ 0 },
};

const struct device_class virtio_console_class = {
	.name = "virtio-console",
	.help = "consoles and byte channels",
	.size = sizeof(struct virtio_console),
	.version = 1,
	.config = config,
	.state = state,
	.init = console_init,
	.reset = virtio_reset,
	.quiesce = virtio_quiesce,
	.resume = console_resume,
	.loaded = console_loaded,
	.fini = console_fini,
};
