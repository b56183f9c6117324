/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kernels.c: small programs for bench/jit, each one thing a translator is good or bad at. `kernels NAME [N]`
 * runs one N times (default: a size that takes about a tenth of a second natively), in the guest and natively;
 * it prints a checksum, so that nothing is optimized away and the sides can be compared.
 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static uint64_t sieve(unsigned n)
{
	enum { SIZE = 1 << 20 };
	static uint8_t composite[SIZE];
	uint64_t count = 0;

	while (n--) {
		memset(composite, 0, SIZE);
		for (unsigned i = 2; i < SIZE; i++) {
			if (composite[i])
				continue;
			count++;
			for (unsigned j = 2 * i; j < SIZE; j += i)
				composite[j] = 1;
		}
	}
	return count;
}

static NOINLINE uint64_t fib(unsigned n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t recursion(unsigned n)
{
	uint64_t sum = 0;

	while (n--)
		sum += fib(27);
	return sum;
}

/* A stack machine with computed gotos: the inner loop of many language runtimes. */
static uint64_t bytecode(unsigned n)
{
	static const uint8_t code[] = { 0, 1, 2, 3, 1, 4, 2, 0, 3, 4, 1, 2, 5 };
	static void *const label[] = { &&push, &&add, &&xor, &&dup, &&shift, &&loop };
	uint64_t stack[16] = { 1 }, acc = 12345;
	unsigned sp = 1, pc = 0, left = n * 100000;

#define NEXT goto *label[code[pc++]]
	NEXT;
push: stack[sp & 15] = acc; sp++; NEXT;
add: acc += stack[(sp - 1) & 15]; NEXT;
xor: acc ^= stack[(sp - 2) & 15] + pc; NEXT;
dup: stack[sp & 15] = stack[(sp - 1) & 15]; NEXT;
shift: acc = acc << 3 | acc >> 61; sp--; NEXT;
loop:
	pc = 0;
	if (left--)
		NEXT;
	return acc;
#undef NEXT
}

static uint64_t chase(unsigned n)
{
	enum { SIZE = 1 << 12 };
	static uint32_t next[SIZE];
	uint32_t p = 0, seed = 1;

	for (unsigned i = 0; i < SIZE; i++)
		next[i] = i;
	for (unsigned i = SIZE - 1; i; i--) { /* one cycle through all (Sattolo) */
		unsigned j = (seed = seed * 1103515245 + 12345) / 65536 % i;
		uint32_t t = next[i];

		next[i] = next[j];
		next[j] = t;
	}
	for (uint64_t i = 0; i < (uint64_t)n * 1000000; i++)
		p = next[p];
	return p;
}

static NOINLINE uint64_t op_a(uint64_t x) { return x * 3 + 1; }
static NOINLINE uint64_t op_b(uint64_t x) { return x ^ x >> 7; }
static NOINLINE uint64_t op_c(uint64_t x) { return x + (x << 5); }

static uint64_t indirect(unsigned n)
{
	uint64_t (*volatile ops[4])(uint64_t) = { op_a, op_b, op_c, op_b };
	uint64_t x = 1;

	for (uint64_t i = 0; i < (uint64_t)n * 1000000; i++)
		x = ops[i & 3](x);
	return x;
}

static uint64_t alu(unsigned n)
{
	uint64_t x = 88172645463325252ull, sum = 0;

	for (uint64_t i = 0; i < (uint64_t)n * 1000000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		sum += x & 0xff;
	}
	return sum;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t sort(unsigned n)
{
	enum { SIZE = 100000 };
	static uint32_t v[SIZE];
	uint64_t sum = 0;

	while (n--) {
		uint32_t seed = n;

		for (unsigned i = 0; i < SIZE; i++)
			v[i] = seed = seed * 1664525 + 1013904223;
		qsort(v, SIZE, sizeof(v[0]), compare);
		sum += v[SIZE / 2];
	}
	return sum;
}

/* ---- floating point ---- */

struct body { double x, y, z, vx, vy, vz, mass; };

static double inverse_sqrt(double d2)
{
	return 1 / _mm_cvtsd_f64(_mm_sqrt_sd(_mm_setzero_pd(), _mm_set_sd(d2)));
}

static uint64_t nbody(unsigned n)
{
	struct body b[5] = { { 0, 0, 0, 0, 0, 0, 39.47 }, { 4.84, -1.16, -.10, .60, 2.81, -.02, .037 },
		{ 8.34, 4.12, -.4, -1.01, 1.82, .008, .011 }, { 12.89, -15.11, -.22, 1.08, .86, -.01, .0017 },
		{ 15.37, -25.9, .179, .97, .59, -.03, .002 } };
	double energy = 0;

	for (unsigned step = 0; step < n * 10000; step++) {
		for (unsigned i = 0; i < 5; i++)
			for (unsigned j = i + 1; j < 5; j++) {
				double dx = b[i].x - b[j].x, dy = b[i].y - b[j].y, dz = b[i].z - b[j].z;
				double d2 = dx * dx + dy * dy + dz * dz, r = inverse_sqrt(d2);
				double mag = 0.001 * r * r * r;

				b[i].vx -= dx * b[j].mass * mag; b[j].vx += dx * b[i].mass * mag;
				b[i].vy -= dy * b[j].mass * mag; b[j].vy += dy * b[i].mass * mag;
				b[i].vz -= dz * b[j].mass * mag; b[j].vz += dz * b[i].mass * mag;
			}
		for (unsigned i = 0; i < 5; i++) {
			b[i].x += 0.001 * b[i].vx;
			b[i].y += 0.001 * b[i].vy;
			b[i].z += 0.001 * b[i].vz;
		}
	}
	for (unsigned i = 0; i < 5; i++)
		energy += b[i].mass * b[i].vx * b[i].vx;
	return (uint64_t)(energy * 1e9);
}

static uint64_t mandelbrot(unsigned n)
{
	uint64_t inside = 0;

	while (n--)
		for (int py = 0; py < 120; py++)
			for (int px = 0; px < 160; px++) {
				double cr = px / 80.0 - 1.5, ci = py / 60.0 - 1, zr = 0, zi = 0;
				int i = 0;

				for (; i < 100 && zr * zr + zi * zi < 4; i++) {
					double t = zr * zr - zi * zi + cr;

					zi = 2 * zr * zi + ci;
					zr = t;
				}
				inside += i == 100;
			}
	return inside;
}

enum { MAT = 128 };
static double ma[MAT][MAT], mb[MAT][MAT], mc[MAT][MAT];

static void mat_fill(void)
{
	for (int i = 0; i < MAT; i++)
		for (int j = 0; j < MAT; j++) {
			ma[i][j] = i + j;
			mb[i][j] = i - j;
			mc[i][j] = 0;
		}
}

#define MATMUL(name, attribute)                                                                    \
	attribute static uint64_t name(unsigned n)                                                 \
	{                                                                                          \
		mat_fill();                                                                        \
		while (n--)                                                                        \
			for (int i = 0; i < MAT; i++)                                              \
				for (int k = 0; k < MAT; k++)                                      \
					for (int j = 0; j < MAT; j++)                              \
						mc[i][j] += ma[i][k] * mb[k][j];                   \
		return (uint64_t)(int64_t)(mc[5][7] / 16);                                         \
	}
MATMUL(matmul_sse2, __attribute__((optimize("O3"))))
MATMUL(matmul_avx2, __attribute__((optimize("O3"), target("avx2,fma"))))

static uint64_t x87(unsigned n)
{
	long double x = 0.5L, sum = 0;

	for (unsigned i = 0; i < n * 1000000; i++) {
		x = x * 3.7L * (1 - x);
		sum += x / (1 + x);
	}
	return (uint64_t)(sum * 16);
}

static uint64_t movsb(unsigned n)
{
	static uint8_t from[4096], to[4096];

	memset(from, 7, sizeof(from));
	for (unsigned i = 0; i < n * 10000; i++) {
		void *d = to;
		const void *s = from;
		size_t count = sizeof(to);

		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(count) : : "memory");
	}
	return to[100];
}

static uint64_t stosq(unsigned n)
{
	static uint64_t to[512];

	for (unsigned i = 0; i < n * 10000; i++) {
		void *d = to;
		size_t count = 512;

		__asm__ volatile("rep stosq" : "+D"(d), "+c"(count) : "a"((uint64_t)i) : "memory");
	}
	return to[100];
}

/* ---- the system ---- */

static uint64_t getppid_calls(unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n * 10000; i++)
		sum += syscall(SYS_getppid) != 0;
	return sum;
}

static uint64_t touch_pages(unsigned n)
{
	enum { BYTES = 1 << 20 };

	for (unsigned i = 0; i < n * 10; i++) {
		volatile uint8_t *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (unsigned j = 0; j < BYTES; j += 4096)
			p[j] = 1;
		munmap((void *)p, BYTES);
	}
	return n;
}

static uint64_t map_unmap(unsigned n)
{
	for (unsigned i = 0; i < n * 1000; i++) {
		volatile uint8_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		*p = 1;
		munmap((void *)p, 4096);
	}
	return n;
}

static uint64_t pipe_switch(unsigned n)
{
	int there[2], back[2];
	char c = 0;

	if (pipe(there) || pipe(back))
		exit(1);
	if (fork() == 0) {
		close(there[1]);
		while (read(there[0], &c, 1) == 1)
			if (write(back[1], &c, 1) != 1)
				break;
		_exit(0);
	}
	for (unsigned i = 0; i < n * 1000; i++)
		if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
			exit(1);
	close(there[1]);
	wait(NULL);
	return n;
}

static uint64_t fork_exec(unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n * 10; i++) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(9);
		}
		waitpid(pid, &status, 0);
		sum += status;
	}
	return sum;
}

/* ---- cold code: functions made at run time, each executed once ---- */
static uint64_t cold(unsigned n)
{
	enum { BYTES = 1 << 20, INSN = 4, FUNCTION = 64 };
	static const uint8_t insn[4][INSN] = { { 0x48, 0x83, 0xc0, 0x01 }, { 0x48, 0x83, 0xf0, 0x55 },
		{ 0x48, 0xc1, 0xc0, 0x03 }, { 0x48, 0x8d, 0x40, 0x07 } };
	uint64_t sum = 0;

	while (n--) {
		uint8_t *code = mmap(NULL, BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (unsigned i = 0; i < BYTES; i += INSN)
			memcpy(code + i, insn[(i / INSN + n) & 3], INSN);
		for (unsigned i = FUNCTION - INSN; i < BYTES; i += FUNCTION)
			code[i] = 0xc3;
		for (unsigned i = 0; i < BYTES; i += FUNCTION)
			sum += ((uint64_t (*)(void))(void *)(code + i))();
		munmap(code, BYTES);
	}
	return sum & 0xffff ? 1 : 0;
}

/* ---- two threads, each its own work ---- */
static void *one_thread(void *n)
{
	return (void *)(uintptr_t)(alu((unsigned)(uintptr_t)n) + recursion((unsigned)(uintptr_t)n / 20 + 1));
}

static uint64_t threads(unsigned n)
{
	pthread_t t[2];
	void *r[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, one_thread, (void *)(uintptr_t)n);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], &r[i]);
	return (uintptr_t)r[0] ^ (uintptr_t)r[1];
}

static const struct {
	const char *name;
	uint64_t (*run)(unsigned n);
	unsigned n;
} kernels[] = {
	{ "alu", alu, 40 }, { "sieve", sieve, 20 }, { "recursion", recursion, 60 }, { "bytecode", bytecode, 30 },
	{ "chase", chase, 40 }, { "indirect", indirect, 20 }, { "sort", sort, 8 },
	{ "nbody", nbody, 12 }, { "mandelbrot", mandelbrot, 10 }, { "matmul-sse2", matmul_sse2, 60 },
	{ "matmul-avx2", matmul_avx2, 120 }, { "x87", x87, 8 }, { "rep-movsb", movsb, 60 }, { "rep-stosq", stosq, 60 },
	{ "getppid", getppid_calls, 30 }, { "page-fault", touch_pages, 20 }, { "mmap", map_unmap, 20 },
	{ "pipe-switch", pipe_switch, 10 }, { "fork-exec", fork_exec, 10 }, { "cold", cold, 4 },
	{ "threads", threads, 30 },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		if (strcmp(kernels[i].name, argv[1]) == 0) {
			printf("%s %llu\n", argv[1], (unsigned long long)
				kernels[i].run(argc > 2 ? (unsigned)atoi(argv[2]) : kernels[i].n));
			return 0;
		}
	}
	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
		puts(kernels[i].name);
	return argc > 1;
}
