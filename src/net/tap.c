/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tap.c: a tap interface of the host. Spec: Linux Documentation/networking/tuntap.rst; the header
 * before each frame is virtio 1.2, 5.1.6.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <glib-unix.h>

#include "base/error.h"
#include "base/log.h"
#include "net/kind.h"

enum { BURST = 64 }; /* frames read before the loop serves others */

/* Newer than the oldest headers we build with. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct tap {
	struct netdev *net;	/* borrowed */
	int fd;			/* owned */
	int wake[2];		/* owned pipe: net_flush_rx() from any thread */
	char name[IFNAMSIZ];
	bool vnet_hdr;
	uint32_t offloads;	/* enum net_offload the kernel agreed to */
	GSource *reader, *waker; /* owned; reader is NULL while a frame waits */
	_Atomic bool stalled;	/* nobody reads until net_flush_rx() */
	size_t size;		/* of the frame the device had no room for; 0: none */
	uint8_t frame[NET_MTU_MAX + NET_HDR_MAX];
};

static gboolean tap_ready(int fd, GIOCondition cond, gpointer opaque);

static void watch(struct tap *t)
{
	if (t->reader)
		return;
	t->reader = g_unix_fd_source_new(t->fd, G_IO_IN);
	g_source_set_callback(t->reader, G_SOURCE_FUNC(tap_ready), t, NULL);
	g_source_attach(t->reader, NULL);
}

static void unwatch(GSource **s)
{
	if (!*s)
		return;
	g_source_destroy(*s);
	g_source_unref(*s);
	*s = NULL;
}

/* Gives the frame to the device; false if it has no room. */
static bool deliver(struct tap *t)
{
	/* Set before the try: a net_flush_rx() that comes meanwhile must not be lost. */
	atomic_store(&t->stalled, true);
	if (t->size && t->net->user && !net_deliver(t->net, t->frame, t->size))
		return false;
	t->size = 0;
	atomic_store(&t->stalled, false);
	return true;
}

static gboolean tap_ready(int fd, GIOCondition cond, gpointer opaque)
{
	struct tap *t = opaque;

	for (unsigned i = 0; i < BURST; i++) {
		ssize_t n = read(t->fd, t->frame, sizeof(t->frame));

		if (n <= 0) {
			if (n < 0 && errno != EAGAIN && errno != EINTR && errno != EIO) {
				log_warn("tap %s: %s", t->name, g_strerror(errno));
				unwatch(&t->reader);
			}
			break;
		}
		t->size = n;
		if (!deliver(t)) {
			unwatch(&t->reader);
			break;
		}
	}
	return G_SOURCE_CONTINUE;
}

static gboolean tap_woken(int fd, GIOCondition cond, gpointer opaque)
{
	struct tap *t = opaque;
	char drop[64];

	while (read(fd, drop, sizeof(drop)) > 0)
		;
	if (t->net->user && deliver(t))
		watch(t);
	return G_SOURCE_CONTINUE;
}

/* ---- opening ---- */

static int create(struct tap *t, const char *name, GError **error)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	if (strlen(name) >= sizeof(r.ifr_name))
		return fail(error, LODGE_ERROR_USAGE, "tap name '%s' is longer than %zu bytes",
			    name, sizeof(r.ifr_name) - 1);
	t->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (t->fd < 0 && errno == ENOENT)
		return fail(error, LODGE_ERROR_HOST,
			    "no /dev/net/tun for a tap network; as root: 'modprobe tun'");
	g_strlcpy(r.ifr_name, name, sizeof(r.ifr_name));
	if (t->fd >= 0 && ioctl(t->fd, TUNSETIFF, &r) == 0)
		return 0;
	if (errno == EPERM || errno == EACCES)
		return fail(error, LODGE_ERROR_HOST,
			    "no permission for tap %s; as root make it yours once: 'ip tuntap add "
			    "%s mode tap user %s' (network 'user' needs no permission)",
			    name, name, g_get_user_name());
	if (errno == EBUSY)
		return fail(error, LODGE_ERROR_HOST,
			    "tap %s is in use by another program; choose another name", name);
	if (errno == EINVAL)
		return fail(error, LODGE_ERROR_HOST,
			    "interface %s exists and is not a tap with one queue", name);
	return fail_errno(error, LODGE_ERROR_HOST, errno, "tap %s", name);
}

static int inherit(struct tap *t, const char *number, GError **error)
{
	guint64 fd;

	if (!g_ascii_string_to_unsigned(number, 10, 0, INT32_MAX, &fd, NULL))
		return fail(error, LODGE_ERROR_USAGE, "tap fd=%s: not a descriptor", number);
	t->fd = fd;
	if (fcntl(t->fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(t->fd, F_SETFL, fcntl(t->fd, F_GETFL) | O_NONBLOCK) < 0) {
		t->fd = -1;
		return fail(error, LODGE_ERROR_USAGE, "tap fd=%s: not an open descriptor", number);
	}
	return 0;
}

static void bring_up(const struct tap *t)
{
	struct ifreq r = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	g_strlcpy(r.ifr_name, t->name, sizeof(r.ifr_name));
	if (ioctl(fd, SIOCGIFFLAGS, &r) == 0 && !(r.ifr_flags & IFF_UP)) {
		r.ifr_flags |= IFF_UP;
		if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
			log_warn("tap %s is down; as root: 'ip link set %s up'", t->name, t->name);
	}
	close(fd);
}

static const struct {
	unsigned ours, tun;
} offload_map[] = {
	{ NET_CSUM, TUN_F_CSUM },
	{ NET_TSO4, TUN_F_TSO4 },
	{ NET_TSO6, TUN_F_TSO6 },
	{ NET_ECN, TUN_F_TSO_ECN },
	{ NET_UFO, TUN_F_UFO },
	{ NET_USO, TUN_F_USO4 | TUN_F_USO6 },
};

static bool try_offloads(const struct tap *t, uint32_t offloads)
{
	unsigned long flags = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(offload_map); i++)
		flags |= offloads & offload_map[i].ours ? offload_map[i].tun : 0;
	return ioctl(t->fd, TUNSETOFFLOAD, flags) == 0;
}

static int configure(struct tap *t, GError **error)
{
	static const uint32_t sets[] = {
		NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN | NET_UFO | NET_USO,
		NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN | NET_UFO,
		NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN,
		NET_CSUM,
	};
	struct ifreq r = { 0 };
	int size = NET_HDR_MAX, little = 1;

	if (ioctl(t->fd, TUNGETIFF, &r) < 0)
		return fail_errno(error, LODGE_ERROR_HOST, errno, "descriptor %d is no tap", t->fd);
	if (!(r.ifr_flags & IFF_TAP) || !(r.ifr_flags & IFF_NO_PI))
		return fail(error, LODGE_ERROR_HOST,
			    "%s is not a tap without packet information", r.ifr_name);
	g_strlcpy(t->name, r.ifr_name, sizeof(t->name));
	t->vnet_hdr = r.ifr_flags & IFF_VNET_HDR && ioctl(t->fd, TUNSETVNETHDRSZ, &size) == 0;
	if (!t->vnet_hdr && r.ifr_flags & IFF_VNET_HDR)
		return fail_errno(error, LODGE_ERROR_HOST, errno, "tap %s: header size", t->name);
	if (!t->vnet_hdr)
		return 0;
	/* Little endian on every host: what virtio 1 says. Old kernels without it are so on x86. */
	ioctl(t->fd, TUNSETVNETLE, &little);
	for (unsigned i = 0; i < G_N_ELEMENTS(sets) && !t->offloads; i++) {
		if (try_offloads(t, sets[i]))
			t->offloads = sets[i];
	}
	/* Off until the guest's driver asks. */
	try_offloads(t, 0);
	return 0;
}

static int tap_start(struct tap *t, const char *name, const char *fd, GError **error)
{
	if (name && fd)
		return fail(error, LODGE_ERROR_USAGE, "network tap: either name or fd, not both");
	if ((fd ? inherit(t, fd, error) : create(t, name ? name : "lodge%d", error)) < 0 ||
	    configure(t, error) < 0)
		return -1;
	if (!fd)
		bring_up(t);
	if (!g_unix_open_pipe(t->wake, FD_CLOEXEC, error))
		return -1;
	g_unix_set_fd_nonblocking(t->wake[0], TRUE, NULL);
	g_unix_set_fd_nonblocking(t->wake[1], TRUE, NULL);
	t->waker = g_unix_fd_source_new(t->wake[0], G_IO_IN);
	g_source_set_callback(t->waker, G_SOURCE_FUNC(tap_woken), t, NULL);
	g_source_attach(t->waker, NULL);
	return 0;
}

static int tap_open(struct netdev *n, char **options, GError **error)
{
	struct tap *t = g_new0(struct tap, 1);
	const char *name = NULL, *fd = NULL;

	n->priv = t;
	t->net = n;
	t->fd = t->wake[0] = t->wake[1] = -1;
	atomic_init(&t->stalled, true);
	for (unsigned i = 0; options[i]; i++) {
		if (!net_option(options[i], "name", &name) && !net_option(options[i], "fd", &fd))
			return fail(error, LODGE_ERROR_USAGE,
				    "network tap has no option '%s'; it has name, fd", options[i]);
	}
	if (tap_start(t, name, fd, error) < 0)
		return -1;
	n->description = g_strdup_printf("tap %s", t->name);
	return 0;
}

static void tap_close(struct netdev *n)
{
	struct tap *t = n->priv;

	unwatch(&t->reader);
	unwatch(&t->waker);
	if (t->fd >= 0)
		close(t->fd);
	for (unsigned i = 0; i < 2; i++) {
		if (t->wake[i] >= 0)
			close(t->wake[i]);
	}
	g_free(t);
}

/* ---- frames ---- */

static void tap_send(struct netdev *n, const struct iovec *iov, int iovcnt)
{
	const struct tap *t = n->priv;

	/* A full queue (EAGAIN) or a header the kernel refuses loses the frame, as a wire would. */
	while (writev(t->fd, iov, iovcnt) < 0 && errno == EINTR)
		;
}

static void tap_flush_rx(struct netdev *n)
{
	struct tap *t = n->priv;

	/* A full pipe is readable: the loop will come by. */
	if (atomic_load(&t->stalled) && write(t->wake[1], "", 1) < 0)
		return;
}

static uint32_t tap_offloads(const struct netdev *n)
{
	return ((const struct tap *)n->priv)->offloads;
}

static void tap_set_offloads(struct netdev *n, uint32_t offloads)
{
	const struct tap *t = n->priv;

	if (!try_offloads(t, offloads & t->offloads))
		log_warn("tap %s: offloads: %s", t->name, g_strerror(errno));
}

static bool tap_vnet_hdr(const struct netdev *n)
{
	return ((const struct tap *)n->priv)->vnet_hdr;
}

const struct net_kind net_kind_tap = {
	.name = "tap",
	.open = tap_open,
	.close = tap_close,
	.send = tap_send,
	.flush_rx = tap_flush_rx,
	.offloads = tap_offloads,
	.set_offloads = tap_set_offloads,
	.vnet_hdr = tap_vnet_hdr,
};
