/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * user.c: user-mode NAT through libslirp. The stack is not thread safe and calls back while it is
 * called, so it runs on the main loop only: frames from a device's queue thread wait in `tx`, frames
 * a device has no room for wait in `rx`. Its sockets are watched by one epoll descriptor, because
 * changing a GMainContext's own set in every round would wake it in every round.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <slirp/libslirp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/own.h"
#include "net/forward.h"
#include "net/kind.h"

enum {
	TX_MAX = 1024,	/* frames; more are dropped, as a full wire would */
	RX_MAX = 512,
	RX_PAUSE = 64,	/* frames waiting for the device: stop reading the host's sockets */
	EVENTS_MAX = 64,
	/*
	 * Nothing of these packets ever meets a wire: their data goes through sockets, and large
	 * ones spare guest and stack work. Not larger, though: libslirp knows no window scaling,
	 * and a segment of half a window brings both sides' silly window avoidance to wait for
	 * each other.
	 */
	USER_MTU = 9000,
};

struct frame {
	struct frame *next;
	size_t size;
	uint8_t bytes[];
};

struct frame_list {
	struct frame *head, *tail;
	unsigned count;
};

struct slirp_timer {
	SlirpTimerId id;
	void *opaque;
	int64_t expires;	/* CLOCK_MONOTONIC ms; -1: not armed */
};

/* One row per descriptor number. */
struct watch {
	uint32_t wanted;	/* epoll events registered; 0: not in the set */
	uint32_t next;		/* what the present round wants */
	uint32_t happened;
	bool listed;		/* in `watched` */
};

struct user_net {
	GSource source;		/* first: GLib allocates us; its fd is `epoll` */
	struct netdev *net;	/* borrowed */
	Slirp *slirp;
	int epoll, wake;	/* owned; wake is in epoll's set */
	GArray *watches;	/* struct watch by descriptor */
	GArray *watched;	/* int: descriptors that may be in epoll's set */
	GPtrArray *timers;	/* struct slirp_timer *, owned */
	int64_t deadline;	/* CLOCK_MONOTONIC µs, INT64_MAX: none */
	struct log_limit limit;
	GMutex lock;		/* tx */
	struct frame_list tx;
	struct frame_list rx;	/* main loop */
	_Atomic bool rx_waits;
};

/* ---- frame lists ---- */

static void list_put(struct frame_list *l, struct frame *f)
{
	f->next = NULL;
	if (l->tail)
		l->tail->next = f;
	else
		l->head = f;
	l->tail = f;
	l->count++;
}

static struct frame *list_take(struct frame_list *l)
{
	struct frame *f = l->head;

	if (!f)
		return NULL;
	l->head = f->next;
	if (!l->head)
		l->tail = NULL;
	l->count--;
	return f;
}

static void list_clear(struct frame_list *l)
{
	struct frame *f;

	while ((f = list_take(l)))
		g_free(f);
}

/* ---- what slirp calls ---- */

static void wake_up(struct user_net *u)
{
	uint64_t one = 1;

	if (write(u->wake, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

/* To the device, or behind the frames that wait for it. Full: dropped, TCP sends it again. */
static ssize_t slirp_send(const void *buf, size_t n, void *opaque)
{
	struct user_net *u = opaque;
	struct frame *f;

	if (!u->net->user)
		return n;
	if (!u->rx.head) {
		/* Before the try: a net_flush_rx() that comes meanwhile must not be lost. */
		atomic_store(&u->rx_waits, true);
		if (net_deliver(u->net, buf, n)) {
			atomic_store(&u->rx_waits, false);
			return n;
		}
	}
	if (u->rx.count >= RX_MAX || n > NET_MTU_MAX)
		return n;
	f = g_malloc(sizeof(*f) + n);
	f->size = n;
	memcpy(f->bytes, buf, n);
	list_put(&u->rx, f);
	return n;
}

static void slirp_guest_error(const char *msg, void *opaque)
{
	struct user_net *u = opaque;

	log_guest(&u->limit, "user network: %s", msg);
}

static int64_t slirp_clock(void *opaque)
{
	return g_get_monotonic_time() * 1000;
}

static void *slirp_timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
	struct user_net *u = opaque;
	struct slirp_timer *t = g_new0(struct slirp_timer, 1);

	t->id = id;
	t->opaque = cb_opaque;
	t->expires = -1;
	g_ptr_array_add(u->timers, t);
	return t;
}

static void slirp_timer_free(void *timer, void *opaque)
{
	struct user_net *u = opaque;

	g_ptr_array_remove_fast(u->timers, timer);
}

static void slirp_timer_mod(void *timer, int64_t expires, void *opaque)
{
	struct slirp_timer *t = timer;

	t->expires = expires;
}

static struct watch *watch_of(struct user_net *u, int fd)
{
	if (fd >= u->watches->len)
		g_array_set_size(u->watches, fd + 1);
	return &g_array_index(u->watches, struct watch, fd);
}

/* A new socket may carry the number of one that was closed, which epoll has forgotten. */
static void slirp_register(int fd, void *opaque)
{
	if (fd >= 0)
		watch_of(opaque, fd)->wanted = 0;
}

static void slirp_notify(void *opaque)
{
	wake_up(opaque);
}

static const SlirpCb callbacks = {
	.send_packet = slirp_send,
	.guest_error = slirp_guest_error,
	.clock_get_ns = slirp_clock,
	.timer_new_opaque = slirp_timer_new,
	.timer_free = slirp_timer_free,
	.timer_mod = slirp_timer_mod,
	.register_poll_fd = slirp_register,
	.unregister_poll_fd = slirp_register,
	.notify = slirp_notify,
};

/* ---- polling ---- */

static const struct {
	int slirp;
	uint32_t epoll;
} event_map[] = {
	{ SLIRP_POLL_IN, EPOLLIN },   { SLIRP_POLL_OUT, EPOLLOUT }, { SLIRP_POLL_PRI, EPOLLPRI },
	{ SLIRP_POLL_ERR, EPOLLERR }, { SLIRP_POLL_HUP, EPOLLHUP },
};

static int add_poll(int fd, int events, void *opaque)
{
	struct user_net *u = opaque;
	struct watch *w = watch_of(u, fd);

	if (!w->listed)
		g_array_append_val(u->watched, fd);
	w->listed = true;
	for (unsigned i = 0; i < array_len(event_map); i++)
		w->next |= events & event_map[i].slirp ? event_map[i].epoll : 0;
	return fd;
}

static int get_revents(int fd, void *opaque)
{
	const struct watch *w = watch_of(opaque, fd);
	int events = 0;

	for (unsigned i = 0; i < array_len(event_map); i++)
		events |= w->happened & event_map[i].epoll ? event_map[i].slirp : 0;
	return events;
}

static void watch_update(struct user_net *u, int fd, struct watch *w)
{
	struct epoll_event e = { .events = w->next, .data.fd = fd };

	if (!w->next)
		epoll_ctl(u->epoll, EPOLL_CTL_DEL, fd, NULL); /* may be closed: no matter */
	else if (w->next != w->wanted && epoll_ctl(u->epoll, EPOLL_CTL_MOD, fd, &e) < 0)
		epoll_ctl(u->epoll, EPOLL_CTL_ADD, fd, &e);
	w->wanted = w->next;
	w->next = 0;
}

static uint32_t watch_sockets(struct user_net *u)
{
	uint32_t timeout = UINT32_MAX;
	unsigned kept = 0;

	if (u->rx.count < RX_PAUSE)
		slirp_pollfds_fill(u->slirp, &timeout, add_poll, u);
	for (unsigned i = 0; i < u->watched->len; i++) {
		int fd = g_array_index(u->watched, int, i);
		struct watch *w = watch_of(u, fd);

		watch_update(u, fd, w);
		w->listed = w->wanted != 0;
		if (w->listed)
			g_array_index(u->watched, int, kept++) = fd;
	}
	g_array_set_size(u->watched, kept);
	return timeout;
}

static gboolean source_prepare(GSource *source, gint *timeout)
{
	struct user_net *u = container_of(source, struct user_net, source);
	int64_t now = g_get_monotonic_time(), left;
	uint32_t ms = watch_sockets(u);

	u->deadline = ms == UINT32_MAX ? INT64_MAX : now + (int64_t)ms * 1000;
	for (unsigned i = 0; i < u->timers->len; i++) {
		const struct slirp_timer *t = u->timers->pdata[i];

		if (t->expires >= 0)
			u->deadline = MIN(u->deadline, t->expires * 1000);
	}
	left = u->deadline - now;
	*timeout = u->deadline == INT64_MAX ? -1 : MIN(MAX(left + 999, 0) / 1000, INT32_MAX);
	return *timeout == 0;
}

static gboolean source_check(GSource *source)
{
	struct user_net *u = container_of(source, struct user_net, source);
	struct epoll_event e;

	return g_get_monotonic_time() >= u->deadline || epoll_wait(u->epoll, &e, 1, 0) > 0;
}

static void poll_sockets(struct user_net *u)
{
	struct epoll_event e[EVENTS_MAX];
	int n = epoll_wait(u->epoll, e, EVENTS_MAX, 0);
	uint64_t count;

	for (int i = 0; i < n; i++) {
		if (e[i].data.fd != u->wake)
			watch_of(u, e[i].data.fd)->happened = e[i].events;
		else if (read(u->wake, &count, sizeof(count)) < 0)
			continue;
	}
	slirp_pollfds_poll(u->slirp, n < 0, get_revents, u);
	for (int i = 0; i < n; i++)
		watch_of(u, e[i].data.fd)->happened = 0;
}

static void run_timers(struct user_net *u)
{
	int64_t now = g_get_monotonic_time() / 1000;

	for (unsigned i = 0; i < u->timers->len; i++) {
		struct slirp_timer *t = u->timers->pdata[i];

		if (t->expires >= 0 && t->expires <= now) {
			t->expires = -1;
			slirp_handle_timer(u->slirp, t->id, t->opaque);
		}
	}
}

static void send_waiting(struct user_net *u)
{
	struct frame_list tx;
	struct frame *f;

	g_mutex_lock(&u->lock);
	tx = u->tx;
	u->tx = (struct frame_list){ 0 };
	g_mutex_unlock(&u->lock);
	while ((f = list_take(&tx))) {
		slirp_input(u->slirp, f->bytes, f->size);
		g_free(f);
	}
}

static void deliver_waiting(struct user_net *u)
{
	while (u->rx.head && u->net->user &&
	       net_deliver(u->net, u->rx.head->bytes, u->rx.head->size))
		g_free(list_take(&u->rx));
	atomic_store(&u->rx_waits, u->rx.head != NULL);
}

static gboolean source_dispatch(GSource *source, GSourceFunc cb, gpointer data)
{
	struct user_net *u = container_of(source, struct user_net, source);

	deliver_waiting(u);
	poll_sockets(u);
	run_timers(u);
	send_waiting(u);
	return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = {
	.prepare = source_prepare,
	.check = source_check,
	.dispatch = source_dispatch,
};

/* ---- options ---- */

struct user_options {
	bool restricted, no_dns, no_loopback;
	GArray *forwards; /* struct forward */
};

static int parse_option(struct user_options *o, const char *option, GError **error)
{
	const char *value;
	struct forward f;
	bool on;

	if (net_option(option, "forward", &value)) {
		if (forward_parse(&f, value, error) < 0)
			return -1;
		g_array_append_val(o->forwards, f);
		return 0;
	}
	if (net_option(option, "restrict", &value))
		return net_parse_switch("restrict", value, &o->restricted, error);
	if (net_option(option, "dns", &value)) {
		if (net_parse_switch("dns", value, &on, error) < 0)
			return -1;
		o->no_dns = !on;
		return 0;
	}
	if (net_option(option, "host-loopback", &value)) {
		if (net_parse_switch("host-loopback", value, &on, error) < 0)
			return -1;
		o->no_loopback = !on;
		return 0;
	}
	return fail(error, LODGE_ERROR_USAGE,
		    "network user has no option '%s'; it has forward, restrict, dns, host-loopback",
		    option);
}

static void start_slirp(struct user_net *u, const struct user_options *o)
{
	SlirpConfig c = {
		.version = 4,
		.restricted = o->restricted,
		.in_enabled = true,
		.in6_enabled = true,
		.vprefix_len = 64,
		.if_mtu = USER_MTU,
		.if_mru = USER_MTU,
		.disable_dns = o->no_dns,
		.disable_host_loopback = o->no_loopback,
	};

	/* The addresses every QEMU user knows. */
	inet_pton(AF_INET, "10.0.2.0", &c.vnetwork);
	inet_pton(AF_INET, "255.255.255.0", &c.vnetmask);
	inet_pton(AF_INET, "10.0.2.2", &c.vhost);
	inet_pton(AF_INET, "10.0.2.3", &c.vnameserver);
	inet_pton(AF_INET, "10.0.2.15", &c.vdhcp_start);
	inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
	inet_pton(AF_INET6, "fec0::2", &c.vhost6);
	inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
	u->slirp = slirp_new(&c, &callbacks, u);
}

static int add_forward(struct user_net *u, const struct forward *f, GError **error)
{
	const char *proto = f->udp ? "udp" : "tcp";
	struct in_addr guest;
	int err;

	inet_pton(AF_INET, "10.0.2.15", &guest);
	errno = 0;
	if (slirp_add_hostfwd(u->slirp, f->udp, f->host, f->host_port, guest, f->guest_port) == 0)
		return 0;
	err = errno;
	if (err == EADDRINUSE)
		return fail(error, LODGE_ERROR_HOST,
			    "%s port %u of the host is in use by another program; forward another",
			    proto, f->host_port);
	if (err == EACCES)
		return fail(error, LODGE_ERROR_HOST,
			    "no permission to listen on %s port %u; ports below 1024 are root's",
			    proto, f->host_port);
	return fail_errno(error, LODGE_ERROR_HOST, err, "cannot forward %s port %u", proto,
			  f->host_port);
}

/* ---- the kind ---- */

static int user_start(struct user_net *u, const struct user_options *o, GError **error)
{
	struct epoll_event e = { .events = EPOLLIN };

	u->epoll = epoll_create1(EPOLL_CLOEXEC);
	u->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e.data.fd = u->wake;
	if (u->epoll < 0 || u->wake < 0 || epoll_ctl(u->epoll, EPOLL_CTL_ADD, u->wake, &e) < 0)
		return fail_errno(error, LODGE_ERROR_HOST, errno, "network user: epoll");
	start_slirp(u, o);
	if (!u->slirp)
		return fail(error, LODGE_ERROR_HOST, "network user: libslirp does not start");
	for (unsigned i = 0; i < o->forwards->len; i++) {
		if (add_forward(u, &g_array_index(o->forwards, struct forward, i), error) < 0)
			return -1;
	}
	g_source_add_unix_fd(&u->source, u->epoll, G_IO_IN);
	g_source_attach(&u->source, NULL);
	return 0;
}

static int user_open(struct netdev *n, char **options, GError **error)
{
	g_autoptr(GArray) forwards = g_array_new(FALSE, FALSE, sizeof(struct forward));
	struct user_options o = { .forwards = forwards };
	struct user_net *u = (struct user_net *)g_source_new(&source_funcs, sizeof(*u));

	n->priv = u;
	u->net = n;
	u->epoll = u->wake = -1;
	u->watches = g_array_new(FALSE, TRUE, sizeof(struct watch));
	u->watched = g_array_new(FALSE, FALSE, sizeof(int));
	u->timers = g_ptr_array_new_with_free_func(g_free);
	g_mutex_init(&u->lock);
	for (unsigned i = 0; options[i]; i++) {
		if (parse_option(&o, options[i], error) < 0)
			return -1;
	}
	if (user_start(u, &o, error) < 0)
		return -1;
	n->description = g_strdup_printf("user: NAT%s, %u ports forwarded",
					 o.restricted ? ", restricted" : "", forwards->len);
	return 0;
}

static void user_close(struct netdev *n)
{
	struct user_net *u = n->priv;

	if (u->slirp)
		slirp_cleanup(u->slirp);
	list_clear(&u->tx);
	list_clear(&u->rx);
	if (u->epoll >= 0)
		close(u->epoll);
	if (u->wake >= 0)
		close(u->wake);
	g_array_free(u->watches, TRUE);
	g_array_free(u->watched, TRUE);
	g_ptr_array_free(u->timers, TRUE);
	g_mutex_clear(&u->lock);
	g_source_destroy(&u->source);
	g_source_unref(&u->source);
}

static void user_send(struct netdev *n, const struct iovec *iov, int iovcnt)
{
	struct user_net *u = n->priv;
	struct frame *f;
	size_t size = 0;
	bool first, full;

	for (int i = 0; i < iovcnt; i++)
		size += iov[i].iov_len;
	if (!size || size > NET_MTU_MAX)
		return;
	f = g_malloc(sizeof(*f) + size);
	f->size = 0;
	for (int i = 0; i < iovcnt; f->size += iov[i++].iov_len)
		memcpy(f->bytes + f->size, iov[i].iov_base, iov[i].iov_len);
	g_mutex_lock(&u->lock);
	first = !u->tx.count;
	full = u->tx.count >= TX_MAX;
	if (!full)
		list_put(&u->tx, f);
	g_mutex_unlock(&u->lock);
	if (full)
		g_free(f);
	if (first)
		wake_up(u);
}

static void user_flush_rx(struct netdev *n)
{
	struct user_net *u = n->priv;

	if (atomic_load(&u->rx_waits))
		wake_up(u);
}

static unsigned user_mtu(const struct netdev *n)
{
	return USER_MTU;
}

const struct net_kind net_kind_user = {
	.name = "user",
	.mtu = user_mtu,
	.open = user_open,
	.close = user_close,
	.send = user_send,
	.flush_rx = user_flush_rx,
};
