/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nearest.c: edit distance with adjacent swaps (optimal string alignment). */
#include "base/nearest.h"

#include <glib.h>
#include <string.h>

enum { WORD_MAX = 48 };

static unsigned edits(const char *a, const char *b)
{
	unsigned row[3][WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX)
		return G_MAXUINT;
	for (size_t j = 0; j <= lb; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned c = up[j - 1] + (a[i - 1] != b[j - 1]);

			c = MIN(c, MIN(up[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				c = MIN(c, up2[j - 2] + 1);
			now[j] = c;
		}
	}
	return row[la % 3][lb];
}

void nearest_init(struct nearest *n, const char *word)
{
	*n = (struct nearest){ .word = word, .cost = G_MAXUINT };
}

void nearest_offer(struct nearest *n, const char *candidate)
{
	unsigned c = edits(n->word, candidate), limit = MAX(2, strlen(candidate) / 3);

	/* An unfinished word is as good as one typo. */
	if (*n->word && g_str_has_prefix(candidate, n->word))
		c = MIN(c, 1);
	if (c <= limit && c < strlen(candidate) && c < n->cost) {
		n->cost = c;
		n->best = candidate;
	}
}

char *nearest_hint(const struct nearest *n)
{
	return n->best ? g_strdup_printf(" (did you mean '%s'?)", n->best) : g_strdup("");
}
