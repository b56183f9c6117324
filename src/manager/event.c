/* SPDX-License-Identifier: GPL-2.0-or-later */
/* event.c: the bus: events from any thread, told on the main loop in their order. */
#include "manager/event.h"

#include <stdbool.h>

struct listener {
	unsigned id; /* 0: gone, freed when nobody walks the list */
	event_listener *fn;
	void *opaque;
};

struct event_bus {
	GMutex lock;  /* queue, serial, scheduled */
	GQueue queue; /* struct event *, not yet told */
	uint64_t serial;
	bool scheduled;
	GPtrArray *listeners; /* main loop only */
	unsigned next_id;
	bool telling;
};

struct event_bus *event_bus_new(void)
{
	struct event_bus *b = g_new0(struct event_bus, 1);

	g_mutex_init(&b->lock);
	g_queue_init(&b->queue);
	b->listeners = g_ptr_array_new_with_free_func(g_free);
	return b;
}

static void event_free(void *p)
{
	struct event *ev = p;

	json_decref(ev->data);
	g_free(ev);
}

void event_bus_free(struct event_bus *b)
{
	if (!b)
		return;
	g_source_remove_by_user_data(b);
	g_queue_clear_full(&b->queue, event_free);
	g_ptr_array_free(b->listeners, TRUE);
	g_mutex_clear(&b->lock);
	g_free(b);
}

static void tell(struct event_bus *b, const struct event *ev)
{
	/* Those who came while it is told did not listen when it happened. */
	guint count = b->listeners->len;

	b->telling = true;
	for (guint i = 0; i < count; i++) {
		struct listener *l = b->listeners->pdata[i];

		if (l->id)
			l->fn(ev, l->opaque);
	}
	b->telling = false;
	for (guint i = b->listeners->len; i-- > 0;) {
		if (!((struct listener *)b->listeners->pdata[i])->id)
			g_ptr_array_remove_index(b->listeners, i);
	}
}

static gboolean deliver(gpointer opaque)
{
	struct event_bus *b = opaque;
	struct event *ev;

	for (;;) {
		g_mutex_lock(&b->lock);
		ev = g_queue_pop_head(&b->queue);
		if (!ev)
			b->scheduled = false;
		g_mutex_unlock(&b->lock);
		if (!ev)
			return G_SOURCE_REMOVE;
		tell(b, ev);
		event_free(ev);
	}
}

void event_publish(struct event_bus *b, struct event *ev)
{
	struct event *copy = g_memdup2(ev, sizeof(*ev));
	bool wake;

	ev->data = NULL;
	if (!copy->time)
		copy->time = g_get_real_time();
	g_mutex_lock(&b->lock);
	copy->serial = ev->serial = ++b->serial;
	g_queue_push_tail(&b->queue, copy);
	wake = !b->scheduled;
	b->scheduled = true;
	g_mutex_unlock(&b->lock);
	if (wake)
		g_idle_add_full(G_PRIORITY_HIGH, deliver, b, NULL);
}

unsigned event_listen(struct event_bus *b, event_listener *fn, void *opaque)
{
	struct listener *l = g_new0(struct listener, 1);

	l->id = ++b->next_id;
	l->fn = fn;
	l->opaque = opaque;
	g_ptr_array_add(b->listeners, l);
	return l->id;
}

void event_unlisten(struct event_bus *b, unsigned id)
{
	for (guint i = 0; i < b->listeners->len; i++) {
		struct listener *l = b->listeners->pdata[i];

		if (l->id != id)
			continue;
		l->id = 0;
		if (!b->telling)
			g_ptr_array_remove_index(b->listeners, i);
		return;
	}
}
