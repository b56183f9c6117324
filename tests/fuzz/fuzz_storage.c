/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_storage.c: pool and volume XML: the normal form of what is accepted is its own normal form.
 */
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "manager/storage/pool_priv.h"
#include "manager/xmlrule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct xml_rule *rule = size && data[0] & 1 ? &volume_xml : &pool_xml;
	g_autofree char *text = size ? g_strndup((const char *)data + 1, size - 1) : NULL;
	g_autoptr(xmlDoc) doc = text ? xml_rule_parse(text, rule, NULL) : NULL;

	if (doc) {
		g_autofree char *once = xml_format(xmlDocGetRootElement(doc));
		g_autoptr(xmlDoc) again = xml_rule_parse(once, rule, NULL);
		g_autofree char *twice = again ? xml_format(xmlDocGetRootElement(again)) : NULL;

		if (!twice || strcmp(once, twice))
			abort();
		(void)xml_get_uint(xmlDocGetRootElement(doc), "capacity", 0);
	}
	return 0;
}
