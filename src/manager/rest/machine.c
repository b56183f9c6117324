/* SPDX-License-Identifier: GPL-2.0-or-later */
/* machine.c: /v1/machines. Spec: docs/openapi.yaml. */
#include <stddef.h>
#include <string.h>

#include "manager/error.h"
#include "manager/rest/request.h"
#include "manager/rest/machine.h"
#include "manager/xml.h"

/* libvirt's flags of calls. */
enum { XML_SECURE = 1, XML_INACTIVE = 2 };
enum { DEFINE_VALIDATE = 1 };
enum { START_PAUSED = 1, START_FORCE_BOOT = 8, CREATE_VALIDATE = 16 };
enum { UNDEFINE_MANAGED_SAVE = 1, UNDEFINE_SNAPSHOTS = 2, UNDEFINE_NVRAM = 4 };
enum { AFFECT_LIVE = 1, AFFECT_CONFIG = 2, AFFECT_MAXIMUM = 4 };
enum { SHUTDOWN_ACPI = 1, SHUTDOWN_AGENT = 2 };
enum { SAVE_PAUSED = 4 };
enum { METADATA_DESCRIPTION, METADATA_TITLE };

static const char *const states[] = { "nostate", "running", "blocked", "paused", "shutdown",
	"shutoff", "crashed", "pmsuspended" };
static const char *const running_reasons[] = { "unknown", "booted", "migrated", "restored",
	"from snapshot", "unpaused", "migration canceled", "save canceled", "event wakeup",
	"crashed", "post-copy", "post-copy failed" };
static const char *const paused_reasons[] = { "unknown", "user", "migrating", "saving", "dumping",
	"I/O error", "watchdog", "from snapshot", "shutting down", "creating snapshot", "crashed",
	"starting up", "post-copy", "post-copy failed", "api error" };
static const char *const shutoff_reasons[] = { "unknown", "shutdown", "destroyed", "crashed",
	"migrated", "saved", "failed", "from snapshot", "daemon" };

const char *rest_machine_state(int state)
{
	return state >= 0 && (unsigned)state < G_N_ELEMENTS(states) ? states[state] : "nostate";
}

static const char *pick(const char *const *list, unsigned count, int i)
{
	return i >= 0 && (unsigned)i < count ? list[i] : "unknown";
}

const char *rest_machine_reason(int state, int reason)
{
	switch (state) {
	case 1: return pick(running_reasons, G_N_ELEMENTS(running_reasons), reason);
	case 3: return pick(paused_reasons, G_N_ELEMENTS(paused_reasons), reason);
	case 5: return pick(shutoff_reasons, G_N_ELEMENTS(shutoff_reasons), reason);
	default: return "unknown";
	}
}

int rest_machine_find(struct request *r, struct remote_nonnull_domain *ret, GError **error)
{
	struct remote_domain_lookup_by_name_ret found = {};
	struct remote_domain_lookup_by_uuid_args by_uuid;
	int rc;

	if (request_uuid(r->params[0], by_uuid.uuid))
		rc = request_call(r, REMOTE_PROC_DOMAIN_LOOKUP_BY_UUID, &by_uuid, &found, error);
	else
		rc = request_call(r, REMOTE_PROC_DOMAIN_LOOKUP_BY_NAME,
			&(struct remote_domain_lookup_by_name_args){ r->params[0] }, &found, error);
	*ret = found.dom;
	return rc;
}

void rest_machine_clear(struct remote_nonnull_domain *dom)
{
	xdr_clear(&remote_nonnull_domain_type, dom);
}

static char *get_xml(
	struct request *r, const struct remote_nonnull_domain *dom, unsigned flags, GError **error)
{
	struct remote_domain_get_xml_desc_ret ret = {};

	if (request_call(r, REMOTE_PROC_DOMAIN_GET_XML_DESC,
		    &(struct remote_domain_get_xml_desc_args){ *dom, flags }, &ret, error) < 0)
		return NULL;
	return ret.xml;
}

static void set_text(json_t *j, const char *key, const char *text)
{
	json_object_set_new(j, key, text ? json_string(text) : json_null());
}

static const char *any_source(const xmlNode *dev)
{
	static const char *const names[] = { "file", "dev", "volume", "network", "bridge", "name",
		"dir" };
	xmlNode *source = xml_child(dev, "source");

	for (unsigned i = 0; source && i < G_N_ELEMENTS(names); i++) {
		if (xml_attr(source, names[i]))
			return xml_attr(source, names[i]);
	}
	return NULL;
}

static json_t *disk_json(
	struct request *r, const struct remote_nonnull_domain *dom, const xmlNode *disk)
{
	const char *target = xml_child_attr(disk, "target", "dev"),
		   *device = xml_attr(disk, "device");
	const char *format = xml_child_attr(disk, "driver", "type");
	struct remote_domain_get_block_info_ret info = {};
	json_t *j = json_object();

	set_text(j, "target", target ? target : "");
	set_text(j, "device", device ? device : "disk");
	set_text(j, "source", any_source(disk));
	if (format)
		set_text(j, "format", format);
	if (target &&
		request_call(r, REMOTE_PROC_DOMAIN_GET_BLOCK_INFO,
			&(struct remote_domain_get_block_info_args){ *dom, (char *)target, 0 },
			&info, NULL) == 0) {
		json_object_set_new(j, "capacity", json_integer((json_int_t)info.capacity));
		json_object_set_new(j, "allocation", json_integer((json_int_t)info.allocation));
	}
	return j;
}

static json_t *interface_json(const xmlNode *nic)
{
	const char *mac = xml_child_attr(nic, "mac", "address"), *type = xml_attr(nic, "type");
	const char *model = xml_child_attr(nic, "model", "type"),
		   *link = xml_child_attr(nic, "link", "state");
	json_t *j = json_object();

	set_text(j, "mac", mac ? mac : "");
	set_text(j, "type", type ? type : "");
	set_text(j, "source", any_source(nic));
	set_text(j, "target", xml_child_attr(nic, "target", "dev"));
	if (model)
		set_text(j, "model", model);
	json_object_set_new(j, "link", json_boolean(!link || strcmp(link, "down") != 0));
	return j;
}

/* What only its definition says. */
static void add_definition(struct request *r, const struct remote_nonnull_domain *dom, json_t *j)
{
	g_autofree char *xml = get_xml(r, dom, 0, NULL), *title = NULL, *description = NULL;
	g_autoptr(xmlDoc) doc = xml ? xml_parse(xml, "domain", NULL) : NULL;
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
	xmlNode *devices = root ? xml_child(root, "devices") : NULL;
	json_t *disks = json_array(), *nics = json_array();

	json_object_set_new(j, "disks", disks);
	json_object_set_new(j, "interfaces", nics);
	if (!devices)
		return;
	title = xml_child_text(root, "title");
	description = xml_child_text(root, "description");
	if (title)
		set_text(j, "title", title);
	if (description)
		set_text(j, "description", description);
	for (xmlNode *n = xml_child(devices, "disk"); n; n = xml_next(n, "disk"))
		json_array_append_new(disks, disk_json(r, dom, n));
	for (xmlNode *n = xml_child(devices, "interface"); n; n = xml_next(n, "interface"))
		json_array_append_new(nics, interface_json(n));
}

static int add_state(
	struct request *r, const struct remote_nonnull_domain *dom, json_t *j, GError **error)
{
	struct remote_domain_get_state_ret state = {};
	struct remote_domain_get_info_ret info = {};
	struct remote_domain_is_persistent_ret persistent = {};
	struct remote_domain_get_autostart_ret autostart = {};
	struct remote_domain_get_vcpus_flags_ret max = {};
	struct remote_domain_has_managed_save_image_ret saved = {};

	if (request_call(r, REMOTE_PROC_DOMAIN_GET_STATE,
		    &(struct remote_domain_get_state_args){ .dom = *dom }, &state, error) < 0 ||
		request_call(r, REMOTE_PROC_DOMAIN_GET_INFO,
			&(struct remote_domain_get_info_args){ *dom }, &info, error) < 0 ||
		request_call(r, REMOTE_PROC_DOMAIN_IS_PERSISTENT,
			&(struct remote_domain_is_persistent_args){ *dom }, &persistent, error) < 0)
		return -1;
	/* A transient machine has no autostart, and that is no error here. */
	request_call(r, REMOTE_PROC_DOMAIN_GET_AUTOSTART,
		&(struct remote_domain_get_autostart_args){ *dom }, &autostart, NULL);
	request_call(r, REMOTE_PROC_DOMAIN_HAS_MANAGED_SAVE_IMAGE,
		&(struct remote_domain_has_managed_save_image_args){ .dom = *dom }, &saved, NULL);
	if (request_call(r, REMOTE_PROC_DOMAIN_GET_VCPUS_FLAGS,
		    &(struct remote_domain_get_vcpus_flags_args){
			    *dom, AFFECT_MAXIMUM |
					  (persistent.persistent ? AFFECT_CONFIG : AFFECT_LIVE) },
		    &max, NULL) == 0)
		json_object_set_new(j, "max_vcpus", json_integer(max.num));
	set_text(j, "state", rest_machine_state(state.state));
	set_text(j, "reason", rest_machine_reason(state.state, state.reason));
	json_object_set_new(j, "persistent", json_boolean(persistent.persistent));
	json_object_set_new(j, "autostart", json_boolean(autostart.autostart));
	json_object_set_new(j, "managed_save", json_boolean(saved.result));
	json_object_set_new(j, "vcpus", json_integer(info.nrVirtCpu));
	json_object_set_new(j, "memory", json_integer((json_int_t)(info.memory << 10)));
	json_object_set_new(j, "max_memory", json_integer((json_int_t)(info.maxMem << 10)));
	return 0;
}

static json_t *machine_json(
	struct request *r, const struct remote_nonnull_domain *dom, bool all, GError **error)
{
	json_t *j = json_object();

	set_text(j, "name", dom->name);
	json_object_set_new(j, "uuid", request_uuid_json(dom->uuid));
	json_object_set_new(j, "id", dom->id >= 0 ? json_integer(dom->id) : json_null());
	if (add_state(r, dom, j, error) < 0) {
		json_decref(j);
		return NULL;
	}
	if (all)
		add_definition(r, dom, j);
	return j;
}

int rest_machine_list(struct request *r, GError **error)
{
	struct remote_connect_list_all_domains_ret all = {};
	int rc = request_call(r, REMOTE_PROC_CONNECT_LIST_ALL_DOMAINS,
		&(struct remote_connect_list_all_domains_args){ 1, 0 }, &all, error);

	if (rc == 0) {
		r->json = json_array();
		request_sort(all.domains, all.domains_count, sizeof(*all.domains),
			offsetof(struct remote_nonnull_domain, name));
		for (uint32_t i = 0; i < all.domains_count; i++) {
			/* One that has gone meanwhile is left out. */
			json_t *j =
				machine_json(r, &all.domains[i], request_flag(r, "detail"), NULL);

			if (j)
				json_array_append_new(r->json, j);
		}
	}
	xdr_clear(&remote_connect_list_all_domains_ret_type, &all);
	return rc;
}

/* The machine as the reply. Takes what dom owns. */
static int reply_machine(struct request *r, struct remote_nonnull_domain *dom, GError **error)
{
	struct remote_domain_lookup_by_uuid_args args;
	struct remote_domain_lookup_by_uuid_ret found = {};
	int rc;

	/* Looked up anew: its run-time id may have changed. */
	memcpy(args.uuid, dom->uuid, 16);
	rest_machine_clear(dom);
	rc = request_call(r, REMOTE_PROC_DOMAIN_LOOKUP_BY_UUID, &args, &found, NULL);
	if (rc == 0)
		r->json = machine_json(r, &found.dom, true, error);
	else
		r->status = 204; /* a transient one that has stopped is gone */
	xdr_clear(&remote_domain_lookup_by_uuid_ret_type, &found);
	return rc == 0 && !r->json ? -1 : 0;
}

int rest_machine_get(struct request *r, GError **error)
{
	struct remote_nonnull_domain dom = {};

	return rest_machine_find(r, &dom, error) < 0 ? -1 : reply_machine(r, &dom, error);
}

int rest_machine_xml(struct request *r, GError **error)
{
	struct remote_nonnull_domain dom = {};
	unsigned flags = (request_flag(r, "inactive") ? XML_INACTIVE : 0) |
			 (request_flag(r, "secure") ? XML_SECURE : 0);

	if (rest_machine_find(r, &dom, error) < 0)
		return -1;
	r->text = get_xml(r, &dom, flags, error);
	r->text_type = "text/xml";
	rest_machine_clear(&dom);
	return r->text ? 0 : -1;
}

static int start(struct request *r, struct remote_nonnull_domain *dom, GError **error)
{
	struct remote_domain_create_with_flags_ret ret = {};
	struct remote_domain_create_with_flags_args args = { *dom,
		(request_flag(r, "paused") ? START_PAUSED : 0) |
			(request_flag(r, "force_boot") ? START_FORCE_BOOT : 0) };
	int rc = request_call(r, REMOTE_PROC_DOMAIN_CREATE_WITH_FLAGS, &args, &ret, error);

	xdr_clear(&remote_domain_create_with_flags_ret_type, &ret);
	return rc;
}

int rest_machine_define(struct request *r, GError **error)
{
	bool transient = request_flag(r, "transient"), validate = request_flag(r, "validate");
	struct remote_domain_define_xml_flags_ret made = {};
	char *xml;
	int rc;

	if (request_xml(r, &xml, error) < 0)
		return -1;
	if (transient)
		rc = request_call(r, REMOTE_PROC_DOMAIN_CREATE_XML,
			&(struct remote_domain_create_xml_args){
				xml, (request_flag(r, "paused") ? START_PAUSED : 0) |
					     (validate ? CREATE_VALIDATE : 0) },
			&made, error);
	else
		rc = request_call(r, REMOTE_PROC_DOMAIN_DEFINE_XML_FLAGS,
			&(struct remote_domain_define_xml_flags_args){
				xml, validate ? DEFINE_VALIDATE : 0 },
			&made, error);
	if (rc == 0 && !transient && request_flag(r, "start"))
		rc = start(r, &made.dom, error);
	r->status = 201;
	if (rc < 0)
		rest_machine_clear(&made.dom);
	return rc < 0 ? -1 : reply_machine(r, &made.dom, error);
}

static int delete_volumes(struct request *r, const char *xml, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(xml, "domain", error);
	xmlNode *devices = doc ? xml_child(xmlDocGetRootElement(doc), "devices") : NULL;

	for (xmlNode *n = devices ? xml_child(devices, "disk") : NULL; n; n = xml_next(n, "disk")) {
		const char *path = xml_child_attr(n, "source", "file"),
			   *device = xml_attr(n, "device");
		struct remote_storage_vol_lookup_by_path_ret vol = {};
		int rc = 0;

		/* Media of others, and what no pool knows, stay. */
		if (!path || (device && strcmp(device, "disk") != 0) || xml_child(n, "shareable") ||
			xml_child(n, "readonly"))
			continue;
		if (request_call(r, REMOTE_PROC_STORAGE_VOL_LOOKUP_BY_PATH,
			    &(struct remote_storage_vol_lookup_by_path_args){ (char *)path }, &vol,
			    NULL) == 0)
			rc = request_call(r, REMOTE_PROC_STORAGE_VOL_DELETE,
				&(struct remote_storage_vol_delete_args){ vol.vol, 0 }, NULL,
				error);
		xdr_clear(&remote_storage_vol_lookup_by_path_ret_type, &vol);
		if (rc < 0)
			return -1;
	}
	return doc ? 0 : -1;
}

int rest_machine_delete(struct request *r, GError **error)
{
	struct remote_nonnull_domain dom = {};
	g_autofree char *xml = NULL;
	unsigned flags = UNDEFINE_NVRAM |
			 (request_flag(r, "managed_save") ? UNDEFINE_MANAGED_SAVE : 0) |
			 (request_flag(r, "snapshots") ? UNDEFINE_SNAPSHOTS : 0);
	bool storage = request_flag(r, "storage");
	int rc;

	if (rest_machine_find(r, &dom, error) < 0)
		return -1;
	xml = storage ? get_xml(r, &dom, XML_INACTIVE, error) : NULL;
	rc = storage && !xml ? -1
			     : request_call(r, REMOTE_PROC_DOMAIN_UNDEFINE_FLAGS,
				       &(struct remote_domain_undefine_flags_args){ dom, flags },
				       NULL, error);
	if (rc == 0 && storage)
		rc = delete_volumes(r, xml, error);
	rest_machine_clear(&dom);
	return rc;
}

/* ---- actions ---- */

static unsigned shutdown_mode(struct request *r)
{
	const char *mode = request_string(r, "mode");

	return !mode ? 0 : strcmp(mode, "agent") == 0 ? SHUTDOWN_AGENT : SHUTDOWN_ACPI;
}

static int save_to(struct request *r, struct remote_nonnull_domain *dom, GError **error)
{
	const char *file = request_string(r, "file");

	if (!file || !g_path_is_absolute(file))
		return refuse(error, MANAGER_ERR_INVALID_ARG, "'file' is to be an absolute path");
	return request_call(r, REMOTE_PROC_DOMAIN_SAVE_FLAGS,
		&(struct remote_domain_save_flags_args){ *dom, (char *)file, NULL, 0 }, NULL,
		error);
}

static int act(
	struct request *r, const char *action, struct remote_nonnull_domain *dom, GError **error)
{
	if (strcmp(action, "start") == 0)
		return start(r, dom, error);
	if (strcmp(action, "shutdown") == 0)
		return request_call(r, REMOTE_PROC_DOMAIN_SHUTDOWN_FLAGS,
			&(struct remote_domain_shutdown_flags_args){ *dom, shutdown_mode(r) }, NULL,
			error);
	if (strcmp(action, "destroy") == 0)
		return request_call(r, REMOTE_PROC_DOMAIN_DESTROY_FLAGS,
			&(struct remote_domain_destroy_flags_args){ *dom, 0 }, NULL, error);
	if (strcmp(action, "reboot") == 0)
		return request_call(r, REMOTE_PROC_DOMAIN_REBOOT,
			&(struct remote_domain_reboot_args){ *dom, shutdown_mode(r) }, NULL, error);
	if (strcmp(action, "reset") == 0)
		return request_call(r, REMOTE_PROC_DOMAIN_RESET,
			&(struct remote_domain_reset_args){ *dom, 0 }, NULL, error);
	if (strcmp(action, "suspend") == 0)
		return request_call(r, REMOTE_PROC_DOMAIN_SUSPEND,
			&(struct remote_domain_suspend_args){ *dom }, NULL, error);
	if (strcmp(action, "resume") == 0)
		return request_call(r, REMOTE_PROC_DOMAIN_RESUME,
			&(struct remote_domain_resume_args){ *dom }, NULL, error);
	if (strcmp(action, "managedsave") == 0)
		return request_call(r, REMOTE_PROC_DOMAIN_MANAGED_SAVE,
			&(struct remote_domain_managed_save_args){
				*dom, request_flag(r, "paused") ? SAVE_PAUSED : 0 },
			NULL, error);
	if (strcmp(action, "save") == 0)
		return save_to(r, dom, error);
	return request_call(r, REMOTE_PROC_DOMAIN_INJECT_NMI,
		&(struct remote_domain_inject_nmi_args){ *dom, 0 }, NULL, error);
}

/* The machine comes with the file; the path's name only has to be the same. */
static int restore(struct request *r, GError **error)
{
	const char *file = request_string(r, "file");

	if (!file || !g_path_is_absolute(file))
		return refuse(error, MANAGER_ERR_INVALID_ARG, "'file' is to be an absolute path");
	return request_call(r, REMOTE_PROC_DOMAIN_RESTORE_FLAGS,
		&(struct remote_domain_restore_flags_args){
			(char *)file, NULL, request_flag(r, "paused") ? SAVE_PAUSED : 0 },
		NULL, error);
}

int rest_machine_action(struct request *r, GError **error)
{
	struct remote_nonnull_domain dom = {};
	const char *action = r->params[1];

	if (strcmp(action, "restore") == 0)
		return restore(r, error) < 0 || rest_machine_find(r, &dom, error) < 0
			       ? -1
			       : reply_machine(r, &dom, error);
	if (rest_machine_find(r, &dom, error) < 0)
		return -1;
	if (act(r, action, &dom, error) == 0)
		return reply_machine(r, &dom, error);
	rest_machine_clear(&dom);
	return -1;
}

/* ---- changes ---- */

static unsigned affect(const struct request *r)
{
	return (request_flag(r, "live") ? AFFECT_LIVE : 0) |
	       (request_flag(r, "config") ? AFFECT_CONFIG : 0);
}

/* Without live and config: what applies, that is the running machine and, of one that is kept, its
 * definition. */
static unsigned affect_devices(struct request *r, const struct remote_nonnull_domain *dom)
{
	struct remote_domain_is_persistent_ret persistent = {};
	unsigned flags = affect(r);

	if (flags)
		return flags;
	request_call(r, REMOTE_PROC_DOMAIN_IS_PERSISTENT,
		&(struct remote_domain_is_persistent_args){ *dom }, &persistent, NULL);
	return (dom->id >= 0 ? AFFECT_LIVE : 0) | (persistent.persistent ? AFFECT_CONFIG : 0);
}

static int change_device(struct request *r, uint32_t procedure, GError **error)
{
	struct remote_nonnull_domain dom = {};
	char *xml;
	int rc;

	if (request_xml(r, &xml, error) < 0 || rest_machine_find(r, &dom, error) < 0)
		return -1;
	/* The three take the same arguments. */
	rc = request_call(r, procedure,
		&(struct remote_domain_attach_device_flags_args){
			dom, xml, affect_devices(r, &dom) },
		NULL, error);
	rest_machine_clear(&dom);
	return rc;
}

int rest_machine_attach(struct request *r, GError **error)
{
	return change_device(r, REMOTE_PROC_DOMAIN_ATTACH_DEVICE_FLAGS, error);
}

int rest_machine_update(struct request *r, GError **error)
{
	return change_device(r, REMOTE_PROC_DOMAIN_UPDATE_DEVICE_FLAGS, error);
}

int rest_machine_detach(struct request *r, GError **error)
{
	return change_device(r, REMOTE_PROC_DOMAIN_DETACH_DEVICE_FLAGS, error);
}

static int patch_numbers(struct request *r, const struct remote_nonnull_domain *dom, GError **error)
{
	unsigned flags = affect_devices(r, dom);
	static const struct {
		const char *name;
		uint32_t procedure;
		unsigned flag;
		bool memory;
	} numbers[] = {
		/* The maxima first: the others must fit below. */
		{ "max_vcpus", REMOTE_PROC_DOMAIN_SET_VCPUS_FLAGS, AFFECT_MAXIMUM, false },
		{ "vcpus", REMOTE_PROC_DOMAIN_SET_VCPUS_FLAGS, 0, false },
		{ "max_memory", REMOTE_PROC_DOMAIN_SET_MEMORY_FLAGS, AFFECT_MAXIMUM, true },
		{ "memory", REMOTE_PROC_DOMAIN_SET_MEMORY_FLAGS, 0, true },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
		struct remote_domain_set_memory_flags_args memory = { .dom = *dom };
		struct remote_domain_set_vcpus_flags_args vcpus = { .dom = *dom };
		unsigned f = numbers[i].flag ? AFFECT_CONFIG | AFFECT_MAXIMUM : flags;
		uint64_t v = 0;
		int rc = request_number(
			r, numbers[i].name, numbers[i].memory ? INT64_MAX : 65535, &v, error);

		if (rc < 0)
			return -1;
		if (rc == 0)
			continue;
		memory.memory = v >> 10;
		vcpus.nvcpus = (uint32_t)v;
		memory.flags = vcpus.flags = f;
		if (request_call(r, numbers[i].procedure,
			    numbers[i].memory ? (void *)&memory : &vcpus, NULL, error) < 0)
			return -1;
	}
	return 0;
}

static int patch_texts(struct request *r, const struct remote_nonnull_domain *dom, GError **error)
{
	static const struct {
		const char *name;
		int type;
	} texts[] = { { "title", METADATA_TITLE }, { "description", METADATA_DESCRIPTION } };

	for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
		const char *text = json_string_value(json_object_get(r->body, texts[i].name));

		if (text && request_call(r, REMOTE_PROC_DOMAIN_SET_METADATA,
				    &(struct remote_domain_set_metadata_args){ .dom = *dom,
					    .type = texts[i].type,
					    .metadata = *text ? (char *)text : NULL,
					    .flags = affect_devices(r, dom) },
				    NULL, error) < 0)
			return -1;
	}
	return 0;
}

static int patch(struct request *r, struct remote_nonnull_domain *dom, GError **error)
{
	const json_t *autostart = json_object_get(r->body, "autostart");
	const char *name = json_string_value(json_object_get(r->body, "name"));
	struct remote_domain_rename_ret renamed = {};

	if (!json_is_object(r->body))
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"the body is to be a JSON object with what changes");
	if (patch_numbers(r, dom, error) < 0 || patch_texts(r, dom, error) < 0)
		return -1;
	if (json_is_boolean(autostart) &&
		request_call(r, REMOTE_PROC_DOMAIN_SET_AUTOSTART,
			&(struct remote_domain_set_autostart_args){ *dom, json_is_true(autostart) },
			NULL, error) < 0)
		return -1;
	if (name && strcmp(name, dom->name) != 0)
		return request_call(r, REMOTE_PROC_DOMAIN_RENAME,
			&(struct remote_domain_rename_args){ *dom, (char *)name, 0 }, &renamed,
			error);
	return 0;
}

int rest_machine_patch(struct request *r, GError **error)
{
	struct remote_nonnull_domain dom = {};

	if (rest_machine_find(r, &dom, error) < 0)
		return -1;
	if (patch(r, &dom, error) == 0)
		return reply_machine(r, &dom, error);
	rest_machine_clear(&dom);
	return -1;
}

/* ---- addresses ---- */

int rest_machine_addresses(struct request *r, GError **error)
{
	struct remote_nonnull_domain dom = {};
	struct remote_domain_interface_addresses_ret ret = {};
	uint64_t source = 0;
	int rc;

	if (rest_machine_find(r, &dom, error) < 0)
		return -1;
	rc = request_number(r, "source", 2, &source, error) < 0
		     ? -1
		     : request_call(r, REMOTE_PROC_DOMAIN_INTERFACE_ADDRESSES,
			       &(struct remote_domain_interface_addresses_args){
				       dom, (uint32_t)source, 0 },
			       &ret, error);
	if (rc == 0)
		r->json = json_array();
	for (uint32_t i = 0; i < ret.ifaces_count; i++) {
		const struct remote_domain_interface *nic = &ret.ifaces[i];

		for (uint32_t k = 0; k < nic->addrs_count; k++)
			json_array_append_new(r->json,
				json_pack("{s:s?, s:s, s:s, s:i, s:s}", "interface", nic->name,
					"mac", nic->hwaddr ? nic->hwaddr : "", "address",
					nic->addrs[k].addr, "prefix", nic->addrs[k].prefix,
					"family", nic->addrs[k].type ? "ipv6" : "ipv4"));
	}
	xdr_clear(&remote_domain_interface_addresses_ret_type, &ret);
	rest_machine_clear(&dom);
	return rc;
}
