/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain_device.c: devices that come and go: in the kept definition, and in the running machine by
 * PCI hot-plugging. A guest may take its time to let go of one: then its end is taken up when it
 * comes.
 */
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "manager/domain/domain_priv.h"
#include "manager/domain/domain_tune.h"
#include "manager/error.h"
#include "manager/ids.h"
#include "manager/network/network.h"
#include "manager/xml.h"

/* Seconds a caller waits for the guest, who lets the slot's light blink for five before. */
enum { LET_GO = 9 };

static const char *const drivers[] = { [DEVICE_DISK] = "virtio-blk-pci",
	[DEVICE_NIC] = "virtio-net-pci",
	[DEVICE_RNG] = "virtio-rng-pci",
	[DEVICE_BALLOON] = "virtio-balloon-pci" };

/* ---- in ---- */

static int add_disk(struct domain *d, const struct config_device *k, GError **error)
{
	g_autofree char *volume = NULL;
	json_t *args;

	if (domain_disk_path(d, &k->disk, &volume, error) < 0)
		return -1;
	args = json_pack("{s:s, s:s, s:{s:s, s:s}, s:b, s:{s:b}}", "node-name", k->alias, "driver",
		k->disk.format, "file", "driver", "file", "filename",
		volume ? volume : k->disk.path, "read-only", (int)k->disk.readonly, "cache",
		"direct", (int)k->disk.direct);
	if (!args)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "disk '%s': its path is not UTF-8",
			k->disk.target);
	return domain_qmp_do(d, "blockdev-add", args, error);
}

/* "tcp:ADDR:PORT:GUESTPORT" as QEMU writes it. */
static json_t *forwards_of(const struct config_nic *k)
{
	json_t *list = json_array();

	for (guint i = 0; i < k->forwards->len; i++) {
		g_auto(GStrv) w = g_strsplit(g_ptr_array_index(k->forwards, i), ":", 4);

		json_array_append_new(
			list, json_pack("{s:o}", "str",
				      json_sprintf("%s:%s:%s-:%s", w[0], w[1], w[2], w[3])));
	}
	return list;
}

static int add_user(struct domain *d, const struct config_device *k, GError **error)
{
	json_t *args = json_pack("{s:s, s:s}", "type", "user", "id", k->alias);

	if (k->nic.forwards->len)
		json_object_set_new(args, "hostfwd", forwards_of(&k->nic));
	return domain_qmp_do(d, "netdev_add", args, error);
}

/* *ret_tap: the caller's, NULL where there is none. */
static int add_nic(struct domain *d, const struct config_device *k, char **ret_tap, GError **error)
{
	int fds[16], rc;
	json_t *result;

	if (k->nic.source == NIC_USER)
		return add_user(d, k, error);
	if (k->nic.source == NIC_ETHERNET)
		return domain_qmp_do(d, "netdev_add",
			json_pack("{s:s, s:s, s:s}", "type", "tap", "id", k->alias, "ifname",
				k->nic.tap ? k->nic.tap : ""),
			error);
	if (domain_port_open(d, &k->nic, fds, ret_tap, error) < 0)
		return -1;
	result = domain_qmp_fd(d, "getfd", json_pack("{s:s}", "fdname", k->alias), fds[0], error);
	for (unsigned i = 0; i < 16 && fds[i] >= 0; i++)
		close(fds[i]);
	rc = result ? domain_qmp_do(d, "netdev_add",
			      json_pack("{s:s, s:s, s:s}", "type", "tap", "id", k->alias, "fd",
				      k->alias),
			      error)
		    : -1;
	json_decref(result);
	if (rc < 0) {
		domain_port_close(d, *ret_tap);
		g_clear_pointer(ret_tap, g_free);
	}
	return rc;
}

static json_t *device_args(const struct config_device *k)
{
	json_t *args = json_pack("{s:s, s:s, s:o}", "driver", drivers[k->kind], "id", k->alias,
		"bus", json_sprintf("slot%d", k->slot));
	char mac[18];

	if (k->kind == DEVICE_DISK) {
		json_object_set_new(args, "drive", json_string(k->alias));
		if (k->disk.serial)
			json_object_set_new(args, "serial", json_string(k->disk.serial));
		if (k->disk.discard_off)
			json_object_set_new(args, "discard", json_string("off"));
	} else if (k->kind == DEVICE_NIC) {
		mac_format(k->nic.mac, mac);
		json_object_set_new(args, "netdev", json_string(k->alias));
		json_object_set_new(args, "mac", json_string(mac));
	}
	return args;
}

static void drop_backend(struct domain *d, const struct config_device *k)
{
	if (k->kind == DEVICE_DISK)
		domain_qmp_do(d, "blockdev-del", json_pack("{s:s}", "node-name", k->alias), NULL);
	else if (k->kind == DEVICE_NIC)
		domain_qmp_do(d, "netdev_del", json_pack("{s:s}", "id", k->alias), NULL);
	if (k->kind == DEVICE_NIC && k->nic.tap && k->nic.source != NIC_ETHERNET)
		domain_port_close(d, k->nic.tap);
}

static bool pluggable(const struct config_device *k)
{
	return k->kind == DEVICE_DISK || k->kind == DEVICE_NIC;
}

/* Puts it into the running machine. *ret_tap as in add_nic(). */
static int plug(struct domain *d, const struct config_device *k, char **ret_tap, GError **error)
{
	int rc;

	if (k->kind == DEVICE_DISK && k->slot < 0)
		return 0; /* an empty CD drive */
	if (!pluggable(k))
		return refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
			"live attach of this kind of device is not supported: disks and interfaces "
			"are");
	if (k->slot <= 0)
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"no free slot: the machine has no "
			"root port left");
	rc = k->kind == DEVICE_DISK ? add_disk(d, k, error) : add_nic(d, k, ret_tap, error);
	if (rc < 0)
		return -1;
	rc = domain_qmp_do(d, "device_add", device_args(k), error);
	if (rc == 0 && k->kind == DEVICE_NIC && k->nic.link_down)
		rc = domain_qmp_do(
			d, "set_link", json_pack("{s:s, s:b}", "name", k->alias, "up", 0), error);
	if (rc == 0 && k->kind == DEVICE_DISK)
		rc = domain_apply_iotune(d, k, error);
	if (rc < 0) {
		drop_backend(d, k);
		if (*ret_tap)
			domain_port_close(d, *ret_tap);
		g_clear_pointer(ret_tap, g_free);
	}
	return rc;
}

struct tap_edit {
	const struct config_device *k;
	const char *tap;
};

static int edit_tap(xmlNode *root, void *opaque, GError **error)
{
	const struct tap_edit *e = opaque;

	xml_set_attr(xml_want(domain_config_element(root, e->k), "target"), "dev", e->tap);
	return 0;
}

/* Takes `with`, the live configuration that has k; writes the tap's name into it and keeps it. */
static int keep_live(struct domain *d, struct domain_config *with, const struct config_device *k,
	const char *tap, GError **error)
{
	struct tap_edit e = { k, tap };
	struct domain_config *named;

	if (!tap)
		return domain_keep(d, AFFECT_LIVE, with, error);
	named = domain_config_edit(with, CONFIG_LIVE, edit_tap, &e, error);
	domain_config_unref(with);
	return named ? domain_keep(d, AFFECT_LIVE, named, error) : -1;
}

static int attach_live(struct domain *d, const char *xml, GError **error)
{
	struct config_device *k = NULL;
	struct domain_config *with = domain_config_add_device(d->live, CONFIG_LIVE, xml, &k, error);
	g_autofree char *tap = NULL, *alias = NULL;

	if (!with)
		return -1;
	if (plug(d, k, &tap, error) < 0) {
		domain_config_unref(with);
		return -1;
	}
	alias = g_strdup(k->alias);
	if (keep_live(d, with, k, tap, error) < 0)
		return -1;
	domain_tell(d, 19, 0, 0, json_pack("{s:s}", "devAlias", alias));
	return 0;
}

int domain_attach_device(struct domain *d, const char *xml, unsigned flags, GError **error)
{
	struct domain_config *kept = NULL;
	int rc = -1;

	if (domain_job_begin(d, "attach a device to", error) < 0)
		return -1;
	if (domain_affect(d, &flags, error) == 0) {
		rc = 0;
		if (flags & AFFECT_CONFIG) {
			kept = domain_config_add_device(d->config, 0, xml, NULL, error);
			rc = kept ? 0 : -1;
		}
		if (rc == 0 && flags & AFFECT_LIVE)
			rc = attach_live(d, xml, error);
		if (rc == 0 && kept)
			rc = domain_keep(d, AFFECT_CONFIG, g_steal_pointer(&kept), error);
	}
	domain_config_unref(kept);
	domain_job_end(d);
	return rc;
}

/* ---- out ---- */

/* The guest has let go: what remains is ours. Inside a job. */
static int finish_detach(struct domain *d, const char *alias, GError **error)
{
	struct domain_config *live = domain_config_for(d, AFFECT_LIVE, error), *without;
	const struct config_device *k = live ? domain_config_alias(live, alias) : NULL;
	int rc = -1;

	if (!k) {
		domain_config_unref(live);
		return live ? 0 : -1;
	}
	drop_backend(d, k);
	without = domain_config_remove_device(live, CONFIG_LIVE, k, error);
	if (without)
		rc = domain_keep(d, AFFECT_LIVE, without, error);
	domain_config_unref(live);
	domain_tell(d, 15, 0, 0, json_pack("{s:s}", "devAlias", alias));
	return rc;
}

struct late {
	struct domain *d;
	char *alias;
};

/* The guest let go when nobody waited any more. */
static gpointer finish_late(gpointer opaque)
{
	struct late *l = opaque;
	g_autoptr(GError) error = NULL;

	if (domain_job_begin(l->d, "unplug", &error) == 0) {
		finish_detach(l->d, l->alias, &error);
		domain_job_end(l->d);
	}
	if (error)
		log_warn("machine '%s': device %s: %s", l->d->name, l->alias, error->message);
	domain_unref(l->d);
	g_free(l->alias);
	g_free(l);
	return NULL;
}

void domain_device_deleted(struct domain *d, const char *alias)
{
	bool waited;
	struct late *l;

	if (!alias)
		return;
	g_mutex_lock(&d->lock);
	waited = g_strcmp0(d->waiting_for, alias) == 0;
	if (waited)
		g_clear_pointer(&d->waiting_for, g_free);
	g_cond_broadcast(&d->changed);
	g_mutex_unlock(&d->lock);
	if (waited)
		return;
	l = g_new0(struct late, 1);
	l->d = domain_ref(d);
	l->alias = g_strdup(alias);
	g_thread_unref(g_thread_new("unplug", finish_late, l));
}

/* Asks the guest and waits for a while. *ret_gone: it let go. */
static int unplug(struct domain *d, const struct config_device *k, bool *ret_gone, GError **error)
{
	int64_t deadline = g_get_monotonic_time() + LET_GO * G_TIME_SPAN_SECOND;
	int rc;

	*ret_gone = true;
	if (k->slot < 0)
		return 0;
	if (!pluggable(k))
		return refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
			"live detach of this kind of device is not supported: disks and interfaces "
			"are");
	if (k->slot == 0)
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"the device is not behind a root port: it cannot be unplugged");
	g_mutex_lock(&d->lock);
	g_free(d->waiting_for);
	d->waiting_for = g_strdup(k->alias);
	g_mutex_unlock(&d->lock);
	rc = domain_qmp_do(d, "device_del", json_pack("{s:s}", "id", k->alias), error);
	g_mutex_lock(&d->lock);
	while (rc == 0 && d->waiting_for && d->live &&
		g_cond_wait_until(&d->changed, &d->lock, deadline))
		;
	*ret_gone = rc == 0 && !d->waiting_for;
	g_clear_pointer(&d->waiting_for, g_free);
	g_mutex_unlock(&d->lock);
	return rc;
}

static int detach_live(struct domain *d, const struct config_device *k, GError **error)
{
	g_autofree char *alias = g_strdup(k->alias);
	bool gone;

	if (unplug(d, k, &gone, error) < 0)
		return -1;
	/* As libvirt does: asked is done, the event tells when the guest complied. */
	return gone ? finish_detach(d, alias, error) : 0;
}

typedef struct config_device *find_device(
	const struct domain_config *c, const char *what, GError **error);

static struct config_device *by_alias(
	const struct domain_config *c, const char *alias, GError **error)
{
	struct config_device *k = domain_config_alias(c, alias);

	if (!k)
		refuse(error, MANAGER_ERR_DEVICE_MISSING, "no device found with alias %s", alias);
	return k;
}

static int detach_kept(struct domain *d, const char *what, find_device *find,
	struct domain_config **ret, GError **error)
{
	const struct config_device *k = find(d->config, what, error);

	*ret = k ? domain_config_remove_device(d->config, 0, k, error) : NULL;
	return *ret ? 0 : -1;
}

static int detach_in_live(struct domain *d, const char *what, find_device *find, GError **error)
{
	struct domain_config *live = domain_config_for(d, AFFECT_LIVE, error);
	const struct config_device *k = live ? find(live, what, error) : NULL;
	int rc = k ? detach_live(d, k, error) : -1;

	domain_config_unref(live);
	return rc;
}

static int detach(
	struct domain *d, const char *what, find_device *find, unsigned flags, GError **error)
{
	struct domain_config *kept = NULL;
	int rc;

	if (domain_job_begin(d, "detach a device of", error) < 0)
		return -1;
	rc = domain_affect(d, &flags, error);
	if (rc == 0 && flags & AFFECT_CONFIG)
		rc = detach_kept(d, what, find, &kept, error);
	if (rc == 0 && flags & AFFECT_LIVE)
		rc = detach_in_live(d, what, find, error);
	if (rc == 0 && kept)
		rc = domain_keep(d, AFFECT_CONFIG, g_steal_pointer(&kept), error);
	domain_config_unref(kept);
	domain_job_end(d);
	return rc;
}

int domain_detach_device(struct domain *d, const char *xml, unsigned flags, GError **error)
{
	return detach(d, xml, domain_config_match, flags, error);
}

int domain_detach_alias(struct domain *d, const char *alias, unsigned flags, GError **error)
{
	return detach(d, alias, by_alias, flags, error);
}

/* ---- otherwise ---- */

static int refuse_change(GError **error, const char *what)
{
	return refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
		"cannot modify %s of a running machine", what);
}

static int update_nic(struct domain *d, const struct config_device *was,
	const struct config_device *is, GError **error)
{
	const struct config_nic *a = &was->nic, *b = &is->nic;

	if (a->source != b->source || g_strcmp0(a->from, b->from) != 0)
		return refuse_change(error, "an interface's source");
	if (a->mtu != b->mtu || a->queues != b->queues)
		return refuse_change(error, "an interface's MTU or queues");
	if (memcmp(&a->in_average, &b->in_average, 6 * sizeof(uint64_t)) != 0) {
		struct port_request limits = { .in_average = b->in_average,
			.in_peak = b->in_peak,
			.in_burst = b->in_burst,
			.out_average = b->out_average,
			.out_peak = b->out_peak,
			.out_burst = b->out_burst,
			.owner = d->uuid,
			.owner_name = d->name };

		if (!a->tap)
			return refuse_change(error, "the bandwidth of an interface without a tap");
		if (network_port_set_bandwidth(d->manager, a->tap, &limits, error) < 0)
			return -1;
	}
	if (a->link_down != b->link_down)
		return domain_qmp_do(d, "set_link",
			json_pack("{s:s, s:b}", "name", was->alias, "up", (int)!b->link_down),
			error);
	return 0;
}

static int change_medium(struct domain *d, const struct config_device *was,
	const struct config_device *is, GError **error)
{
	char *none = NULL;
	bool gone = true;

	if (was->slot >= 0 && unplug(d, was, &gone, error) < 0)
		return -1;
	if (!gone)
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"the guest does not let go of the medium of '%s'", was->disk.target);
	if (was->slot >= 0)
		drop_backend(d, was);
	return is->slot >= 0 ? plug(d, is, &none, error) : 0;
}

static int update_disk(struct domain *d, const struct config_device *was,
	const struct config_device *is, GError **error)
{
	const struct config_disk *a = &was->disk, *b = &is->disk;
	bool same = g_strcmp0(a->path, b->path) == 0 && g_strcmp0(a->volume, b->volume) == 0 &&
		    g_strcmp0(a->pool, b->pool) == 0;

	if (strcmp(a->target, b->target) != 0 || a->cdrom != b->cdrom)
		return refuse_change(error, "a disk's target");
	if (!same && !a->cdrom)
		return refuse_change(error, "a disk's source");
	if (!same) {
		if (change_medium(d, was, is, error) < 0)
			return -1;
		domain_tell(d, 9, 0, 0,
			json_pack("{s:s?, s:s?, s:s, s:i}", "oldSrcPath", a->path, "newSrcPath",
				b->path, "devAlias", was->alias, "reason", a->path ? 0 : 1));
		return 0;
	}
	if (memcmp(a->iotune, b->iotune, sizeof(a->iotune)) != 0)
		return domain_set_throttle(d, was->alias, b->iotune, error);
	return 0;
}

static int update_live(struct domain *d, const char *xml, GError **error)
{
	struct domain_config *live = domain_config_for(d, AFFECT_LIVE, error), *with = NULL;
	const struct config_device *was = live ? domain_config_match(live, xml, error) : NULL, *is;
	int rc = -1;

	if (was)
		with = domain_config_replace_device(live, CONFIG_LIVE, was, xml, error);
	is = with ? domain_config_alias(with, was->alias) : NULL;
	if (with && (!is || !pluggable(is)))
		refuse_change(error, "this kind of device");
	else if (with)
		rc = is->kind == DEVICE_NIC ? update_nic(d, was, is, error)
					    : update_disk(d, was, is, error);
	if (rc == 0)
		rc = domain_keep(d, AFFECT_LIVE, g_steal_pointer(&with), error);
	domain_config_unref(with);
	domain_config_unref(live);
	return rc;
}

static int update_kept(
	struct domain *d, const char *xml, struct domain_config **ret, GError **error)
{
	const struct config_device *was = domain_config_match(d->config, xml, error);

	*ret = was ? domain_config_replace_device(d->config, 0, was, xml, error) : NULL;
	return *ret ? 0 : -1;
}

int domain_update_device(struct domain *d, const char *xml, unsigned flags, GError **error)
{
	struct domain_config *kept = NULL;
	int rc;

	if (domain_job_begin(d, "change a device of", error) < 0)
		return -1;
	rc = domain_affect(d, &flags, error);
	if (rc == 0 && flags & AFFECT_CONFIG)
		rc = update_kept(d, xml, &kept, error);
	if (rc == 0 && flags & AFFECT_LIVE)
		rc = update_live(d, xml, error);
	if (rc == 0 && kept)
		rc = domain_keep(d, AFFECT_CONFIG, g_steal_pointer(&kept), error);
	domain_config_unref(kept);
	domain_job_end(d);
	return rc;
}
