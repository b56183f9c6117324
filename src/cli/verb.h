/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verb.h: the command line is a table. A verb is one row of its group's table (groups.c lists the
 * groups) and one function; parsing, --help, the manual pages and shell completion come from the
 * rows.
 *
 * To add a verb: write `static int verb_run(struct cli *c, GError **error)` and its options in its
 * group's file, and add the row.
 */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum cli_kind {
	CLI_FLAG, /* takes no value */
	CLI_TEXT,
	CLI_NUMBER, /* decimal or 0x, signed */
	CLI_SIZE,   /* bytes, see base/size.h */
	CLI_CHOICE, /* one of `choices` */
};

enum cli_option_flags {
	CLI_POSITIONAL = 1, /* a plain argument, in the table's order; --NAME VALUE works as well */
	CLI_REQUIRED = 2,
	CLI_MANY = 4,      /* may be repeated; as the last positional: takes all that are left */
	CLI_VERBATIM = 16, /* the last positional: once it has begun, what looks like an option is
			      its too */
	CLI_HIDDEN = 8,    /* an old habit's spelling: works, and no help mentions it */
};

#define CLI_COMPLETE_FILE "@file"

struct cli_option {
	const char *name; /* without the dashes; NULL ends a table */
	char letter;      /* 0: none */
	enum cli_kind kind;
	unsigned flags;
	const char *value;          /* how help calls the value; NULL: NAME in capitals */
	const char *help;           /* half a sentence, small initial, no full stop */
	const char *const *choices; /* CLI_CHOICE; NULL ends it */
	const char
		*complete; /* shell completion: CLI_COMPLETE_FILE or a command that lists words */
};

struct cli;

struct cli_verb {
	const char *name;    /* NULL ends a table */
	const char *summary; /* half a sentence, capital initial, no full stop */
	const char *help;    /* paragraphs, split by blank lines; NULL: the summary says all */
	const struct cli_option *options; /* NULL: only the common ones */
	/* The exit status, or -1 with error (the status is then the error's, see base/error.h). */
	int (*run)(struct cli *c, GError **error);
	const char *aliases; /* other names, space-separated; NULL: none */
};

struct cli_group {
	const char *name, *title;
	const struct cli_verb *verbs;
	bool nested; /* typed behind the group's name: `lodge image info`; else `lodge list` */
	const struct cli_option *options; /* of all its verbs; NULL: none */
};

extern const struct cli_group *const cli_groups[];   /* groups.c; NULL ends it */
extern const struct cli_option cli_common_options[]; /* of every verb */

/* What was typed. */
struct cli {
	const struct cli_group *group;
	const struct cli_verb *verb;
	bool json, quiet;
	int error_status;   /* exit status when run() fails; 0: the error's own */
	int signals;        /* signalfd, see cli_catch_signals(); -1: none */
	GHashTable *values; /* option's name -> GPtrArray of char * */
	GPtrArray *args;    /* positional arguments, for `help` */
};

/* Reads; names are the table's. A name that is not in it is a bug and aborts. */
bool cli_flag(const struct cli *c, const char *name);
bool cli_has(const struct cli *c, const char *name);
/* The last one given; NULL: none. Borrowed. */
const char *cli_text(const struct cli *c, const char *name);
/* All that were given, NULL ends it; never NULL. Borrowed. */
const char *const *cli_texts(const struct cli *c, const char *name);
uint64_t cli_size(const struct cli *c, const char *name, uint64_t preset);
int64_t cli_number(const struct cli *c, const char *name, int64_t preset);

/* Prints and gives up the reference. */
void cli_print_json(json_t *value);
/* A line on stderr unless --quiet. */
void cli_note(const struct cli *c, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/*
 * From now on SIGINT, SIGTERM and SIGHUP no longer end the process; the verb asks every now and
 * then whether one came, cleans up and fails with cli_fail_interrupted(). Call before starting
 * threads.
 */
void cli_catch_signals(struct cli *c);
bool cli_interrupted(struct cli *c);
int cli_fail_interrupted(GError **error);

/* Runs the command line; the exit status. */
int cli_main(int argc, char **argv);

/* parse.c: fills c from the words behind the verb (or, verb NULL, before it: stops there and tells
 * how many were taken). */
int cli_parse(struct cli *c, char **words, int *ret_taken, GError **error);
void cli_init(struct cli *c);
void cli_fini(struct cli *c);
/* Looks in the verb's, the group's and the common options; NULL: none. letter or name. */
const struct cli_option *cli_option_find(
	const struct cli *c, const char *name, size_t len, char letter);

/* NULL with error and the nearest name. *ret_group is set with it. */
const struct cli_verb *cli_verb_find(const struct cli_group *group, const char *name);
const struct cli_group *cli_group_find(const char *name);

/* help.c; free with g_free. */
char *cli_help_overview(void);
char *cli_help_group(const struct cli_group *g);
char *cli_help_verb(const struct cli_group *g, const struct cli_verb *v);
char *cli_usage(const struct cli_group *g, const struct cli_verb *v);
char *cli_value_name(const struct cli_option *o);
char *cli_man(const struct cli_group *g); /* manual page in groff; NULL: the overview's */
char *cli_completion_bash(void);
char *cli_completion_zsh(void);

#endif
