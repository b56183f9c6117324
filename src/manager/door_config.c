/* SPDX-License-Identifier: GPL-2.0-or-later */
/* door_config.c: lodged.conf. Described in docs/lodged.md. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "manager/door.h"
#include "manager/manager.h"

static void grant_free(void *p)
{
	struct door_grant *g = p;

	if (g->roles)
		g_hash_table_unref(g->roles);
	g_free(g->token_hash);
	g_free(g);
}

static char *below(const char *root, const char *folder, const char *name)
{
	return root ? g_build_filename(root, folder, name, NULL)
		    : g_build_filename(folder, name, NULL);
}

static void defaults(struct door_config *c, const struct manager *m, const char *root)
{
	const char *folder = m->session ? g_get_user_runtime_dir() : "/run";
	g_autofree char *libvirt = g_build_filename(folder, "libvirt", NULL);

	c->socket = below(root, libvirt, "libvirt-sock");
	c->socket_ro = m->session ? NULL : below(root, libvirt, "libvirt-sock-ro");
	c->mode = m->session ? 0600 : 0660;
	c->mode_ro = 0666;
	c->others = ROLE_READ;
	c->certificate_role = c->sasl_role = ROLE_ADMIN; /* as libvirt: known is trusted */
	c->rest = g_build_filename(m->paths.run, "lodge.sock", NULL);
	c->identities = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, grant_free);
}

static const char *const known[] = { "socket", "socket_ro", "mode", "mode_ro", "group",
	"admin_groups", "operate_groups", "read_groups", "others", "tcp", "tls", "tls_key",
	"tls_cert", "tls_ca", "tls_crl", "tls_no_verify", "tls_sasl", "tls_priority",
	"certificate_role", "sasl_role", "rest", "rest_tls" };

static int check_keys(GKeyFile *f, GError **error)
{
	g_auto(GStrv) keys = g_key_file_get_keys(f, "doors", NULL, NULL);

	for (char **k = keys; k && *k; k++) {
		bool found = false;

		for (unsigned i = 0; i < G_N_ELEMENTS(known) && !found; i++)
			found = strcmp(known[i], *k) == 0;
		if (!found)
			return fail(error, LODGE_ERROR_USAGE, "[doors] has no setting '%s'", *k);
	}
	return 0;
}

static void take_string(GKeyFile *f, const char *key, char **to)
{
	char *s = g_key_file_get_string(f, "doors", key, NULL);

	if (!s)
		return;
	g_free(*to);
	*to = *s ? g_strdup(s) : NULL; /* empty: none */
	g_free(s);
}

static void take_list(GKeyFile *f, const char *key, char ***to)
{
	char **list = g_key_file_get_string_list(f, "doors", key, NULL, NULL);

	if (!list)
		return;
	g_strfreev(*to);
	*to = list;
}

static void take_bool(GKeyFile *f, const char *key, bool *to)
{
	if (g_key_file_has_key(f, "doors", key, NULL))
		*to = g_key_file_get_boolean(f, "doors", key, NULL);
}

static int take_mode(GKeyFile *f, const char *key, mode_t *to, GError **error)
{
	g_autofree char *s = g_key_file_get_string(f, "doors", key, NULL);
	char *end;
	unsigned long v;

	if (!s)
		return 0;
	v = strtoul(s, &end, 8);
	if (*end || !*s || v > 0777)
		return fail(error, LODGE_ERROR_USAGE, "%s = %s is no octal mode", key, s);
	*to = (mode_t)v;
	return 0;
}

static int take_role(GKeyFile *f, const char *key, enum role *to, GError **error)
{
	g_autofree char *s = g_key_file_get_string(f, "doors", key, NULL);

	return s ? role_parse(s, to, error) : 0;
}

/* [identity NAME]: role, token, and "machine NAME" = role. */
static int take_identity(struct door_config *c, GKeyFile *f, const char *group, GError **error)
{
	struct door_grant *grant = g_new0(struct door_grant, 1);
	g_auto(GStrv) keys = g_key_file_get_keys(f, group, NULL, NULL);

	g_hash_table_replace(c->identities, g_strdup(group + strlen("identity ")), grant);
	for (char **k = keys; *k; k++) {
		g_autofree char *value = g_key_file_get_string(f, group, *k, NULL);
		enum role role;

		if (strcmp(*k, "token") == 0) {
			grant->token_hash = g_steal_pointer(&value);
			continue;
		}
		if (!value || role_parse(value, &role, error) < 0)
			return -1;
		if (strcmp(*k, "role") == 0) {
			grant->role = role;
		} else if (g_str_has_prefix(*k, "machine-")) {
			if (!grant->roles)
				grant->roles = g_hash_table_new_full(
					g_str_hash, g_str_equal, g_free, NULL);
			g_hash_table_replace(grant->roles, g_strdup(*k + strlen("machine-")),
				GINT_TO_POINTER(role));
		} else {
			return fail(
				error, LODGE_ERROR_USAGE, "[%s] has no setting '%s'", group, *k);
		}
	}
	return 0;
}

static int take_all(struct door_config *c, GKeyFile *f, GError **error)
{
	static const struct {
		const char *key;
		size_t offset;
	} strings[] = {
#define STRING(x) { #x, offsetof(struct door_config, x) }
		STRING(socket),
		STRING(socket_ro),
		STRING(group),
		STRING(tcp),
		STRING(tls),
		STRING(tls_key),
		STRING(tls_cert),
		STRING(tls_ca),
		STRING(tls_crl),
		STRING(tls_priority),
		STRING(rest),
		STRING(rest_tls),
	};
	g_auto(GStrv) groups = g_key_file_get_groups(f, NULL);

	for (unsigned i = 0; i < G_N_ELEMENTS(strings); i++)
		take_string(f, strings[i].key, (char **)((char *)c + strings[i].offset));
	c->socket_given = g_key_file_has_key(f, "doors", "socket", NULL);
	take_list(f, "admin_groups", &c->admin_groups);
	take_list(f, "operate_groups", &c->operate_groups);
	take_list(f, "read_groups", &c->read_groups);
	take_bool(f, "tls_no_verify", &c->tls_no_verify);
	take_bool(f, "tls_sasl", &c->tls_sasl);
	if (take_mode(f, "mode", &c->mode, error) < 0 ||
		take_mode(f, "mode_ro", &c->mode_ro, error) < 0 ||
		take_role(f, "others", &c->others, error) < 0 ||
		take_role(f, "certificate_role", &c->certificate_role, error) < 0 ||
		take_role(f, "sasl_role", &c->sasl_role, error) < 0)
		return -1;
	for (char **g = groups; *g; g++) {
		if (g_str_has_prefix(*g, "identity ")) {
			if (take_identity(c, f, *g, error) < 0)
				return -1;
		} else if (strcmp(*g, "doors") != 0) {
			return fail(error, LODGE_ERROR_USAGE, "unknown section [%s]", *g);
		}
	}
	return 0;
}

int door_config_load(struct door_config *c, const struct manager *m, const char *root,
	const char *path, GError **error)
{
	g_autoptr(GKeyFile) f = g_key_file_new();

	*c = (struct door_config){};
	defaults(c, m, root);
	if (!g_file_test(path, G_FILE_TEST_EXISTS))
		return 0;
	if (!g_key_file_load_from_file(f, path, G_KEY_FILE_NONE, error) ||
		check_keys(f, error) < 0 || take_all(c, f, error) < 0) {
		g_prefix_error(error, "%s: ", path);
		door_config_clear(c);
		return -1;
	}
	return 0;
}

void door_config_clear(struct door_config *c)
{
	char **strings[] = { &c->socket, &c->socket_ro, &c->group, &c->tcp, &c->tls, &c->tls_key,
		&c->tls_cert, &c->tls_ca, &c->tls_crl, &c->tls_priority, &c->rest, &c->rest_tls };

	for (unsigned i = 0; i < G_N_ELEMENTS(strings); i++)
		g_free(*strings[i]);
	g_strfreev(c->admin_groups);
	g_strfreev(c->operate_groups);
	g_strfreev(c->read_groups);
	if (c->identities)
		g_hash_table_unref(c->identities);
	*c = (struct door_config){};
}
