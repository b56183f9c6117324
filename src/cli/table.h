/* SPDX-License-Identifier: GPL-2.0-or-later */
/* table.h: rows of text in columns that fit the terminal. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <glib.h>
#include <stdio.h>

enum table_flags {
	TABLE_RIGHT = 1, /* numbers */
	TABLE_FLEX = 2,  /* gives way when the terminal is too narrow */
};

struct table_column {
	const char *title; /* NULL ends the list */
	unsigned flags;
};

struct table;

/* The columns are borrowed. */
struct table *table_new(const struct table_column *columns);
void table_free(struct table *t);
/* The next cell, row by row; a row is full when each column has one. */
void table_cell(struct table *t, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* Columns of `width` characters in all; 0: as wide as needed. No titles if `plain`. */
void table_print(const struct table *t, FILE *out, unsigned width, gboolean plain);
/* On stdout, as wide as its terminal; frees the table. */
void table_show(struct table *t);
/* Columns of the terminal behind fd; 0: it is none. */
unsigned terminal_width(int fd);

#endif
