/* SPDX-License-Identifier: GPL-2.0-or-later */
/* argv.c: a machine's definition as lodge-vm's command line. Spec: lodge-vm --help. */
#include "manager/domain/config/argv.h"

#include <string.h>

#include "manager/error.h"
#include "manager/ids.h"

char *argv_escape(const char *text)
{
	g_auto(GStrv) parts = g_strsplit(text, ",", -1);

	return g_strjoinv(",,", parts);
}

static void put(GPtrArray *a, const char *option, char *value)
{
	g_ptr_array_add(a, g_strdup(option));
	if (value)
		g_ptr_array_add(a, value);
}

static void put_file(GPtrArray *a, const char *option, const char *path)
{
	g_autofree char *escaped = argv_escape(path);

	put(a, option, g_strdup_printf("path=%s", escaped));
}

static void place(GString *s, const struct config_device *d)
{
	if (d->slot > 0)
		g_string_append_printf(s, ",slot=slot%d", d->slot);
}

static void put_disk(GPtrArray *a, const struct config_device *d, const char *path)
{
	const struct config_disk *k = &d->disk;
	g_autofree char *escaped = argv_escape(path ? path : k->path);
	GString *s = g_string_new(NULL);

	g_string_append_printf(s, "path=%s,id=%s,format=%s", escaped, d->alias, k->format);
	if (k->readonly)
		g_string_append(s, ",readonly=on");
	if (k->direct)
		g_string_append(s, ",direct=on");
	if (k->discard_off)
		g_string_append(s, ",discard=off");
	if (k->serial)
		g_string_append_printf(s, ",serial=%s", k->serial);
	if (k->queues > 1)
		g_string_append_printf(s, ",queues=%u", k->queues);
	if (k->block_size)
		g_string_append_printf(s, ",logical_block_size=%" G_GUINT64_FORMAT, k->block_size);
	place(s, d);
	put(a, "--disk", g_string_free(s, FALSE));
}

static void put_nic(GPtrArray *a, const struct config_device *d, const int *fds)
{
	const struct config_nic *k = &d->nic;
	GString *s = g_string_new(k->source == NIC_USER ? "user" : "tap");
	char mac[18];

	mac_format(k->mac, mac);
	g_string_append_printf(s, ",id=%s,mac=%s", d->alias, mac);
	if (k->source != NIC_USER && fds && fds[0] >= 0)
		g_string_append_printf(s, ",fd=%d", fds[0]);
	else if (k->source != NIC_USER && k->tap)
		g_string_append_printf(s, ",name=%s", k->tap);
	for (guint i = 0; i < k->forwards->len; i++)
		g_string_append_printf(s, ",forward=%s", (char *)g_ptr_array_index(k->forwards, i));
	if (k->mtu)
		g_string_append_printf(s, ",mtu=%u", k->mtu);
	place(s, d);
	put(a, "--net", g_string_free(s, FALSE));
}

static void put_char(GPtrArray *a, const struct config_device *d, const char *socket)
{
	const struct config_char *k = &d->chr;
	const char *path = k->path ? k->path : socket;
	GString *s = g_string_new(k->type);

	if (strcmp(k->type, "tcp") == 0)
		g_string_append_printf(s, ":%s:%s", k->host, k->service);
	else if (strcmp(k->type, "unix") == 0 || strcmp(k->type, "file") == 0)
		g_string_append_printf(s, ":%s", path);
	if (k->server && strcmp(k->type, "file") != 0 && strcmp(k->type, "pty") != 0)
		g_string_append(s, ",server");
	g_string_append_printf(s, ",id=%s", d->alias);
	if (k->name)
		g_string_append_printf(s, ",name=%s", k->name);
	put(a, k->virtio ? "--console" : "--serial", g_string_free(s, FALSE));
}

static void put_devices(GPtrArray *a, const struct domain_config *c, const struct argv_parts *p,
	enum device_kind kind)
{
	for (guint i = 0; i < c->devices->len; i++) {
		const struct config_device *d = g_ptr_array_index(c->devices, i);

		if (d->kind != kind || d->slot < 0)
			continue;
		if (kind == DEVICE_DISK)
			put_disk(a, d, p->disk_paths ? p->disk_paths[i] : NULL);
		else if (kind == DEVICE_NIC)
			put_nic(a, d, p->tap_fds ? p->tap_fds[i] : NULL);
		else if (kind == DEVICE_RNG)
			put(a, "--rng",
				g_strdup_printf("id=%s,max_bytes=%" G_GUINT64_FORMAT
						",period_ms=%" G_GUINT64_FORMAT,
					d->alias, d->rng.max_bytes, d->rng.period_ms));
		else if (kind == DEVICE_BALLOON)
			put(a, "--balloon",
				g_strdup_printf("id=%s,deflate_on_oom=%s,"
						"free_page_reporting=%s",
					d->alias, d->balloon.deflate ? "on" : "off",
					d->balloon.reporting ? "on" : "off"));
	}
}

static void put_chars(GPtrArray *a, const struct domain_config *c, const struct argv_parts *p)
{
	for (guint i = 0; i < c->devices->len; i++) {
		const struct config_device *d = g_ptr_array_index(c->devices, i);

		if (d->kind == DEVICE_CHAR && d->chr.driven && !d->chr.twin)
			put_char(a, d, p->sockets ? p->sockets[i] : NULL);
	}
}

char **argv_make(const struct domain_config *c, const struct argv_parts *p, GError **error)
{
	unsigned vcpus = p->vcpus ? p->vcpus : c->vcpus;
	GPtrArray *a;

	if (!c->kernel && !p->load) {
		refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"machine '%s' would boot from its disk, which "
			"needs firmware, and Lodge has none yet: give <kernel> in <os>",
			c->name);
		return NULL;
	}
	a = g_ptr_array_new();
	g_ptr_array_add(a, g_strdup(p->lodge_vm));
	g_ptr_array_add(a, g_strdup_printf("--name=%s", c->name));
	put(a, "--accel", g_strdup(c->kvm ? "kvm" : "jit"));
	if (c->cpu)
		put(a, "--cpu", g_strdup(c->cpu));
	put(a, "--cpus", g_strdup_printf("%u", vcpus));
	if (c->vcpus_max > vcpus)
		put(a, "--max-cpus", g_strdup_printf("%u", c->vcpus_max));
	put(a, "--memory", g_strdup_printf("%" G_GUINT64_FORMAT "M", c->memory_kib / 1024));
	if (c->hugepages)
		put(a, "--hugepages", NULL);
	if (c->kernel)
		put_file(a, "--kernel", c->kernel);
	if (c->initrd)
		put_file(a, "--initrd", c->initrd);
	if (c->cmdline && c->kernel)
		g_ptr_array_add(a, g_strdup_printf("--append=%s", c->cmdline));
	put(a, "--slots", g_strdup_printf("%u", c->root_ports));
	if (p->qmp)
		put(a, "--qmp", g_strdup(p->qmp));
	if (p->load)
		put(a, "--load", g_strdup(p->load));
	if (p->paused)
		put(a, "--paused", NULL);
	if (c->on_reboot == ACTION_DESTROY)
		put(a, "--no-reboot", NULL);
	/* The order of the root bus: devices.c counts on it. */
	put_devices(a, c, p, DEVICE_DISK);
	put_devices(a, c, p, DEVICE_NIC);
	put_chars(a, c, p);
	put_devices(a, c, p, DEVICE_RNG);
	put_devices(a, c, p, DEVICE_BALLOON);
	g_ptr_array_add(a, NULL);
	return (char **)g_ptr_array_free(a, FALSE);
}
