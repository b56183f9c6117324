/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain_info.c: calls that ask what a machine is: its XML, state, metadata; and its console. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager/domain/config/argv.h"
#include "manager/process/usage.h"
#include "manager/manager.h"
#include "manager/rpc/domain_call.h"
#include "manager/rpc/stream.h"
#include "manager/xml.h"

static int get_info(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_domain_get_info_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };

	if (!d)
		return -1;
	domain_view(d, &v);
	r->state = (uint8_t)v.state;
	r->maxMem = v.config->memory_kib;
	r->memory = v.config->current_kib;
	r->nrVirtCpu = (uint16_t)v.config->vcpus;
	r->cpuTime = v.pid ? process_cpu_time(v.pid) : 0;
	return 0;
}

static int get_state(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_domain_get_state_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };

	if (!d)
		return -1;
	domain_view(d, &v);
	r->state = (int32_t)v.state;
	r->reason = v.reason;
	return 0;
}

static int get_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_xml_desc_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	char *xml;

	if (!d)
		return -1;
	if (a->flags & DOMAIN_XML_SECURE && call->caller->read_only)
		return refuse(error, MANAGER_ERR_OPERATION_DENIED,
			"read only access prevents security info");
	xml = domain_xml(d, a->flags, error);
	((struct remote_domain_get_xml_desc_ret *)ret)->xml = xml;
	return xml ? 0 : -1;
}

static int is_active(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };

	if (!d)
		return -1;
	domain_view(d, &v);
	((struct remote_domain_is_active_ret *)ret)->active = v.active;
	return 0;
}

static int is_persistent(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };

	if (!d)
		return -1;
	domain_view(d, &v);
	((struct remote_domain_is_persistent_ret *)ret)->persistent = v.persistent;
	return 0;
}

static int is_updated(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };

	if (!d)
		return -1;
	domain_view(d, &v);
	((struct remote_domain_is_updated_ret *)ret)->updated = v.updated;
	return 0;
}

static int get_os_type(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	((struct remote_domain_get_os_type_ret *)ret)->type = d ? g_strdup("hvm") : NULL;
	return d ? 0 : -1;
}

static int get_control(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_domain_get_control_info_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };
	struct domain_job_view job;

	if (!d)
		return -1;
	domain_view(d, &v);
	if (!v.active)
		return refuse(error, MANAGER_ERR_OPERATION_INVALID, "domain is not running");
	domain_job_view(d, &job);
	r->state = job.kind ? 1 : 0;
	r->stateTime = job.kind ? (uint64_t)(job.elapsed_us / 1000) : 0;
	return 0;
}

static int get_messages(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	return d ? 0 : -1; /* a machine whose definition is doubtful is refused, not warned of */
}

static int get_security_label(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_domain_get_security_label_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);

	if (!d)
		return -1;
	r->label = g_strdup("");
	r->label_count = 1;
	return 0;
}

static int get_security_labels(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	return d ? 0 : -1;
}

/* ---- metadata ---- */

enum { META_DESCRIPTION, META_TITLE, META_ELEMENT };

static xmlNode *element_of(xmlNode *root, const char *uri)
{
	xmlNode *metadata = xml_child(root, "metadata");

	for (xmlNode *n = metadata ? xml_first(metadata) : NULL; n; n = xml_after(n)) {
		if (n->ns && g_strcmp0((const char *)n->ns->href, uri) == 0)
			return n;
	}
	return NULL;
}

static char *metadata_of(const struct domain_config *c, int type, const char *uri)
{
	g_autoptr(xmlDoc) doc = NULL;
	xmlNode *n;

	if (type == META_DESCRIPTION)
		return g_strdup(c->description);
	if (type == META_TITLE)
		return g_strdup(c->title);
	doc = xml_parse(c->xml, "domain", NULL);
	n = doc ? element_of(xmlDocGetRootElement(doc), uri) : NULL;
	if (!n)
		return NULL;
	/* Without the client's prefix, as it came in. */
	xmlReconciliateNs(doc, n);
	return g_strchomp(xml_format(n));
}

static int get_metadata(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_metadata_args *a = args;
	struct remote_domain_get_metadata_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	auto_config c = NULL;
	unsigned flags = a->flags;

	if (!d || domain_affect(d, &flags, error) < 0 || !(c = domain_config_for(d, flags, error)))
		return -1;
	if (a->type < META_DESCRIPTION || a->type > META_ELEMENT)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "unknown metadata type %d", a->type);
	r->metadata = metadata_of(c, a->type, a->uri);
	return r->metadata ? 0
			   : refuse(error, MANAGER_ERR_NO_METADATA,
				     "Requested metadata element is not present");
}

static int edit_metadata(xmlNode *root, void *opaque, GError **error)
{
	static const char *const names[] = { "description", "title" };
	const struct remote_domain_set_metadata_args *a = opaque;
	g_autoptr(xmlDoc) doc = NULL;
	xmlNode *n, *old;

	if (a->type != META_ELEMENT) {
		xml_remove_child(root, names[a->type]);
		if (a->metadata && *a->metadata)
			xmlAddNextSibling(xml_child(root, "uuid"),
				xmlNewDocRawNode(root->doc, NULL, (const xmlChar *)names[a->type],
					(const xmlChar *)a->metadata));
		return 0;
	}
	old = element_of(root, a->uri);
	xml_remove(old);
	if (!a->metadata)
		return 0;
	doc = xml_parse(a->metadata, NULL, error);
	if (!doc)
		return -1;
	n = xmlDocCopyNode(xmlDocGetRootElement(doc), root->doc, 1);
	xmlSetNs(n, xmlNewNs(n, (const xmlChar *)a->uri, (const xmlChar *)a->key));
	xmlAddChild(xml_want(root, "metadata"), n);
	return 0;
}

static int set_metadata(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_metadata_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	unsigned flags = a->flags;
	json_t *data;

	if (!d || domain_affect(d, &flags, error) < 0)
		return -1;
	if (a->type < META_DESCRIPTION || a->type > META_ELEMENT ||
		(a->type == META_ELEMENT && (!a->uri || (a->metadata && !a->key))))
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"unknown metadata type, or uri or key missing");
	if (a->type == META_TITLE && a->metadata && strchr(a->metadata, '\n'))
		return refuse(error, MANAGER_ERR_INVALID_ARG, "a title has no line breaks");
	if (domain_change(d, flags, "change the metadata of", edit_metadata, (void *)a, error) < 0)
		return -1;
	data = json_pack("{s:i, s:s?}", "type", a->type, "nsuri", a->uri);
	domain_tell(d, 23, 0, 0, data);
	return 0;
}

/* ---- the console ---- */

static const struct config_device *console_of(const struct domain_config *c, const char *name)
{
	const struct config_device *serial = NULL;

	for (guint i = 0; i < c->devices->len; i++) {
		const struct config_device *d = g_ptr_array_index(c->devices, i);

		if (d->kind != DEVICE_CHAR || !d->chr.driven)
			continue;
		if (name ? strcmp(d->alias, name) == 0 : d->chr.class == CHAR_CONSOLE)
			return d;
		if (!name && d->chr.class == CHAR_SERIAL && !serial)
			serial = d;
	}
	return serial;
}

static int open_char(const struct config_char *k, GError **error)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (!k->path || (strcmp(k->type, "pty") != 0 && strcmp(k->type, "unix") != 0))
		return refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
			"a character device of type '%s' cannot be opened as a console", k->type);
	if (strcmp(k->type, "pty") == 0) {
		fd = open(k->path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	} else {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		g_strlcpy(sa.sun_path, k->path, sizeof(sa.sun_path));
		if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
			int err = errno;

			close(fd);
			fd = -1;
			errno = err;
		}
	}
	if (fd < 0)
		return refuse(error, MANAGER_ERR_OPERATION_FAILED, "cannot open %s: %s", k->path,
			g_strerror(errno));
	return fd;
}

static int open_console(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_open_console_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	const struct config_device *dev;
	auto_config c = NULL;
	int fd;

	if (!d || !(c = domain_config_for(d, AFFECT_LIVE, error)))
		return -1;
	dev = console_of(c, a->dev_name);
	if (!dev)
		return refuse(error, MANAGER_ERR_INTERNAL, "cannot find console device '%s'",
			a->dev_name ? a->dev_name : "default");
	fd = open_char(&dev->chr, error);
	return fd < 0 ? -1 : rpc_stream_console(call, fd, error);
}

/* ---- the command line ---- */

static int to_native(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_domain_xml_to_native_args *a = args;
	struct argv_parts parts = { .lodge_vm = call->manager->paths.lodge_vm };
	g_auto(GStrv) argv = NULL;
	g_autoptr(GString) text = g_string_new(NULL);
	auto_config c = NULL;

	if (strcmp(a->nativeFormat, "lodge-vm") != 0 && strcmp(a->nativeFormat, "qemu-argv") != 0)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"format '%.32s': Lodge writes 'lodge-vm'", a->nativeFormat);
	c = domain_config_parse(a->domainXml, 0, error);
	argv = c ? argv_make(c, &parts, error) : NULL;
	if (!argv)
		return -1;
	for (unsigned i = 0; argv[i]; i++) {
		g_autofree char *quoted = g_shell_quote(argv[i]);
		bool plain =
			strspn(argv[i],
				"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				"-_./,=:@%+") == strlen(argv[i]) &&
			*argv[i];

		g_string_append_printf(text, "%s%s", i ? " " : "", plain ? argv[i] : quoted);
	}
	((struct remote_connect_domain_xml_to_native_ret *)ret)->nativeConfig =
		g_string_free(g_steal_pointer(&text), FALSE);
	return 0;
}

const struct rpc_procedure rpc_domain_info_procedures[] = {
	{ REMOTE_PROC_DOMAIN_GET_INFO, get_info, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_STATE, get_state, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_XML_DESC, get_xml, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_IS_ACTIVE, is_active, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_IS_PERSISTENT, is_persistent, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_IS_UPDATED, is_updated, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_OS_TYPE, get_os_type, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_CONTROL_INFO, get_control, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_MESSAGES, get_messages, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_SECURITY_LABEL, get_security_label, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_SECURITY_LABEL_LIST, get_security_labels, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_METADATA, get_metadata, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SET_METADATA, set_metadata, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_OPEN_CONSOLE, open_console, ROLE_OPERATE },
	{ REMOTE_PROC_CONNECT_DOMAIN_XML_TO_NATIVE, to_native, ROLE_ADMIN },
	{},
};
