/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tsc.c: how fast this host's time-stamp counter runs. Spec: perf_event_open(2), cap_user_time. */
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "cpu/x86/cpuid.h"

/* The kernel knows, and tells through the control page of any perf event: ns = tsc * mult >> shift.
 */
static uint64_t from_perf(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY, .disabled = 1, .exclude_kernel = 1 };
	const long page = sysconf(_SC_PAGESIZE);
	struct perf_event_mmap_page *p;
	uint64_t khz = 0;
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return 0;
	p = mmap(NULL, (size_t)page, PROT_READ, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED) {
		if (p->cap_user_time && p->time_mult)
			khz = (uint64_t)(((unsigned __int128)1000000 << p->time_shift) /
					 p->time_mult);
		munmap(p, (size_t)page);
	}
	close(fd);
	return khz;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t measured(void)
{
	enum { MEASURE_NS = 5000000 };
	const uint64_t ns0 = now_ns(), tsc0 = __rdtsc();
	uint64_t ns;

	do
		ns = now_ns() - ns0;
	while (ns < MEASURE_NS);
	return (__rdtsc() - tsc0) * 1000000 / ns;
}

uint64_t x86_host_tsc_khz(void)
{
	const uint64_t khz = from_perf();

	return khz ? khz : measured();
}
