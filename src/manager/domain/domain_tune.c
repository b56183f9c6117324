/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain_tune.c: what share of the host a machine has: a control group of its own (cgroup v2, where
 * the host lets us), pinned threads, limits of disks. Spec: Linux
 * Documentation/admin-guide/cgroup-v2.rst.
 */
#include "manager/domain/domain_tune.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "manager/cpuset.h"
#include "manager/domain/domain_priv.h"
#include "manager/error.h"
#include "manager/ids.h"

/* Where machines' groups live: the unified hierarchy, if its controllers are there. NULL: they are
 * not. */
static char *groups_root(const struct domain *d)
{
	static const char *const mounts[] = { "/sys/fs/cgroup", NULL };

	if (!d->manager->privileged)
		return NULL;
	for (unsigned i = 0; mounts[i]; i++) {
		g_autofree char *control = g_build_filename(mounts[i], "cgroup.controllers", NULL);
		g_autofree char *have = NULL;

		if (g_file_get_contents(control, &have, NULL, NULL) && strstr(have, "cpu"))
			return g_build_filename(mounts[i], "lodge", NULL);
	}
	return NULL;
}

char *domain_cgroup(const struct domain *d)
{
	g_autofree char *root = groups_root(d);
	char uuid[37];

	uuid_format(d->uuid, uuid);
	return root ? g_build_filename(root, uuid, NULL) : NULL;
}

static int put(const char *folder, const char *file, const char *text)
{
	g_autofree char *path = g_build_filename(folder, file, NULL);
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

/* A setting that was asked for: its failure is told. */
static int need(const char *folder, const char *file, const char *text, GError **error)
{
	int rc = folder ? put(folder, file, text) : -ENOENT;

	return rc < 0 ? refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
				"this host's control groups do not allow %s: %s", file,
				g_strerror(-rc))
		      : 0;
}

static int make_group(const struct domain *d, const char *folder)
{
	g_autofree char *parent = g_path_get_dirname(folder), *top = g_path_get_dirname(parent);
	g_autofree char *pid = g_strdup_printf("%d", (int)process_identity(d->process)->pid);

	mkdir(parent, 0755);
	for (const char *const *c =
			(const char *const[]){ "+cpu", "+memory", "+io", "+cpuset", NULL };
		*c; c++) {
		put(top, "cgroup.subtree_control", *c);
		put(parent, "cgroup.subtree_control", *c);
	}
	if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		return -1;
	return put(folder, "cgroup.procs", pid);
}

void domain_cgroup_remove(struct domain *d)
{
	g_autofree char *folder = domain_cgroup(d);

	if (folder)
		rmdir(folder);
}

/* libvirt's shares (2 to 262144, usual 1024) as cgroup v2's weight (1 to 10000, usual 100). */
static unsigned weight_of(int64_t shares)
{
	return (unsigned)CLAMP(1 + (shares - 2) * 9999 / 262142, 1, 10000);
}

int domain_apply_group(struct domain *d, const struct domain_config *c, GError **error)
{
	const struct config_tune *t = &c->tune;
	g_autofree char *folder = domain_cgroup(d), *text = NULL;

	if (t->shares >= 0) {
		text = g_strdup_printf("%u", weight_of(t->shares));
		if (need(folder, "cpu.weight", text, error) < 0)
			return -1;
	}
	if (t->global_quota > 0 || t->quota > 0) {
		int64_t period = t->global_quota > 0 ? t->global_period : t->period;
		int64_t quota = t->global_quota > 0 ? t->global_quota : t->quota * c->vcpus;

		g_free(text);
		text = g_strdup_printf("%" G_GINT64_FORMAT " %" G_GINT64_FORMAT, quota,
			period > 0 ? period : 100000);
		if (need(folder, "cpu.max", text, error) < 0)
			return -1;
	} else if (folder) {
		put(folder, "cpu.max", "max");
	}
	if (t->hard_limit) {
		g_free(text);
		text = g_strdup_printf("%" G_GUINT64_FORMAT, t->hard_limit * 1024);
		if (need(folder, "memory.max", text, error) < 0)
			return -1;
	} else if (folder) {
		put(folder, "memory.max", "max");
	}
	if (t->soft_limit) {
		g_free(text);
		text = g_strdup_printf("%" G_GUINT64_FORMAT, t->soft_limit * 1024);
		if (need(folder, "memory.high", text, error) < 0)
			return -1;
	}
	if (t->weight >= 0) {
		g_free(text);
		text = g_strdup_printf("%" G_GINT64_FORMAT, CLAMP(t->weight, 1, 10000));
		if (need(folder, "io.weight", text, error) < 0)
			return -1;
	}
	if (t->nodeset && need(folder, "cpuset.mems", t->nodeset, error) < 0)
		return -1;
	return 0;
}

/* ---- pinning ---- */

int domain_vcpu_threads(struct domain *d, GArray *ret, GError **error)
{
	json_t *list = domain_qmp(d, "query-cpus-fast", NULL, 10000, error), *cpu;
	size_t i;

	if (!list)
		return -1;
	json_array_foreach(list, i, cpu)
	{
		pid_t tid = (pid_t)json_integer_value(json_object_get(cpu, "thread-id"));

		g_array_append_val(ret, tid);
	}
	json_decref(list);
	return 0;
}

static int pin(pid_t tid, const cpu_set_t *set, GError **error)
{
	if (sched_setaffinity(tid, sizeof(*set), set) == 0 || errno == ESRCH)
		return 0;
	return refuse(error, MANAGER_ERR_SYSTEM, "cannot pin a thread: %s", g_strerror(errno));
}

static bool is_vcpu(const GArray *vcpus, pid_t tid)
{
	for (guint i = 0; i < vcpus->len; i++) {
		if (g_array_index(vcpus, pid_t, i) == tid)
			return true;
	}
	return false;
}

/* All threads of the process but the vCPUs'. */
static int pin_emulator(struct domain *d, const GArray *vcpus, const cpu_set_t *set, GError **error)
{
	g_autofree char *path =
		g_strdup_printf("/proc/%d/task", (int)process_identity(d->process)->pid);
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		pid_t tid = (pid_t)g_ascii_strtoll(name, NULL, 10);

		if (!is_vcpu(vcpus, tid) && pin(tid, set, error) < 0)
			return -1;
	}
	return 0;
}

int domain_apply_pins(struct domain *d, const struct domain_config *c, GError **error)
{
	const struct config_tune *t = &c->tune;
	g_autoptr(GArray) vcpus = g_array_new(FALSE, FALSE, sizeof(pid_t));
	bool any = t->emulator_pin || t->cpuset;
	cpu_set_t set;

	for (guint i = 0; i < t->vcpu_pin->len; i++)
		any |= g_ptr_array_index(t->vcpu_pin, i) != NULL;
	if (!any)
		return 0;
	if (domain_vcpu_threads(d, vcpus, error) < 0)
		return -1;
	for (guint i = 0; i < vcpus->len; i++) {
		const char *text = i < t->vcpu_pin->len ? g_ptr_array_index(t->vcpu_pin, i) : NULL;

		if (!text)
			text = t->cpuset;
		if (text && (cpuset_parse(text, &set, error) < 0 ||
				    pin(g_array_index(vcpus, pid_t, i), &set, error) < 0))
			return -1;
	}
	if (!t->emulator_pin && !t->cpuset)
		return 0;
	if (cpuset_parse(t->emulator_pin ? t->emulator_pin : t->cpuset, &set, error) < 0)
		return -1;
	return pin_emulator(d, vcpus, &set, error);
}

int domain_apply_tune(struct domain *d, GError **error)
{
	struct domain_config *c = domain_config_for(d, AFFECT_LIVE, error);
	g_autofree char *folder = domain_cgroup(d);
	int rc;

	if (!c)
		return -1;
	if (folder)
		make_group(d, folder);
	rc = domain_apply_group(d, c, error);
	if (rc == 0)
		rc = domain_apply_pins(d, c, error);
	domain_config_unref(c);
	return rc;
}

/* ---- disks ---- */

/* QMP's names of iotune_names[]. */
static const char *const throttle_names[IOTUNE_COUNT] = { "bps", "bps_rd", "bps_wr", "iops",
	"iops_rd", "iops_wr", "bps_max", "bps_rd_max", "bps_wr_max", "iops_max", "iops_rd_max",
	"iops_wr_max", "iops_size", "bps_max_length", "bps_rd_max_length", "bps_wr_max_length",
	"iops_max_length", "iops_rd_max_length", "iops_wr_max_length" };

int domain_set_throttle(struct domain *d, const char *alias, const uint64_t *iotune, GError **error)
{
	json_t *args = json_pack("{s:s}", "id", alias);

	for (unsigned i = 0; i < IOTUNE_COUNT; i++) {
		/* The six rates are always said, the bursts where they are set. */
		if (i <= WRITE_IOPS || ((i == TOTAL_BYTES_MAX || i == TOTAL_IOPS_MAX) && iotune[i]))
			json_object_set_new(
				args, throttle_names[i], json_integer((json_int_t)iotune[i]));
	}
	return domain_qmp_do(d, "block_set_io_throttle", args, error);
}

int domain_apply_iotune(struct domain *d, const struct config_device *disk, GError **error)
{
	for (unsigned i = 0; i < IOTUNE_COUNT; i++) {
		if (disk->disk.iotune[i])
			return domain_set_throttle(d, disk->alias, disk->disk.iotune, error);
	}
	return 0;
}
