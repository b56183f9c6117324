/* SPDX-License-Identifier: GPL-2.0-or-later */
/* event.h: what happens to objects, told to whoever listens. */
#ifndef MANAGER_EVENT_H
#define MANAGER_EVENT_H

#include <glib.h>
#include <jansson.h>
#include <stdint.h>

enum event_object {
	EVENT_DOMAIN,
	EVENT_NETWORK,
	EVENT_POOL,
	EVENT_VOLUME,
	EVENT_NODE_DEVICE,
	EVENT_SECRET,
	EVENT_JOB,
	EVENT_MONITOR /* a machine's own QMP event */
};

/*
 * One event. `kind` is libvirt's event id for that sort of object (domains: 0 lifecycle, 1 reboot,
 * …; networks, secrets, devices, pools: 0 lifecycle, 1 the other one) and event/detail are its
 * numbers; what else belongs to it is in `data`, an object with the names of its fields in
 * wire/libvirt/protocol.txt: "devAlias", "srcPath", … Typed parameters are an object ("params":
 * {"cputune.vcpupin0": "0-1"}) of strings, booleans and integers. EVENT_MONITOR: "event",
 * "details", "seconds", "micros".
 */
struct event {
	enum event_object object;
	int kind;
	uint8_t uuid[16];
	char name[256];
	int id; /* domains: run-time id, -1: off */
	int event, detail;
	json_t *data;    /* owned by the event; NULL: nothing */
	int64_t time;    /* microseconds since 1970 */
	uint64_t serial; /* set by event_publish: counts up, no gaps */
};

struct event_bus *event_bus_new(void);
void event_bus_free(struct event_bus *b);

/* Takes ev->data. Any thread, any lock held but the bus's own; listeners run later, on the main
 * loop, in the order of publication. */
void event_publish(struct event_bus *b, struct event *ev);
typedef void event_listener(const struct event *ev, void *opaque);
/* Main loop. The id for event_unlisten(), never 0. */
unsigned event_listen(struct event_bus *b, event_listener *fn, void *opaque);
void event_unlisten(struct event_bus *b, unsigned id);

#endif
