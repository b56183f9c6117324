/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ids.h: UUIDs and MAC addresses, from and to text. */
#ifndef MANAGER_IDS_H
#define MANAGER_IDS_H

#include <stdint.h>

/* 0, or -1 when the text is none. */
int uuid_parse_text(const char *text, uint8_t uuid[16]);
void uuid_format(const uint8_t uuid[16], char text[37]);
void uuid_make(uint8_t uuid[16]); /* random */
int mac_parse(const char *text, uint8_t mac[6]);
void mac_format(const uint8_t mac[6], char text[18]);

#endif
