/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain_tune.c: calls that change how much a machine has: processors, memory, shares, limits,
 * pinning. */
#include <string.h>

#include "manager/cpuset.h"
#include "manager/domain/domain_tune.h"
#include "manager/process/usage.h"
#include "manager/rpc/domain_call.h"
#include "manager/xml.h"
#include "wire/libvirt/typed.h"

static void set_uint(xmlNode *n, uint64_t v)
{
	g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, v);

	xml_set_text(n, text);
}

/* The configuration that flags choose. */
static struct domain_config *config_of(struct domain *d, unsigned flags, GError **error)
{
	flags &= AFFECT_LIVE | AFFECT_CONFIG;
	return domain_affect(d, &flags, error) < 0 ? NULL : domain_config_for(d, flags, error);
}

/* ---- processors ---- */

enum { VCPU_MAXIMUM = 4, VCPU_GUEST = 8, VCPU_HOTPLUGGABLE = 16 };

static int get_vcpus_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_vcpus_flags_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	auto_config c = d ? config_of(d, a->flags, error) : NULL;

	if (!c)
		return -1;
	if (a->flags & VCPU_GUEST)
		return refuse(
			error, MANAGER_ERR_AGENT_UNRESPONSIVE, "QEMU guest agent is not connected");
	((struct remote_domain_get_vcpus_flags_ret *)ret)->num =
		(int32_t)(a->flags & VCPU_MAXIMUM ? c->vcpus_max : c->vcpus);
	return 0;
}

static int get_max_vcpus(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };

	if (!d)
		return -1;
	domain_view(d, &v);
	((struct remote_domain_get_max_vcpus_ret *)ret)->num = (int32_t)v.config->vcpus_max;
	return 0;
}

struct vcpu_change {
	unsigned count;
	bool maximum;
};

static int edit_vcpus(xmlNode *root, void *opaque, GError **error)
{
	const struct vcpu_change *v = opaque;
	xmlNode *n = xml_child(root, "vcpu");
	uint64_t max = 1, now;

	if (xml_text_uint(n, G_MAXUINT32, &max, error) < 0)
		return -1;
	now = max;
	if (xml_attr_uint(n, "current", max, &now, error) < 0)
		return -1;
	if (!v->maximum && v->count > max)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"requested vcpus is greater than max "
			"allowable vcpus for the domain: %u > %u",
			v->count, (unsigned)max);
	if (v->maximum) {
		set_uint(n, v->count);
		if (now >= v->count || now == max)
			xml_set_attr(n, "current", NULL);
		else
			xml_set_attr_fmt(n, "current", "%u", (unsigned)now);
		return 0;
	}
	xml_set_attr_fmt(n, "current", "%u", v->count);
	return 0;
}

static int set_vcpu_count(struct domain *d, unsigned count, unsigned flags, GError **error)
{
	struct vcpu_change v = { count, flags & VCPU_MAXIMUM };
	unsigned affect = flags & (AFFECT_LIVE | AFFECT_CONFIG);
	auto_config c = NULL;

	if (flags & VCPU_GUEST)
		return refuse(
			error, MANAGER_ERR_AGENT_UNRESPONSIVE, "QEMU guest agent is not connected");
	if (!count)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "a machine has at least one vCPU");
	if (domain_affect(d, &affect, error) < 0)
		return -1;
	if (affect & AFFECT_LIVE && v.maximum)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"the maximum of vCPUs of a running machine cannot be changed");
	if (affect & AFFECT_LIVE) {
		c = domain_config_for(d, AFFECT_LIVE, error);
		if (!c)
			return -1;
		if (count > c->vcpus_max)
			return refuse(error, MANAGER_ERR_INVALID_ARG,
				"requested vcpus is greater than max "
				"allowable vcpus for the live domain: %u > %u",
				count, c->vcpus_max);
		if (count != c->vcpus &&
			domain_qmp_do(
				d, "set-vcpus", json_pack("{s:i}", "count", (int)count), error) < 0)
			return -1;
	}
	return domain_change(d, affect, "set the vCPUs of", edit_vcpus, &v, error);
}

static int set_vcpus(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_vcpus_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d ? set_vcpu_count(d, a->nvcpus, AFFECT_LIVE, error) : -1;
}

static int set_vcpus_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_vcpus_flags_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	if (!d || rpc_no_flags(a->flags, 31, error) < 0)
		return -1;
	return set_vcpu_count(d, a->nvcpus, a->flags, error);
}

static void affinity(pid_t tid, uint8_t *bits, size_t len)
{
	cpu_set_t set;

	if (sched_getaffinity(tid, sizeof(set), &set) < 0)
		cpuset_online(&set);
	cpuset_to_bits(&set, bits, len);
}

static int get_vcpus(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_vcpus_args *a = args;
	struct remote_domain_get_vcpus_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	g_autoptr(GArray) threads = g_array_new(FALSE, FALSE, sizeof(pid_t));
	auto_view v = { 0 };
	guint n;

	if (!d || domain_vcpu_threads(d, threads, error) < 0)
		return -1;
	if (a->maxinfo < 0 || a->maplen < 0 || a->maxinfo > 1024 || a->maplen > 1024)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "more than fits into a reply");
	domain_view(d, &v);
	n = MIN(threads->len, (guint)a->maxinfo);
	r->info = g_new0(struct remote_vcpu_info, n);
	r->info_count = n;
	r->cpumaps_count = n * (uint32_t)a->maplen;
	r->cpumaps = g_malloc0(r->cpumaps_count);
	for (guint i = 0; i < n; i++) {
		pid_t tid = g_array_index(threads, pid_t, i);
		struct task_usage u = { 0 };

		process_usage(v.pid, tid, &u);
		r->info[i] = (struct remote_vcpu_info){ i, 1, u.user_ns + u.system_ns, u.cpu };
		affinity(tid, r->cpumaps + i * (guint)a->maplen, (size_t)a->maplen);
	}
	return 0;
}

/* ---- pinning ---- */

struct pin_change {
	int vcpu;           /* -1: the emulator */
	const char *cpuset; /* NULL: nowhere in particular */
};

static int edit_pin(xmlNode *root, void *opaque, GError **error)
{
	const struct pin_change *p = opaque;
	xmlNode *tune = xml_want(root, "cputune"), *n;
	g_autofree char *number = g_strdup_printf("%d", p->vcpu);
	const char *name = p->vcpu < 0 ? "emulatorpin" : "vcpupin";

	for (n = xml_child(tune, name);
		n && p->vcpu >= 0 && g_strcmp0(xml_attr(n, "vcpu"), number) != 0;
		n = xml_next(n, name))
		;
	if (!n)
		n = xml_add(tune, name, NULL);
	if (p->vcpu >= 0)
		xml_set_attr(n, "vcpu", number);
	xml_set_attr(n, "cpuset", p->cpuset);
	if (!p->cpuset)
		xml_remove(n);
	if (!xml_first(tune))
		xml_remove(tune);
	return 0;
}

static int set_pin(struct domain *d, int vcpu, const uint8_t *bits, uint32_t len, unsigned flags,
	GError **error)
{
	g_autofree char *text = NULL;
	struct pin_change p = { vcpu, NULL };
	unsigned affect = flags & (AFFECT_LIVE | AFFECT_CONFIG);
	auto_config c = NULL;
	cpu_set_t set, online;
	int rc;

	cpuset_from_bits(bits, len, &set);
	cpuset_online(&online);
	CPU_AND(&set, &set, &online);
	if (!CPU_COUNT(&set))
		return refuse(
			error, MANAGER_ERR_INVALID_ARG, "no processor of this host is in the set");
	if (domain_affect(d, &affect, error) < 0)
		return -1;
	p.cpuset = text = cpuset_format(&set);
	c = domain_config_for(d, affect & AFFECT_LIVE ? AFFECT_LIVE : AFFECT_CONFIG, error);
	if (!c)
		return -1;
	if (vcpu >= (int)c->vcpus_max)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "vcpu %d is out of range", vcpu);
	rc = domain_change(d, affect, "pin", edit_pin, &p, error);
	if (rc == 0 && affect & AFFECT_LIVE) {
		auto_config live = domain_config_for(d, AFFECT_LIVE, error);

		rc = live ? domain_apply_pins(d, live, error) : -1;
	}
	return rc;
}

static int pin_vcpu(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_pin_vcpu_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d ? set_pin(d, (int)MIN(a->vcpu, G_MAXINT), a->cpumap, a->cpumap_count, AFFECT_LIVE,
			   error)
		 : -1;
}

static int pin_vcpu_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_pin_vcpu_flags_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d ? set_pin(d, (int)MIN(a->vcpu, G_MAXINT), a->cpumap, a->cpumap_count, a->flags,
			   error)
		 : -1;
}

static int pin_emulator(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_pin_emulator_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d ? set_pin(d, -1, a->cpumap, a->cpumap_count, a->flags, error) : -1;
}

static void pin_bits(const char *text, uint8_t *bits, size_t len)
{
	cpu_set_t set;

	if (!text || cpuset_parse(text, &set, NULL) < 0)
		cpuset_online(&set);
	cpuset_to_bits(&set, bits, len);
}

static int get_vcpu_pins(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_vcpu_pin_info_args *a = args;
	struct remote_domain_get_vcpu_pin_info_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	auto_config c = d ? config_of(d, a->flags, error) : NULL;

	if (!c)
		return -1;
	if (a->ncpumaps < 0 || a->maplen < 0 || a->ncpumaps > 1024 || a->maplen > 1024)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "more than fits into a reply");
	r->num = MIN(a->ncpumaps, (int32_t)c->vcpus_max);
	r->cpumaps_count = (uint32_t)(r->num * a->maplen);
	r->cpumaps = g_malloc0(r->cpumaps_count);
	for (int i = 0; i < r->num; i++) {
		const char *own = i < (int)c->tune.vcpu_pin->len
					  ? g_ptr_array_index(c->tune.vcpu_pin, i)
					  : NULL;

		pin_bits(own ? own : c->tune.cpuset, r->cpumaps + i * a->maplen, (size_t)a->maplen);
	}
	return 0;
}

static int get_emulator_pin(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_emulator_pin_info_args *a = args;
	struct remote_domain_get_emulator_pin_info_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	auto_config c = d ? config_of(d, a->flags, error) : NULL;

	if (!c)
		return -1;
	if (a->maplen < 0 || a->maplen > 1024)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "more than fits into a reply");
	r->cpumaps_count = (uint32_t)a->maplen;
	r->cpumaps = g_malloc0(r->cpumaps_count);
	r->ret = 1;
	pin_bits(c->tune.emulator_pin ? c->tune.emulator_pin : c->tune.cpuset, r->cpumaps,
		r->cpumaps_count);
	return 0;
}

/* ---- memory ---- */

enum { MEM_MAXIMUM = 4 };

struct memory_change {
	uint64_t kib;
	bool maximum;
};

static int edit_memory(xmlNode *root, void *opaque, GError **error)
{
	const struct memory_change *m = opaque;

	set_uint(xml_child(root, m->maximum ? "memory" : "currentMemory"), m->kib);
	return 0;
}

static int set_memory_to(struct domain *d, uint64_t kib, unsigned flags, GError **error)
{
	struct memory_change m = { kib, flags & MEM_MAXIMUM };
	unsigned affect = flags & (AFFECT_LIVE | AFFECT_CONFIG);
	auto_config c = NULL;

	if (domain_affect(d, &affect, error) < 0)
		return -1;
	if (!kib)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "no memory at all is not possible");
	if (m.maximum && affect & AFFECT_LIVE)
		return refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"cannot resize the maximum memory on an active domain");
	if (!m.maximum) {
		c = domain_config_for(d, affect & AFFECT_LIVE ? AFFECT_LIVE : AFFECT_CONFIG, error);
		if (!c)
			return -1;
		if (kib > c->memory_kib)
			return refuse(error, MANAGER_ERR_INVALID_ARG,
				"cannot set memory higher than max memory");
	}
	if (affect & AFFECT_LIVE &&
		domain_qmp_do(d, "balloon", json_pack("{s:I}", "value", (json_int_t)(kib * 1024)),
			error) < 0)
		return -1;
	return domain_change(d, affect, "set the memory of", edit_memory, &m, error);
}

static int set_memory(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_memory_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d ? set_memory_to(d, a->memory, AFFECT_LIVE, error) : -1;
}

static int set_memory_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_memory_flags_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d && rpc_no_flags(a->flags, 7, error) == 0
		       ? set_memory_to(d, a->memory, a->flags, error)
		       : -1;
}

static int set_max_memory(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_max_memory_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d ? set_memory_to(d, a->memory, MEM_MAXIMUM, error) : -1;
}

static int get_max_memory(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };

	if (!d)
		return -1;
	domain_view(d, &v);
	((struct remote_domain_get_max_memory_ret *)ret)->memory = v.config->memory_kib;
	return 0;
}

/* libvirt asks guests for figures at an interval; lodge-vm's balloon tells its size without asking.
 */
static int set_stats_period(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	return d ? 0 : -1;
}

/* ---- disks ---- */

struct iotune_change {
	const char *disk;
	uint64_t values[IOTUNE_COUNT];
	const struct domain_config *c;
};

static int edit_iotune(xmlNode *root, void *opaque, GError **error)
{
	const struct iotune_change *t = opaque;
	xmlNode *devices = xml_child(root, "devices"), *n, *tune;

	for (n = xml_child(devices, "disk"); n; n = xml_next(n, "disk")) {
		if (g_strcmp0(xml_child_attr(n, "target", "dev"), t->disk) == 0)
			break;
	}
	if (!n)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "no disk '%s'", t->disk);
	xml_remove_child(n, "iotune");
	tune = xml_add(n, "iotune", NULL);
	for (unsigned i = 0; i < IOTUNE_COUNT; i++) {
		if (t->values[i])
			set_uint(xml_add(tune, iotune_names[i], NULL), t->values[i]);
	}
	if (!xml_first(tune))
		xml_remove(tune);
	return 0;
}

/* The new values over the old ones: a total drops the limits by direction, and the other way round.
 */
static int merge_iotune(
	struct iotune_change *t, const struct remote_typed_param *p, uint32_t count, GError **error)
{
	for (unsigned i = 0; i < IOTUNE_COUNT; i++) {
		uint64_t v;
		int rc = typed_get_u64(p, count, iotune_names[i], &v, error);

		if (rc < 0)
			return -1;
		if (!rc)
			continue;
		t->values[i] = v;
		if (!v || i > WRITE_IOPS_MAX)
			continue;
		if (i % 3 == 0)
			t->values[i + 1] = t->values[i + 2] = 0;
		else
			t->values[i - i % 3] = 0;
	}
	return 0;
}

static int set_iotune(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_block_io_tune_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	unsigned affect = a->flags & (AFFECT_LIVE | AFFECT_CONFIG);
	const struct config_device *k;
	struct iotune_change t = { 0 };
	auto_config c = NULL;

	if (!d || domain_affect(d, &affect, error) < 0)
		return -1;
	c = domain_config_for(d, affect & AFFECT_LIVE ? AFFECT_LIVE : AFFECT_CONFIG, error);
	k = c ? domain_config_disk(c, a->disk) : NULL;
	if (c && !k)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "missing disk '%s'", a->disk);
	if (!c)
		return -1;
	t.disk = k->disk.target;
	memcpy(t.values, k->disk.iotune, sizeof(t.values));
	if (merge_iotune(&t, a->params, a->params_count, error) < 0)
		return -1;
	for (unsigned i = 0; i < IOTUNE_COUNT; i++) {
		if (t.values[i] && (i > TOTAL_IOPS_MAX || i % 3))
			return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
				"'%s': Lodge limits reads and writes together (total_…)",
				iotune_names[i]);
	}
	if (affect & AFFECT_LIVE && domain_set_throttle(d, k->alias, t.values, error) < 0)
		return -1;
	return domain_change(d, affect, "tune a disk of", edit_iotune, &t, error);
}

static int get_iotune(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_block_io_tune_args *a = args;
	struct remote_domain_get_block_io_tune_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	auto_config c = d ? config_of(d, a->flags, error) : NULL;
	const struct config_device *k = c && a->disk ? domain_config_disk(c, a->disk) : NULL;
	struct typed_list l = { 0 };

	if (!c)
		return -1;
	if (a->disk && !k)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"disk '%s' was not found in the domain config", a->disk);
	r->nparams = IOTUNE_COUNT;
	for (unsigned i = 0; k && i < IOTUNE_COUNT && (int)i < a->nparams; i++)
		typed_u64(&l, k->disk.iotune[i], "%s", iotune_names[i]);
	r->params = l.items;
	r->params_count = l.count;
	return 0;
}

enum { RESIZE_BYTES = 1, RESIZE_CAPACITY = 2 };

static int block_resize(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_block_resize_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	auto_config c = d ? domain_config_for(d, AFFECT_LIVE, error) : NULL;
	const struct config_device *k = c ? domain_config_disk(c, a->disk) : NULL;
	uint64_t size = a->size;

	if (!c || rpc_no_flags(a->flags, RESIZE_BYTES, error) < 0)
		return -1;
	if (!k)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "invalid path: %s", a->disk);
	if (!(a->flags & RESIZE_BYTES)) {
		if (size > G_MAXINT64 / 1024)
			return refuse(error, MANAGER_ERR_INVALID_ARG, "size is too large");
		size *= 1024;
	}
	if (size > G_MAXINT64)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "size is too large");
	return domain_qmp_do(d, "block_resize",
		json_pack("{s:s, s:I}", "node-name", k->alias, "size", (json_int_t)size), error);
}

/* ---- what happens at the end of a life ---- */

struct action_change {
	const char *element, *word;
};

static int edit_action(xmlNode *root, void *opaque, GError **error)
{
	const struct action_change *c = opaque;

	xml_set_text(xml_want(root, c->element), c->word);
	return 0;
}

static int set_lifecycle_action(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	static const char *const elements[] = { "on_poweroff", "on_reboot", "on_crash" };
	static const char *const words[] = { "destroy", "restart", "rename-restart", "preserve",
		"coredump-destroy", "coredump-restart" };
	const struct remote_domain_set_lifecycle_action_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	struct action_change c;

	if (!d)
		return -1;
	if (a->type >= G_N_ELEMENTS(elements) || a->action >= G_N_ELEMENTS(words))
		return refuse(error, MANAGER_ERR_INVALID_ARG, "unknown lifecycle type or action");
	c = (struct action_change){ elements[a->type], words[a->action] };
	return domain_change(d, a->flags, "change", edit_action, &c, error);
}

static int inject_nmi(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_qmp_do(d, "inject-nmi", NULL, error) : -1;
}

const struct rpc_procedure rpc_domain_tune_procedures[] = {
	{ REMOTE_PROC_DOMAIN_GET_VCPUS_FLAGS, get_vcpus_flags, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_MAX_VCPUS, get_max_vcpus, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SET_VCPUS, set_vcpus, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_SET_VCPUS_FLAGS, set_vcpus_flags, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_GET_VCPUS, get_vcpus, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_PIN_VCPU, pin_vcpu, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_PIN_VCPU_FLAGS, pin_vcpu_flags, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_GET_VCPU_PIN_INFO, get_vcpu_pins, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_PIN_EMULATOR, pin_emulator, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_GET_EMULATOR_PIN_INFO, get_emulator_pin, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SET_MEMORY, set_memory, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_SET_MEMORY_FLAGS, set_memory_flags, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_SET_MAX_MEMORY, set_max_memory, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_GET_MAX_MEMORY, get_max_memory, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SET_MEMORY_STATS_PERIOD, set_stats_period, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_SET_BLOCK_IO_TUNE, set_iotune, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_GET_BLOCK_IO_TUNE, get_iotune, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_BLOCK_RESIZE, block_resize, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_SET_LIFECYCLE_ACTION, set_lifecycle_action, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_INJECT_NMI, inject_nmi, ROLE_OPERATE },
	{},
};
