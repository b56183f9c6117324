/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nearest.h: "did you mean": the known word closest to a mistyped one. */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

/* Candidates are offered one by one. */
struct nearest {
	const char *word; /* what was typed; borrowed */
	const char *best; /* the closest candidate, borrowed; NULL: none is close */
	unsigned cost;	  /* edits from word to best */
};

void nearest_init(struct nearest *n, const char *word);
void nearest_offer(struct nearest *n, const char *candidate);
/* " (did you mean 'best'?)" or "". Free with g_free. */
char *nearest_hint(const struct nearest *n);

#endif
