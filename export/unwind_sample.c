/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that runs: the kernel takes its registers and the top of its stack at a tick of the clock of its own time.
 */
#include <linux/perf_event.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "export/unwind.h"

#define PERIOD_NS 500000
#define WAIT_MS 40
#define PAGE 4096u
#define RING_BYTES (32u * PAGE) /* a power of two; a few samples */

#if defined(__x86_64__)
/* linux/asm/perf_regs.h: numbers of the registers, in the order in which they come. */
enum { REG_BX = 1, REG_BP = 6, REG_SP = 7, REG_IP = 8, REG_R12 = 20, REG_R13, REG_R14, REG_R15 };
#define BIT(n) (1ull << (n))
#define REGISTERS                                                                                                      \
	(BIT(REG_BX) | BIT(REG_BP) | BIT(REG_SP) | BIT(REG_IP) | BIT(REG_R12) | BIT(REG_R13) | BIT(REG_R14) | BIT(REG_R15))

static int open_sampler(uint32_t tid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PERIOD_NS,
		.sample_type = PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
		.sample_regs_user = REGISTERS,
		.sample_stack_user = SAMPLE_STACK_BYTES,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.wakeup_events = 1,
	};

	return (int)syscall(SYS_perf_event_open, &attr, (pid_t)tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Bytes of the ring, which may wrap. */
static void from_ring(const uint8_t *ring, uint64_t at, void *to, size_t len)
{
	size_t first = RING_BYTES - at % RING_BYTES;

	first = first < len ? first : len;
	memcpy(to, ring + at % RING_BYTES, first);
	memcpy((uint8_t *)to + first, ring, len - first);
}

/* What a sample holds: abi, registers, length of the stack, the stack, and how much of it was there. */
static bool read_sample(const uint8_t *ring, uint64_t at, size_t len, struct registers *ret, uint8_t *stack,
			size_t *ret_len)
{
	struct {
		uint64_t abi, bx, bp, sp, ip, r12, r13, r14, r15, stack_len;
	} head;
	uint64_t there;

	if (len < sizeof(head) + SAMPLE_STACK_BYTES + sizeof(there))
		return false; /* a thread without user memory */
	from_ring(ring, at, &head, sizeof(head));
	if (head.abi != PERF_SAMPLE_REGS_ABI_64 || head.stack_len != SAMPLE_STACK_BYTES)
		return false;
	from_ring(ring, at + sizeof(head), stack, SAMPLE_STACK_BYTES);
	from_ring(ring, at + sizeof(head) + SAMPLE_STACK_BYTES, &there, sizeof(there));
	*ret_len = there < SAMPLE_STACK_BYTES ? (size_t)there : SAMPLE_STACK_BYTES;
	*ret = (struct registers){
		.ip = head.ip, .sp = head.sp, .has_callee_saved = true, .bx = head.bx, .bp = head.bp,
		.r12 = head.r12, .r13 = head.r13, .r14 = head.r14, .r15 = head.r15,
	};
	return true;
}

static bool first_sample(const struct perf_event_mmap_page *page, struct registers *ret, uint8_t *stack,
			 size_t *ret_len)
{
	const uint8_t *ring = (const uint8_t *)page + PAGE;
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE), at = 0;
	struct perf_event_header header;

	while (head - at >= sizeof(header)) {
		from_ring(ring, at, &header, sizeof(header));
		if (header.size < sizeof(header) || header.size > head - at)
			return false;
		if (header.type == PERF_RECORD_SAMPLE &&
		    read_sample(ring, at + sizeof(header), header.size - sizeof(header), ret, stack, ret_len))
			return true;
		at += header.size;
	}
	return false;
}

bool sample_thread(uint32_t tid, struct registers *ret, uint8_t stack[SAMPLE_STACK_BYTES], size_t *ret_len)
{
	int fd = open_sampler(tid);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	bool found = false;
	void *page;

	if (fd < 0)
		return false;
	page = mmap(NULL, PAGE + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page != MAP_FAILED) {
		found = poll(&ready, 1, WAIT_MS) > 0 && first_sample(page, ret, stack, ret_len);
		munmap(page, PAGE + RING_BYTES);
	}
	close(fd);
	return found;
}
#else
bool sample_thread(uint32_t tid, struct registers *ret, uint8_t stack[SAMPLE_STACK_BYTES], size_t *ret_len)
{
	(void)tid;
	(void)ret;
	(void)stack;
	(void)ret_len;
	return false;
}
#endif
