/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ovf.h: machines as other programs export them: OVF descriptions, and OVA archives of them. */
#ifndef IMAGE_OVF_H
#define IMAGE_OVF_H

#include <glib.h>
#include <stdint.h>

struct file;

struct ovf_disk {
	char *id, *href;   /* href NULL: an empty disk of `capacity` bytes */
	uint64_t capacity; /* bytes; 0: not stated */
	char *bus;         /* "ide", "scsi", "sata"; NULL: not stated */
};

struct ovf_machine {
	char *name, *os;
	unsigned cpus;
	uint64_t memory;  /* bytes */
	GPtrArray *disks; /* struct ovf_disk * */
	GPtrArray *nets;  /* char *: names of networks, one for each card */
};

/* Parses the description of one machine; NULL with error. */
struct ovf_machine *ovf_parse(const char *xml, size_t n, const char *path, GError **error);
void ovf_free(struct ovf_machine *m);

/* An .ova (a tar archive) or .ovf with its files beside it. */
struct ovf_source;
struct ovf_source *ovf_open(const char *path, GError **error);
void ovf_close(struct ovf_source *s);
/* The description's bytes; free with g_free. */
char *ovf_description(struct ovf_source *s, size_t *n, GError **error);
/* A file the description names, to be read; NULL with error. */
struct file *ovf_file(struct ovf_source *s, const char *name, GError **error);
/* Compares the files with the sums of the manifest, if there is one: 0, 1: there is none, -1 with
 * error. */
int ovf_verify(struct ovf_source *s, GError **error);

#endif
