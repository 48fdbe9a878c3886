// SPDX-License-Identifier: MIT
// sources: vmm/vlapic.c vmm/vlapic_timer.c
// flags: -Icontrol-domain/driver -Itests/host/kernel
/*
 * No wake-up is lost: every interleaving of a vCPU that goes to sleep with those who post to it.
 *
 * The code is the real one: the hypervisor's posting (vlapic_irq.c) and the driver's loop, kick and
 * block (vcpu_run.c), included below with each access to shared memory made a step. A scheduler
 * runs one step of one thread at a time and, run after run, tries every choice (states seen before
 * are not gone through again). Plain stores stay in their processor's store buffer until a step of
 * its own empties it: the one reordering that x86 does. Only what surrounds that code is a model: a
 * hypercall, which is no barrier here, Linux's scheduler, and a guest that halts or spins.
 *
 * A wake-up is lost if nobody can take a step and the vCPU has not taken every interrupt. That the
 * search would find one is shown by taking a barrier or an order away.
 */
#include "test.h"

#include <sanitizer/common_interface_defs.h>
#include <ucontext.h>

#include <vlapic.h>
#include <vlapic_internal.h>

/* ---- threads and the search */

enum { VCPU, POSTERS, MAX_POSTERS = 3, THREADS = POSTERS + MAX_POSTERS };
enum { STACK_BYTES = 64 << 10, DEPTH = 4096, STORES = 8, STATES = 1 << 21 };
enum mutant { AS_IT_IS, NO_BARRIER, KICK_FIRST, NO_INTERRUPT, NO_WAKE };

static struct thread {
	ucontext_t context;
	bool done;
	bool (*waits_for)(void); /* NULL: can go on */
	uint64_t history;	 /* of all it has read: with the code, all that it knows */
	struct {
		void *at;
		size_t bytes;
		uint64_t value;
	} store[STORES];
	unsigned int stores;
} threads[THREADS];

static char stacks[THREADS][STACK_BYTES] __attribute__((aligned(16)));
static ucontext_t scheduler;
static const void *scheduler_stack;
static size_t scheduler_stack_bytes;
static unsigned int current_thread, posters;
static enum mutant mutant;
static bool guest_halts;

static struct thread *self(void)
{
	return &threads[current_thread];
}

static void to_scheduler(bool for_good)
{
	void *fake;

	__sanitizer_start_switch_fiber(for_good ? NULL : &fake, scheduler_stack,
				       scheduler_stack_bytes);
	swapcontext(&self()->context, &scheduler);
	__sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

static uint64_t saw(uint64_t value)
{
	self()->history = mix(self()->history, value);
	return value;
}

/* The others may run here. */
static void step(void)
{
	saw(1);
	to_scheduler(false);
}

static void wait_for(bool (*condition)(void))
{
	self()->waits_for = condition;
	to_scheduler(false);
	self()->waits_for = NULL;
}

static void drain_one(struct thread *t)
{
	memcpy(t->store[0].at, &t->store[0].value, t->store[0].bytes);
	memmove(t->store, t->store + 1, --t->stores * sizeof(t->store[0]));
}

static void drain(void)
{
	while (self()->stores)
		drain_one(self());
}

static void store(void *at, size_t bytes, uint64_t value)
{
	struct thread *t = self();

	step();
	CHECK(t->stores < STORES);
	t->store[t->stores].at = at;
	t->store[t->stores].bytes = bytes;
	t->store[t->stores++].value = value;
}

static uint64_t load(const void *at, size_t bytes)
{
	struct thread *t = self();
	uint64_t value = 0;

	step();
	memcpy(&value, at, bytes);
	for (unsigned int i = 0; i < t->stores; i++)
		if (t->store[i].at == at)
			value = t->store[i].value;
	return saw(value);
}

static uint32_t page[1024] __aligned(4096);
static struct vlapic lapic;

/* ---- the hypervisor's half, its ordered accesses made steps */

#define LOCKED(operation)                                                                          \
	({                                                                                         \
		step();                                                                            \
		drain();                                                                           \
		__auto_type locked_value = operation;                                              \
		saw((uint64_t)locked_value);                                                       \
		locked_value;                                                                      \
	})
#define __atomic_fetch_or(p, v, order)	LOCKED(__atomic_fetch_or(p, v, order))
#define __atomic_fetch_and(p, v, order) LOCKED(__atomic_fetch_and(p, v, order))
/* Of the four words one is posted to: nobody can tell when the others were looked at. */
#define __atomic_exchange_n(p, v, order)                                                           \
	((uint64_t *)(p) >= lapic.posted.pir && (uint64_t *)(p) < lapic.posted.pir + 4 &&          \
			 (uint64_t *)(p) != &lapic.posted.pir[1]                                   \
		 ? __atomic_exchange_n(p, v, order)                                                \
		 : LOCKED(__atomic_exchange_n(p, v, order)))
#define __atomic_load_n(p, order)                                                                  \
	((order) == __ATOMIC_SEQ_CST ? (step(), saw(__atomic_load_n(p, order)))                    \
				     : __atomic_load_n(p, order))
#include "vmm/vlapic_irq.c"
#undef __atomic_fetch_or
#undef __atomic_fetch_and
#undef __atomic_exchange_n
#undef __atomic_load_n

static uint32_t taken; /* bitmap of posters whose interrupt the guest has had */

/* ---- Linux, as far as the driver's half needs it */

static bool irqs_off, ipi;
static int task_state; /* of the vCPU's thread: 0 runs */

#define hv_call2 hypercall_instruction
#include "vcpu.h"
#undef hv_call2

#undef READ_ONCE
#undef WRITE_ONCE
#define READ_ONCE(x)	 ((__typeof__(x))load(&(x), sizeof(x)))
#define WRITE_ONCE(x, v) store(&(x), sizeof(x), (uint64_t)(v))

static const u32 tsc_khz = 1;

static void smp_mb(void)
{
	if (mutant == NO_BARRIER || !self()->stores)
		return;
	step();
	drain();
}

static int raw_smp_processor_id(void)
{
	return (int)current_thread;
}

static int smp_processor_id(void)
{
	return (int)current_thread;
}

static void smp_send_reschedule(int cpu)
{
	step();
	drain();
	CHECK_EQ(cpu, VCPU);
	if (irqs_off && mutant != NO_INTERRUPT) /* else Linux takes it, and it means nothing */
		ipi = true;
}

static void local_irq_disable(void)
{
	step();
	irqs_off = true;
}

static void local_irq_enable(void)
{
	step();
	irqs_off = ipi = false;
}

static void rcuwait_wake_up(struct rcuwait *w)
{
	step(); /* Linux's own barrier, whatever the mutant */
	drain();
	if (load(&w->task, sizeof(w->task)) && mutant != NO_WAKE) {
		step();
		drain();
		task_state = 0;
	}
}

static void prepare_to_rcuwait(struct rcuwait *w)
{
	store(&w->task, sizeof(w->task), 1);
}

static void finish_rcuwait(struct rcuwait *w)
{
	store(&w->task, sizeof(w->task), 0);
	step();
	task_state = 0;
}

static void set_current_state(int state)
{
	step();
	drain();
	task_state = state;
}

static bool runs(void)
{
	return task_state == 0;
}

static int schedule_hrtimeout_range(ktime_t *until, u64 slack, int mode)
{
	(void)slack;
	(void)mode;
	CHECK(!until); /* a timer would wake what was forgotten */
	step();
	drain();
	wait_for(runs);
	return -EINTR;
}

bool thread_work_pending(void)
{
	return taken == (1u << posters) - 1;
}

int thread_work_do(void)
{
	return -EINTR;
}

static bool leaves_the_guest(void)
{
	return ipi || thread_work_pending();
}

static void take_interrupts(void)
{
	int vector;

	vlapic_merge(&lapic);
	while ((vector = vlapic_next_interrupt(&lapic)) >= 0) {
		vlapic_ack(&lapic, (uint8_t)vector);
		vlapic_end(&lapic);
		taken |= 1u << (vector - 0x40);
	}
}

static struct hv_vcpu_page vcpu_page;

/* VCPU_RUN and VCPU_BLOCK, as guest_event.c and virt_vm.c do them. */
static long hv_call2(enum hv_call number, u64 vm, u64 index)
{
	(void)vm;
	(void)index;
	if (number == HV_CALL_VCPU_BLOCK) {
		vlapic_merge(&lapic);
		return vlapic_next_interrupt(&lapic) >= 0 ? -HV_ERR_AGAIN : 0;
	}
	CHECK_EQ(number, HV_CALL_VCPU_RUN);
	take_interrupts();
	if (guest_halts) {
		vcpu_page.deadline_tsc = UINT64_MAX;
		return HV_VCPU_EXIT_HLT;
	}
	step(); /* VM entry */
	drain();
	wait_for(leaves_the_guest);
	return HV_VCPU_EXIT_INTR;
}

/* No PIC here. */
bool irqchip_wants_window(const struct vcpu *vcpu)
{
	(void)vcpu;
	return false;
}

/* What the code names and this test does not reach. */
#define UNREACHED(type, name, ...)                                                                 \
	type name(__VA_ARGS__)                                                                     \
	{                                                                                          \
		test_fail(__FILE__, __LINE__, "%s() was called", #name);                           \
	}
UNREACHED(int, vcpu_emulate, struct vcpu *)
UNREACHED(int, vcpu_task_switch, struct vcpu *)
UNREACHED(int, vcpu_emulate_answered, struct vcpu *)
UNREACHED(bool, irqchip_port, struct vm *, u16, unsigned int, bool, u64 *)
UNREACHED(void, irqchip_end, struct vm *, u8)
UNREACHED(int, irqchip_acknowledge, struct vm *)
UNREACHED(int, vcpu_sync_from_run, struct vcpu *)
UNREACHED(int, vcpu_sync_to_run, struct vcpu *)
UNREACHED(bool, ioeventfd_port_write, struct vm *, const struct hv_vcpu_page *)
UNREACHED(void, ioeventfd_rung, struct vcpu *)
UNREACHED(void, vcpu_kick_many, struct vm *, u64)
UNREACHED(long, hv_to_errno, long)
UNREACHED(const char *, hv_error_text, long)
UNREACHED(static ktime_t, ktime_get, void)
#define ktime_add_ns(a, b)	    ((a) + (ktime_t)(b))
#define mul_u64_u32_div(a, b, c)    ((a) * (u64)(b) / (c))
#define rdtsc()			    UINT64_C(0)
#define vtime_account_guest_enter() ((void)0)
#define vtime_account_guest_exit()  ((void)0)
#define rcu_note_context_switch(x)  ((void)0)
#define sigprocmask(how, new, old)  ((void)(new), (void)(old))
#include "control-domain/driver/vcpu_run.c"

/* ---- the threads */

static struct vcpu vcpu;
static struct vm vm;
static struct kvm_run run_page;

static void sleeper(void)
{
	run_loop(&vcpu);
}

static void poster(void)
{
	struct vlapic_message m = {.vector = (uint8_t)(0x40 + current_thread - POSTERS),
				   .mode = VLAPIC_FIXED,
				   .assert = true};

	if (mutant == KICK_FIRST)
		vcpu_kick(&vcpu);
	if (vlapic_deliver(&lapic, &m) == VLAPIC_NOTIFY && mutant != KICK_FIRST)
		vcpu_kick(&vcpu);
}

static void thread_main(void)
{
	__sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_stack_bytes);
	if (current_thread == VCPU)
		sleeper();
	else
		poster();
	drain();
	self()->done = true;
	to_scheduler(true);
}

/* ---- the search */

static uint8_t choice[DEPTH], choices[DEPTH];
static uint64_t *seen;
static uint64_t states;

static void begin(void)
{
	memset(threads, 0, sizeof(threads));
	memset(page, 0, sizeof(page));
	vlapic_init(&lapic, page, 0, true, 4, 1);
	page[VLAPIC_SVR / 4] = 0x1ff;
	vcpu = (struct vcpu){.vm = &vm, .run = &run_page, .page = &vcpu_page, .running_on = -1};
	memset(&vcpu_page, 0, sizeof(vcpu_page));
	irqs_off = ipi = false;
	task_state = 0;
	taken = 0;
	for (unsigned int i = 0; i < POSTERS + posters; i++) {
		getcontext(&threads[i].context);
		threads[i].context.uc_stack.ss_sp = stacks[i];
		threads[i].context.uc_stack.ss_size = STACK_BYTES;
		makecontext(&threads[i].context, thread_main, 0);
	}
}

static uint64_t state_hash(void)
{
	uint64_t h = mix(mix(mix(vcpu.woken, (uint64_t)vcpu.running_on), (uintptr_t)vcpu.wait.task),
			 irqs_off | ipi << 1 | task_state << 2 | (uint64_t)taken << 8);

	h = mix(mix(h, lapic.posted.pir[1]), lapic.posted.control);
	h = mix(h, page[VLAPIC_IRR / 4 + 8]);
	for (unsigned int i = 0; i < POSTERS + posters; i++) {
		h = mix(mix(h, threads[i].history), threads[i].done);
		for (unsigned int n = 0; n < threads[i].stores; n++)
			h = mix(mix(h, (uintptr_t)threads[i].store[n].at),
				threads[i].store[n].value);
		h = mix(h, threads[i].stores);
	}
	return h | 1;
}

static bool seen_before(uint64_t hash)
{
	for (size_t i = hash % STATES;; i = (i + 1) % STATES) {
		if (seen[i] == hash)
			return true;
		if (!seen[i]) {
			CHECK(++states < STATES / 2);
			seen[i] = hash;
			return false;
		}
	}
}

static void run_thread(unsigned int i)
{
	void *fake;

	current_thread = i;
	__sanitizer_start_switch_fiber(&fake, stacks[i], STACK_BYTES);
	swapcontext(&scheduler, &threads[i].context);
	__sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

/* One run along choice[], further by first choices; false if it lost a wake-up. */
static bool run_once(unsigned int replayed)
{
	begin();
	for (unsigned int depth = 0;; depth++) {
		unsigned int options[2 * THREADS], count = 0;

		CHECK(depth < DEPTH);
		for (unsigned int i = 0; i < POSTERS + posters; i++) {
			if (!threads[i].done && (!threads[i].waits_for || threads[i].waits_for()))
				options[count++] = i;
			if (threads[i].stores) /* reaches memory now */
				options[count++] = THREADS + i;
		}
		choices[depth] = (uint8_t)count;
		if (!count)
			return threads[VCPU].done;
		if (depth >= replayed) {
			choice[depth] = 0;
			if (seen_before(state_hash())) {
				choices[depth] = 0;
				return true;
			}
		}
		if (options[choice[depth]] >= THREADS)
			drain_one(&threads[options[choice[depth]] - THREADS]);
		else
			run_thread(options[choice[depth]]);
	}
}

/* True if some interleaving loses a wake-up. */
static bool can_lose(unsigned int how_many, bool halts, enum mutant which)
{
	unsigned int replayed = 0, depth;

	posters = how_many;
	guest_halts = halts;
	mutant = which;
	seen = calloc(STATES, sizeof(*seen));
	CHECK(seen);
	states = 0;
	for (;;) {
		if (!run_once(replayed))
			break;
		for (depth = 0; choices[depth]; depth++)
			;
		while (depth && choice[depth - 1] + 1 == choices[depth - 1])
			depth--;
		if (!depth) {
			free(seen);
			return false;
		}
		choice[depth - 1]++;
		replayed = depth;
	}
	free(seen);
	return true;
}

TEST(a_halting_vcpu_is_woken)
{
	CHECK(!can_lose(1, true, AS_IT_IS));
	CHECK(!can_lose(2, true, AS_IT_IS));
	CHECK(states > 1000);
}

TEST(a_running_vcpu_is_interrupted)
{
	CHECK(!can_lose(1, false, AS_IT_IS));
	CHECK(!can_lose(2, false, AS_IT_IS));
	CHECK(states > 1000);
}

TEST(a_missing_barrier_is_found)
{
	CHECK(can_lose(1, true, NO_BARRIER));
	CHECK(can_lose(1, false, NO_BARRIER));
}

TEST(a_wrong_order_is_found)
{
	CHECK(can_lose(1, true, KICK_FIRST));
	CHECK(can_lose(1, false, KICK_FIRST));
}

TEST(a_missing_kick_is_found)
{
	CHECK(can_lose(1, true, NO_WAKE));
	CHECK(can_lose(1, false, NO_INTERRUPT));
}
