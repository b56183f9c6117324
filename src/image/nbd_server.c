/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nbd_server.c: serves an image to NBD clients: fixed newstyle, structured replies, block status.
 * Each connection has a thread that reads requests; a pool shared by all does them, and answers as
 * they end. Spec: NetworkBlockDevice/nbd, doc/proto.md.
 */
#include "image/nbd_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/image.h"
#include "image/nbd_wire.h"

enum {
	PAYLOAD_MAX = 32 << 20, /* as the specification suggests */
	OPTION_MAX = 16 << 10,
	OPTIONS_MAX = 256, /* a client that asks more has no business */
	IN_FLIGHT = 64,    /* requests of a connection */
	IN_FLIGHT_BYTES = 64 << 20,
	WORKERS = 16,
	STATUS_EXTENTS = 1024,
	META_ID = 1,
};

struct nbd_server {
	struct image *im;
	struct nbd_server_options o;
	GThreadPool *pool; /* owned */
	GMutex lock;
	GCond gone;
	GPtrArray *clients; /* struct client *; not owned: their threads are */
};

struct client {
	struct nbd_server *s;
	int fd;
	bool structured, meta;
	GMutex send_lock;
	GMutex lock; /* in_flight, bytes */
	GCond less;
	unsigned in_flight;
	uint64_t bytes;
	_Atomic bool broken;
};

struct request {
	struct client *c;
	uint16_t flags, type;
	uint64_t cookie, at;
	uint32_t n;
	uint8_t *data; /* owned */
};

/* ---- bytes to and from the socket ---- */

static int get(struct client *c, void *buf, size_t n)
{
	uint8_t *p = buf;

	while (n) {
		ssize_t r = recv(c->fd, p, n, MSG_WAITALL);

		if (r < 0 && (errno == EINTR || errno == EAGAIN)) {
			struct pollfd wait = { .fd = c->fd, .events = POLLIN };

			poll(&wait, 1, -1);
			continue;
		}
		if (r <= 0)
			return -1;
		p += r;
		n -= r;
	}
	return 0;
}

static int put_all(struct client *c, struct iovec *iov, unsigned count)
{
	while (count) {
		struct msghdr m = { .msg_iov = iov, .msg_iovlen = count };
		ssize_t r = sendmsg(c->fd, &m, MSG_NOSIGNAL);

		if (r < 0 && (errno == EINTR || errno == EAGAIN)) {
			struct pollfd wait = { .fd = c->fd, .events = POLLOUT };

			poll(&wait, 1, -1);
			continue;
		}
		if (r < 0) {
			c->broken = true;
			return -1;
		}
		for (; count && (size_t)r >= iov->iov_len; iov++, count--)
			r -= iov->iov_len;
		if (count) {
			iov->iov_base = (char *)iov->iov_base + r;
			iov->iov_len -= r;
		}
	}
	return 0;
}

static int put(struct client *c, const void *buf, size_t n)
{
	struct iovec v = { (void *)buf, n };

	return put_all(c, &v, 1);
}

/* ---- handshake ---- */

static uint16_t transmission_flags(const struct nbd_server *s)
{
	return NBD_HAS_FLAGS | NBD_FLUSH | NBD_FUA | NBD_DF | NBD_MULTI_CONN |
	       (s->o.readonly ? NBD_READ_ONLY : NBD_TRIM | NBD_ZEROES);
}

static int reply_option(
	struct client *c, uint32_t option, uint32_t type, const void *data, uint32_t n)
{
	uint8_t h[20];
	struct iovec v[2] = { { h, sizeof(h) }, { (void *)data, n } };

	store_be64(h, NBD_OPTION_REPLY_MAGIC);
	store_be32(h + 8, option);
	store_be32(h + 12, type);
	store_be32(h + 16, n);
	return put_all(c, v, n ? 2 : 1);
}

static const char *export_name(const struct nbd_server *s)
{
	return s->o.name ? s->o.name : "";
}

/* The empty name is the default export, whatever it is called. */
static bool names_export(const struct nbd_server *s, const uint8_t *name, uint32_t n)
{
	return !n || (strlen(export_name(s)) == n && !memcmp(export_name(s), name, n));
}

static int send_info(struct client *c, uint32_t option, uint16_t type, const void *data, uint32_t n)
{
	g_autofree uint8_t *b = g_malloc(n + 2);

	store_be16(b, type);
	memcpy(b + 2, data, n);
	return reply_option(c, option, NBD_REP_INFO, b, n + 2);
}

/* 1: transmission begins. */
static int option_go(struct client *c, uint32_t option, const uint8_t *data, uint32_t n)
{
	const struct nbd_server *s = c->s;
	uint32_t name = n >= 6 ? load_be32(data) : UINT32_MAX;
	uint8_t info[12];

	if (name > n - 6)
		return reply_option(c, option, NBD_REP_ERR(NBD_ERR_INVALID), NULL, 0);
	if (!names_export(s, data + 4, name))
		return reply_option(c, option, NBD_REP_ERR(NBD_ERR_UNKNOWN), NULL, 0);
	store_be64(info, image_size(s->im));
	store_be16(info + 8, transmission_flags(s));
	if (send_info(c, option, NBD_INFO_EXPORT, info, 10) < 0)
		return -1;
	store_be32(info, 1);
	store_be32(
		info + 4, MAX(image_cluster(s->im) > 65536 ? 65536 : image_cluster(s->im), 4096));
	store_be32(info + 8, PAYLOAD_MAX);
	if (send_info(c, option, NBD_INFO_BLOCK_SIZE, info, 12) < 0 ||
		(s->o.description && send_info(c, option, NBD_INFO_DESCRIPTION, s->o.description,
					     strlen(s->o.description)) < 0) ||
		reply_option(c, option, NBD_REP_ACK, NULL, 0) < 0)
		return -1;
	return option == NBD_OPT_GO;
}

static int option_list(struct client *c, uint32_t option, uint32_t n)
{
	const char *name = export_name(c->s);
	g_autofree uint8_t *b = g_malloc(strlen(name) + 4);

	if (n)
		return reply_option(c, option, NBD_REP_ERR(NBD_ERR_INVALID), NULL, 0);
	store_be32(b, strlen(name));
	memcpy(b + 4, name, strlen(name));
	if (reply_option(c, option, NBD_REP_SERVER, b, strlen(name) + 4) < 0)
		return -1;
	return reply_option(c, option, NBD_REP_ACK, NULL, 0);
}

static int option_meta(struct client *c, uint32_t option, const uint8_t *data, uint32_t n)
{
	static const char context[] = "base:allocation";
	uint32_t name = n >= 8 ? load_be32(data) : UINT32_MAX, queries, at;
	uint8_t answer[4 + sizeof(context)];
	bool wanted = false;

	if (!c->structured || name > n - 8)
		return reply_option(c, option, NBD_REP_ERR(NBD_ERR_INVALID), NULL, 0);
	if (!names_export(c->s, data + 4, name))
		return reply_option(c, option, NBD_REP_ERR(NBD_ERR_UNKNOWN), NULL, 0);
	queries = load_be32(data + 4 + name);
	at = 8 + name;
	wanted = option == NBD_OPT_LIST_META && !queries;
	for (uint32_t i = 0; i < queries; i++) {
		uint32_t len = n - at >= 4 ? load_be32(data + at) : UINT32_MAX;

		if (n - at < 4 || len > n - at - 4)
			return reply_option(c, option, NBD_REP_ERR(NBD_ERR_INVALID), NULL, 0);
		wanted |= len == strlen(context) && !memcmp(data + at + 4, context, len);
		wanted |= option == NBD_OPT_LIST_META && len == 5 &&
			  !memcmp(data + at + 4, "base:", 5);
		at += 4 + len;
	}
	if (option == NBD_OPT_SET_META)
		c->meta = wanted;
	store_be32(answer, option == NBD_OPT_SET_META ? META_ID : 0);
	memcpy(answer + 4, context, strlen(context));
	if (wanted && reply_option(c, option, NBD_REP_META, answer, 4 + strlen(context)) < 0)
		return -1;
	return reply_option(c, option, NBD_REP_ACK, NULL, 0);
}

/* The old way in: no reply but the export itself, or the end. */
static int option_export_name(struct client *c, const uint8_t *data, uint32_t n, bool no_zeroes)
{
	uint8_t b[10 + 124] = { 0 };

	if (!names_export(c->s, data, n))
		return -1;
	store_be64(b, image_size(c->s->im));
	store_be16(b + 8, transmission_flags(c->s));
	return put(c, b, no_zeroes ? 10 : sizeof(b)) < 0 ? -1 : 1;
}

/* 1: transmission begins; 0: the next option; -1: the end. */
static int handle_option(
	struct client *c, uint32_t option, const uint8_t *data, uint32_t n, bool no_zeroes)
{
	switch (option) {
	case NBD_OPT_EXPORT_NAME: return option_export_name(c, data, n, no_zeroes);
	case NBD_OPT_ABORT: reply_option(c, option, NBD_REP_ACK, NULL, 0); return -1;
	case NBD_OPT_LIST: return option_list(c, option, n);
	case NBD_OPT_INFO:
	case NBD_OPT_GO: return option_go(c, option, data, n);
	case NBD_OPT_STRUCTURED:
		c->structured = !n;
		return reply_option(
			c, option, n ? NBD_REP_ERR(NBD_ERR_INVALID) : NBD_REP_ACK, NULL, 0);
	case NBD_OPT_LIST_META:
	case NBD_OPT_SET_META: return option_meta(c, option, data, n);
	default: return reply_option(c, option, NBD_REP_ERR(NBD_ERR_UNSUP), NULL, 0);
	}
}

static int handshake(struct client *c)
{
	uint8_t h[18], o[16];
	bool no_zeroes;
	int r = 0;

	store_be64(h, NBD_MAGIC);
	store_be64(h + 8, NBD_OPTION_MAGIC);
	store_be16(h + 16, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	if (put(c, h, sizeof(h)) < 0 || get(c, o, 4) < 0)
		return -1;
	if (load_be32(o) & ~(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES))
		return -1;
	no_zeroes = load_be32(o) & NBD_NO_ZEROES;
	for (int i = 0; i < OPTIONS_MAX && !r; i++) {
		uint8_t data[OPTION_MAX];
		uint32_t n;

		if (get(c, o, sizeof(o)) < 0 || load_be64(o) != NBD_OPTION_MAGIC)
			return -1;
		n = load_be32(o + 12);
		if (n > OPTION_MAX || get(c, data, n) < 0)
			return -1;
		r = handle_option(c, load_be32(o + 8), data, n, no_zeroes);
	}
	return r == 1 ? 0 : -1;
}

/* ---- replies ---- */

/* The numbers errors have on the wire. */
static uint32_t wire_error(int err)
{
	switch (err) {
	case 0: return 0;
	case EPERM:
	case EROFS: return 1;
	case ENOMEM: return 12;
	case EINVAL: return 22;
	case ENOSPC: return 28;
	case EOVERFLOW: return 75;
	case EOPNOTSUPP: return 95;
	default: return 5;
	}
}

static void send_simple(struct request *r, int err, const void *data, size_t n)
{
	uint8_t h[16];
	struct iovec v[2] = { { h, sizeof(h) }, { (void *)data, n } };

	store_be32(h, NBD_SIMPLE_MAGIC);
	store_be32(h + 4, wire_error(err));
	store_be64(h + 8, r->cookie);
	g_mutex_lock(&r->c->send_lock);
	put_all(r->c, v, n ? 2 : 1);
	g_mutex_unlock(&r->c->send_lock);
}

/* front and data make the chunk's payload. */
static void send_chunk(struct request *r, uint16_t flags, uint16_t type, const void *front,
	size_t front_n, const void *data, size_t n)
{
	uint8_t h[20];
	struct iovec v[3] = { { h, sizeof(h) }, { (void *)front, front_n }, { (void *)data, n } };

	store_be32(h, NBD_CHUNK_MAGIC);
	store_be16(h + 4, flags);
	store_be16(h + 6, type);
	store_be64(h + 8, r->cookie);
	store_be32(h + 16, front_n + n);
	g_mutex_lock(&r->c->send_lock);
	put_all(r->c, v, n ? 3 : front_n ? 2 : 1);
	g_mutex_unlock(&r->c->send_lock);
}

static void send_result(struct request *r, int err)
{
	uint8_t e[6];

	if (!r->c->structured) {
		send_simple(r, err, NULL, 0);
		return;
	}
	store_be32(e, wire_error(err));
	store_be16(e + 4, 0);
	send_chunk(
		r, NBD_CHUNK_DONE, err ? NBD_CHUNK_ERROR : NBD_CHUNK_NONE, e, err ? 6 : 0, NULL, 0);
}

/* ---- commands ---- */

/* What a failed call means on the wire. */
static int cause(const GError *why)
{
	return why && strstr(why->message, g_strerror(ENOSPC)) ? ENOSPC : EIO;
}

static void do_read(struct request *r)
{
	struct image *im = r->c->s->im;
	g_autofree uint8_t *buf = g_try_malloc(r->n);
	bool whole = !r->c->structured || r->flags & NBD_CMD_DF;
	uint8_t front[12];
	int err = buf ? 0 : ENOMEM;

	/* Holes go without their zeroes, where the client understands that. */
	for (uint32_t done = 0; done < r->n && !err && !whole;) {
		struct image_run run;
		uint32_t n;

		if (image_map(im, r->at + done, r->n - done, &run, NULL) < 0) {
			err = EIO;
			break;
		}
		n = MIN(run.len, r->n - done);
		store_be64(front, r->at + done);
		if (run.zero) {
			store_be32(front + 8, n);
			send_chunk(r, 0, NBD_CHUNK_HOLE, front, 12, NULL, 0);
		} else if (image_pread(im, r->at + done, buf, n, NULL) < 0) {
			err = EIO;
		} else {
			send_chunk(r, 0, NBD_CHUNK_DATA, front, 8, buf, n);
		}
		done += n;
	}
	if (whole && !err && image_pread(im, r->at, buf, r->n, NULL) < 0)
		err = EIO;
	if (!whole || err) {
		send_result(r, err);
	} else if (r->c->structured) {
		store_be64(front, r->at);
		send_chunk(r, NBD_CHUNK_DONE, NBD_CHUNK_DATA, front, 8, buf, r->n);
	} else {
		send_simple(r, 0, buf, r->n);
	}
}

static void do_change(struct request *r)
{
	struct image *im = r->c->s->im;
	g_autoptr(GError) why = NULL;
	int x = 0;

	switch (r->type) {
	case NBD_CMD_WRITE: x = image_pwrite(im, r->at, r->data, r->n, &why); break;
	case NBD_CMD_TRIM: x = image_discard(im, r->at, r->n, &why); break;
	case NBD_CMD_ZEROES:
		x = image_zero(im, r->at, r->n, !(r->flags & NBD_CMD_NO_HOLE), &why);
		break;
	}
	if (!x && (r->type == NBD_CMD_FLUSH || r->flags & NBD_CMD_FUA))
		x = image_flush(im, &why);
	send_result(r, x < 0 ? cause(why) : 0);
}

static uint32_t state_of(const struct image_run *run)
{
	return (run->zero ? NBD_STATE_ZERO : 0) |
	       (run->present && !(run->zero && run->has_at) ? 0 : NBD_STATE_HOLE);
}

static void do_status(struct request *r)
{
	struct image *im = r->c->s->im;
	unsigned most = r->flags & NBD_CMD_ONE ? 1 : STATUS_EXTENTS, count = 0;
	g_autofree uint8_t *b = g_malloc(4 + 8 * most);
	uint64_t end = r->at + r->n;
	uint32_t last = 0;

	store_be32(b, META_ID);
	for (uint64_t at = r->at; at < end;) {
		struct image_run run;
		uint32_t state, n;

		if (image_map(im, at, end - at, &run, NULL) < 0) {
			send_result(r, EIO);
			return;
		}
		n = MIN(run.len, end - at);
		state = state_of(&run);
		if (count && state == last) {
			store_be32(b + 8 * count - 4, load_be32(b + 8 * count - 4) + n);
		} else {
			if (count == most)
				break;
			store_be32(b + 4 + 8 * count, n);
			store_be32(b + 8 + 8 * count, state);
			count++;
			last = state;
		}
		at += n;
	}
	send_chunk(r, NBD_CHUNK_DONE, NBD_CHUNK_STATUS, b, 4 + 8 * count, NULL, 0);
}

static void request_free(struct request *r)
{
	struct client *c = r->c;

	g_mutex_lock(&c->lock);
	c->in_flight--;
	c->bytes -= r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE ? r->n : 0;
	g_cond_signal(&c->less);
	g_mutex_unlock(&c->lock);
	g_free(r->data);
	g_free(r);
}

static void work(gpointer item, gpointer opaque)
{
	struct request *r = item;

	if (r->type == NBD_CMD_READ)
		do_read(r);
	else if (r->type == NBD_CMD_STATUS)
		do_status(r);
	else
		do_change(r);
	request_free(r);
}

/* 0 or the error to answer. */
static int check_request(const struct request *r)
{
	const struct nbd_server *s = r->c->s;
	bool modifies =
		r->type == NBD_CMD_WRITE || r->type == NBD_CMD_TRIM || r->type == NBD_CMD_ZEROES;
	uint64_t size = image_size(s->im);

	if (r->type == NBD_CMD_FLUSH)
		return r->at || r->n ? EINVAL : 0;
	if (r->type > NBD_CMD_STATUS || r->type == 5)
		return EINVAL;
	if (modifies && s->o.readonly)
		return EPERM;
	if (r->type == NBD_CMD_STATUS && (!r->c->meta || !r->n))
		return EINVAL;
	if (r->type == NBD_CMD_READ && r->n > PAYLOAD_MAX)
		return EOVERFLOW;
	if (r->at > size || r->n > size - r->at)
		return modifies ? ENOSPC : EINVAL;
	return 0;
}

/* Waits until the connection has room for n bytes more. */
static void admit(struct client *c, uint64_t n)
{
	g_mutex_lock(&c->lock);
	while (c->in_flight >= IN_FLIGHT || (c->in_flight && c->bytes + n > IN_FLIGHT_BYTES))
		g_cond_wait(&c->less, &c->lock);
	c->in_flight++;
	c->bytes += n;
	g_mutex_unlock(&c->lock);
}

/* The next request; false: the connection ends. */
static bool serve_one(struct client *c)
{
	struct request *r;
	uint8_t h[28];
	bool carries;
	int err;

	if (c->broken || get(c, h, sizeof(h)) < 0 || load_be32(h) != NBD_REQUEST_MAGIC)
		return false;
	if (load_be16(h + 6) == NBD_CMD_DISC)
		return false;
	r = g_new0(struct request, 1);
	*r = (struct request){ .c = c,
		.flags = load_be16(h + 4),
		.type = load_be16(h + 6),
		.cookie = load_be64(h + 8),
		.at = load_be64(h + 16),
		.n = load_be32(h + 24) };
	carries = r->type == NBD_CMD_WRITE;
	if (carries && r->n > PAYLOAD_MAX) { /* what follows cannot be told from requests */
		g_free(r);
		return false;
	}
	err = check_request(r);
	admit(c, carries || r->type == NBD_CMD_READ ? r->n : 0);
	if (carries) {
		r->data = g_try_malloc(MAX(r->n, 1));
		if (!r->data || get(c, r->data, r->n) < 0) {
			request_free(r);
			return false;
		}
	}
	if (!err && r->n == 0 && r->type != NBD_CMD_FLUSH) {
		send_result(r, 0);
		request_free(r);
	} else if (err) {
		send_result(r, err);
		request_free(r);
	} else {
		g_thread_pool_push(c->s->pool, r, NULL);
	}
	return true;
}

static void *serve(void *opaque)
{
	struct client *c = opaque;
	struct nbd_server *s = c->s;

	if (!handshake(c)) {
		while (serve_one(c))
			;
	}
	g_mutex_lock(&c->lock);
	while (c->in_flight)
		g_cond_wait(&c->less, &c->lock);
	g_mutex_unlock(&c->lock);
	g_mutex_lock(&s->lock);
	g_ptr_array_remove_fast(s->clients, c);
	close(c->fd);
	g_cond_broadcast(&s->gone);
	g_mutex_unlock(&s->lock);
	g_mutex_clear(&c->send_lock);
	g_mutex_clear(&c->lock);
	g_cond_clear(&c->less);
	g_free(c);
	return NULL;
}

/* ---- the server ---- */

struct nbd_server *nbd_server_new(struct image *im, const struct nbd_server_options *o)
{
	struct nbd_server *s = g_new0(struct nbd_server, 1);

	s->im = im;
	s->o = *o;
	s->o.readonly |= image_readonly(im);
	s->pool = g_thread_pool_new(work, NULL, WORKERS, FALSE, NULL);
	s->clients = g_ptr_array_new();
	g_mutex_init(&s->lock);
	g_cond_init(&s->gone);
	return s;
}

int nbd_server_add(struct nbd_server *s, int fd)
{
	struct client *c;
	int on = 1;

	g_mutex_lock(&s->lock);
	if (s->o.clients && s->clients->len >= s->o.clients) {
		g_mutex_unlock(&s->lock);
		close(fd);
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
		sizeof(on)); /* unix sockets refuse, which is fine */
	c = g_new0(struct client, 1);
	c->s = s;
	c->fd = fd;
	g_mutex_init(&c->send_lock);
	g_mutex_init(&c->lock);
	g_cond_init(&c->less);
	g_ptr_array_add(s->clients, c);
	g_thread_unref(g_thread_new("nbd", serve, c));
	g_mutex_unlock(&s->lock);
	return 0;
}

unsigned nbd_server_clients(struct nbd_server *s)
{
	unsigned n;

	g_mutex_lock(&s->lock);
	n = s->clients->len;
	g_mutex_unlock(&s->lock);
	return n;
}

void nbd_server_free(struct nbd_server *s)
{
	if (!s)
		return;
	g_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->clients->len; i++)
		shutdown(((struct client *)s->clients->pdata[i])->fd, SHUT_RDWR);
	while (s->clients->len)
		g_cond_wait(&s->gone, &s->lock);
	g_mutex_unlock(&s->lock);
	g_thread_pool_free(s->pool, FALSE, TRUE);
	g_ptr_array_unref(s->clients);
	g_mutex_clear(&s->lock);
	g_cond_clear(&s->gone);
	g_free(s);
}
