/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * char.c: byte streams between a device and the host: buffers, history and flow control, the same
 * for every kind of back end.
 */
#include "char/char.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <glib-unix.h>

#include "base/error.h"
#include "base/log.h"
#include "char/kind.h"

enum {
	OUT_MAX = 1 << 18,	/* bytes a slow peer may lag behind */
	HISTORY_MAX = 1 << 16,	/* bytes a late peer gets to see */
	IN_MAX = 4096,
	CLOSE_PATIENCE_MS = 500, /* for a peer that takes nothing any more */
};

/* A power-of-two ring; `end - start` bytes are in it. */
struct ring {
	uint8_t *bytes;
	size_t size, start, end;
};

struct chardev {
	const struct char_kind *kind;
	void *priv;		/* owned by the kind */
	char *description;	/* owned */
	GMutex lock;		/* out, history, connected, starved */
	struct ring out, history;
	bool connected;
	bool starved;		/* a char_write was short */
	int wake;		/* eventfd: output is there or input is wanted */
	GSource *wake_source, *in_source, *out_source; /* owned */
	int in_fd, out_fd;	/* owned; -1 */
	bool write_failed;	/* said so already */
	uint8_t in[IN_MAX];	/* read, not yet taken by the device */
	size_t in_start, in_end;
	const struct char_user *user;
	void *opaque;
	void (*escape)(void *opaque, char key);
	void *escape_opaque;
};

static const struct char_kind *const kinds[] = {
	&char_kind_stdio, &char_kind_pty, &char_kind_unix, &char_kind_tcp, &char_kind_file,
	&char_kind_null, &char_kind_memory, NULL,
};

static gboolean in_ready(int fd, GIOCondition cond, gpointer opaque);
static gboolean out_ready(int fd, GIOCondition cond, gpointer opaque);

/* ---- rings ---- */

static void ring_init(struct ring *r, size_t size)
{
	r->bytes = g_malloc(size);
	r->size = size;
}

static size_t ring_used(const struct ring *r)
{
	return r->end - r->start;
}

/* Appends up to the free room. */
static size_t ring_put(struct ring *r, const uint8_t *p, size_t n)
{
	size_t at = r->end & (r->size - 1), first;

	n = MIN(n, r->size - ring_used(r));
	first = MIN(n, r->size - at);
	memcpy(r->bytes + at, p, first);
	memcpy(r->bytes, p + first, n - first);
	r->end += n;
	return n;
}

/* Appends all of it, the oldest bytes give way. */
static void ring_push(struct ring *r, const uint8_t *p, size_t n)
{
	if (n > r->size) {
		p += n - r->size;
		n = r->size;
	}
	if (n > r->size - ring_used(r))
		r->start = r->end + n - r->size;
	ring_put(r, p, n);
}

/* The oldest bytes that lie in one piece. */
static size_t ring_peek(const struct ring *r, const uint8_t **p)
{
	size_t at = r->start & (r->size - 1);

	*p = r->bytes + at;
	return MIN(ring_used(r), r->size - at);
}

/* ---- sources ---- */

static void source_drop(GSource **s)
{
	if (!*s)
		return;
	g_source_destroy(*s);
	g_source_unref(*s);
	*s = NULL;
}

static void source_watch(GSource **s, int fd, GIOCondition cond, GUnixFDSourceFunc f,
			 struct chardev *c)
{
	if (*s || fd < 0)
		return;
	*s = g_unix_fd_source_new(fd, cond);
	g_source_set_callback(*s, G_SOURCE_FUNC(f), c, NULL);
	g_source_attach(*s, NULL);
}

static void wake(struct chardev *c)
{
	uint64_t one = 1;

	/* Fails only when it is readable already. */
	if (write(c->wake, &one, sizeof(one)) < 0)
		return;
}

/* ---- connection ---- */

static void close_fds(struct chardev *c)
{
	source_drop(&c->in_source);
	source_drop(&c->out_source);
	if (c->in_fd >= 0)
		close(c->in_fd);
	if (c->out_fd >= 0 && c->out_fd != c->in_fd)
		close(c->out_fd);
	c->in_fd = c->out_fd = -1;
}

static void set_connected(struct chardev *c, bool yes)
{
	bool starved;
	const uint8_t *p;
	size_t n;

	g_mutex_lock(&c->lock);
	c->connected = yes;
	starved = c->starved;
	c->starved = false;
	c->out.start = c->out.end = 0;
	for (struct ring h = c->history; yes && (n = ring_peek(&h, &p)); h.start += n)
		ring_put(&c->out, p, n);
	g_mutex_unlock(&c->lock);
	if (c->user && c->user->connected)
		c->user->connected(c->opaque, yes);
	if (starved && c->user && c->user->writable)
		c->user->writable(c->opaque);
}

static void disconnect(struct chardev *c)
{
	if (!c->connected)
		return;
	close_fds(c);
	set_connected(c, false);
	if (c->kind->disconnected)
		c->kind->disconnected(c);
}

/* Also without a device: the end of a peer shows as input. */
static void watch_input(struct chardev *c)
{
	if (c->in_start == c->in_end || c->kind->keep_input)
		source_watch(&c->in_source, c->in_fd, G_IO_IN | G_IO_HUP | G_IO_ERR, in_ready, c);
}

void char_connect(struct chardev *c, int in, int out)
{
	c->in_fd = in;
	c->out_fd = out;
	set_connected(c, true);
	watch_input(c);
	wake(c);
}

/* ---- output ---- */

static void write_error(struct chardev *c, int err)
{
	if (err == EPIPE || err == ECONNRESET || err == EIO) {
		if (c->kind->keep_fds) { /* stdout is gone for good, input may still come */
			source_drop(&c->out_source);
			close(c->out_fd);
			c->out_fd = -1;
		} else {
			disconnect(c);
		}
		return;
	}
	if (!c->write_failed)
		log_warn("%s: output is lost: %s", c->kind->name, g_strerror(err));
	c->write_failed = true;
}

/* Writes what the peer takes now. Returns false when it would block. */
static bool pump_out(struct chardev *c)
{
	bool blocked = false, starved = false;
	int err = 0;

	g_mutex_lock(&c->lock);
	while (!blocked && !err && ring_used(&c->out)) {
		const uint8_t *p;
		size_t n = ring_peek(&c->out, &p);
		ssize_t r = c->out_fd < 0 ? n : write(c->out_fd, p, n);

		if (r >= 0)
			c->out.start += r;
		else if (errno == EAGAIN)
			blocked = true;
		else if (errno != EINTR)
			err = errno;
	}
	if (err)
		c->out.start = c->out.end;
	if (c->starved && ring_used(&c->out) <= OUT_MAX / 2) {
		starved = true;
		c->starved = false;
	}
	g_mutex_unlock(&c->lock);
	if (err)
		write_error(c, err);
	if (starved && c->user && c->user->writable)
		c->user->writable(c->opaque);
	return !blocked;
}

static gboolean out_ready(int fd, GIOCondition cond, gpointer opaque)
{
	struct chardev *c = opaque;

	if (pump_out(c))
		source_drop(&c->out_source);
	return G_SOURCE_CONTINUE;
}

size_t char_write(struct chardev *c, const void *buf, size_t n)
{
	bool was_empty;

	if (c->kind->swallow || !n)
		return n;
	g_mutex_lock(&c->lock);
	was_empty = !ring_used(&c->out);
	if (c->connected) {
		size_t taken = ring_put(&c->out, buf, n);

		c->starved |= taken < n;
		n = taken;
	}
	ring_push(&c->history, buf, n);
	was_empty &= c->connected && n;
	g_mutex_unlock(&c->lock);
	if (was_empty)
		wake(c);
	return n;
}

/* ---- input ---- */

/* Gives the device what it takes. */
static void deliver(struct chardev *c)
{
	while (c->user && c->in_start < c->in_end) {
		size_t room = c->user->can_receive(c->opaque);
		size_t n = MIN(room, c->in_end - c->in_start);

		if (!n)
			return;
		c->in_start += n;
		c->user->receive(c->opaque, c->in + c->in_start - n, n);
	}
	if (c->in_start == c->in_end)
		c->in_start = c->in_end = 0;
}

static void take_input(struct chardev *c, uint8_t *p, size_t n)
{
	if (c->kind->filter)
		n = c->kind->filter(c, p, n);
	if (c->in_start) {
		memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
		c->in_end -= c->in_start;
		c->in_start = 0;
	}
	n = MIN(n, IN_MAX - c->in_end);
	memcpy(c->in + c->in_end, p, n);
	c->in_end += n;
	deliver(c);
}

static gboolean in_ready(int fd, GIOCondition cond, gpointer opaque)
{
	struct chardev *c = opaque;
	uint8_t buf[IN_MAX];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n > 0) {
		take_input(c, buf, n);
		if (c->in_start < c->in_end && !c->kind->keep_input)
			source_drop(&c->in_source);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		if (c->kind->keep_fds) {
			source_drop(&c->in_source);
			close(c->in_fd);
			c->in_fd = -1;
		} else {
			disconnect(c);
		}
	}
	return G_SOURCE_CONTINUE;
}

static gboolean woken(int fd, GIOCondition cond, gpointer opaque)
{
	struct chardev *c = opaque;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return G_SOURCE_CONTINUE;
	if (c->connected && !c->out_source && c->kind != &char_kind_memory && !pump_out(c))
		source_watch(&c->out_source, c->out_fd, G_IO_OUT | G_IO_HUP | G_IO_ERR, out_ready,
			     c);
	deliver(c);
	watch_input(c);
	return G_SOURCE_CONTINUE;
}

void char_accept_input(struct chardev *c)
{
	wake(c);
}

/* ---- life ---- */

void *char_priv(struct chardev *c)
{
	return c->priv;
}

void char_set_priv(struct chardev *c, void *priv)
{
	c->priv = priv;
}

void char_set_description(struct chardev *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	g_free(c->description);
	c->description = g_strdup_vprintf(fmt, ap);
	va_end(ap);
}

static const struct char_kind *find_kind(const char *spec, const char **arg, GError **error)
{
	size_t n = strcspn(spec, ":");

	for (unsigned i = 0; kinds[i]; i++) {
		const struct char_kind *k = kinds[i];

		if (strlen(k->name) != n || strncmp(k->name, spec, n))
			continue;
		*arg = spec[n] ? spec + n + 1 : NULL;
		if (k->argument && (!*arg || !**arg)) {
			fail(error, LODGE_ERROR_USAGE, "'%s': expected %s:%s", spec, k->name,
			     k->argument);
			return NULL;
		}
		if (!k->argument && *arg) {
			fail(error, LODGE_ERROR_USAGE, "'%s': %s takes nothing behind it", spec,
			     k->name);
			return NULL;
		}
		return k;
	}
	fail(error, LODGE_ERROR_USAGE,
	     "'%s': expected stdio, pty, unix:PATH[,server], tcp:HOST:PORT[,server], file:PATH or null",
	     spec);
	return NULL;
}

/* A peer that goes away ends its output, not the machine. */
static void ignore_sigpipe(void)
{
	struct sigaction old;

	if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

struct chardev *char_open(const char *spec, GError **error)
{
	const char *arg = NULL;
	const struct char_kind *kind = find_kind(spec, &arg, error);
	struct chardev *c;

	if (!kind)
		return NULL;
	ignore_sigpipe();
	c = g_new0(struct chardev, 1);
	c->kind = kind;
	c->in_fd = c->out_fd = -1;
	g_mutex_init(&c->lock);
	ring_init(&c->out, OUT_MAX);
	ring_init(&c->history, HISTORY_MAX);
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake < 0) {
		fail_errno(error, LODGE_ERROR_HOST, errno, "eventfd");
		goto failed;
	}
	source_watch(&c->wake_source, c->wake, G_IO_IN, woken, c);
	if (kind->open(c, arg, error) < 0)
		goto failed;
	return c;
failed:
	char_close(c);
	return NULL;
}

/* The last words of a guest must reach a peer that still listens. */
static void flush(struct chardev *c)
{
	while (c->connected && c->out_fd >= 0 && !pump_out(c)) {
		struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };

		if (poll(&p, 1, CLOSE_PATIENCE_MS) <= 0)
			return;
	}
}

void char_close(struct chardev *c)
{
	if (!c)
		return;
	c->user = NULL;
	flush(c);
	c->connected = false;
	close_fds(c);
	source_drop(&c->wake_source);
	if (c->kind->close)
		c->kind->close(c);
	if (c->wake >= 0)
		close(c->wake);
	g_mutex_clear(&c->lock);
	g_free(c->out.bytes);
	g_free(c->history.bytes);
	g_free(c->description);
	g_free(c);
}

void char_attach(struct chardev *c, const struct char_user *u, void *opaque)
{
	c->user = u;
	c->opaque = opaque;
	if (u && u->connected)
		u->connected(opaque, c->connected);
	wake(c);
}

const char *char_describe(const struct chardev *c)
{
	return c->description;
}

void char_set_escape(struct chardev *c, void (*cb)(void *opaque, char key), void *opaque)
{
	c->escape = cb;
	c->escape_opaque = opaque;
}

bool char_has_escape(const struct chardev *c)
{
	return c->escape;
}

void char_escape(struct chardev *c, char key)
{
	if (c->escape)
		c->escape(c->escape_opaque, key);
}

/* ---- null and memory ---- */

static int null_open(struct chardev *c, const char *arg, GError **error)
{
	return 0;
}

const struct char_kind char_kind_null = { .name = "null", .open = null_open, .swallow = true };

static int memory_open(struct chardev *c, const char *arg, GError **error)
{
	c->connected = true;
	return 0;
}

const struct char_kind char_kind_memory = { .name = "memory", .open = memory_open };

size_t char_memory_read(struct chardev *c, void *buf, size_t n)
{
	bool starved;
	size_t done = 0, part;
	const uint8_t *p;

	g_mutex_lock(&c->lock);
	while (done < n && (part = MIN(ring_peek(&c->out, &p), n - done))) {
		memcpy((uint8_t *)buf + done, p, part);
		c->out.start += part;
		done += part;
	}
	starved = c->starved && ring_used(&c->out) <= OUT_MAX / 2;
	if (starved)
		c->starved = false;
	g_mutex_unlock(&c->lock);
	if (starved && c->user && c->user->writable)
		c->user->writable(c->opaque);
	return done;
}

size_t char_memory_feed(struct chardev *c, const void *buf, size_t n)
{
	uint8_t copy[IN_MAX];

	n = MIN(n, IN_MAX - (c->in_end - c->in_start));
	memcpy(copy, buf, n);
	take_input(c, copy, n);
	return n;
}
