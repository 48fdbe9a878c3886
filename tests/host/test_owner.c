// SPDX-License-Identifier: MIT
// sources: vmm/owner.c vmm/debt.c
/*
 * Memory ownership against a model, together with what ownership is for: CPUs with TLBs.
 *
 * The model is an array of plain facts per frame and predicts the result of every call. Around it
 * runs a small machine: page tables (one space per VM, one for the control domain), CPUs that cache
 * translations until they flush, quiescent CPUs, and payments whose three steps are interleaved
 * with everything else. A cached translation remembers which life of the frame it belongs to; using
 * one after the frame was scrubbed or handed out again is the violation that debts exist to
 * prevent. The same machine with one debt left out must find violations, or it proves nothing.
 */
#include "test.h"

#include <debt.h>
#include <owner.h>

enum { CPUS = 3, VMS = 3, MAX_FRAMES = 1027, CACHED = 8, CONTROL_SPACE = VMS };
enum { ALL_DIRTY = (1 << SCRUB_PARTS) - 1 };

enum fault {
	FAULT_NONE,
	FAULT_SKIP_DEBT,
	FAULT_SKIP_FLUSH,
	FAULT_FLUSH_BEFORE_BEGIN,
	FAULT_RESUME_STALE
};

struct cached {
	bool valid;
	unsigned int space, frame, life;
};

struct fake_cpu {
	enum { RUNNING, BEGUN, FLUSHED, QUIET, WAKING } state;
	uint64_t begun;
	struct cached tlb[CACHED];
};

struct fact {
	enum owner_kind kind;
	unsigned int vm, mapped[VMS + 1], life;
	bool shared;
	unsigned int dirt; /* WAITING, SCRUBBING: bit n: part n is not zero; FREE: must be 0 */
};

struct machine {
	struct owner_table t;
	struct debt d, forged;
	struct debt_cpu paid[CPUS];
	struct fake_cpu cpu[CPUS];
	struct fact fact[MAX_FRAMES];
	unsigned int taken[MAX_FRAMES]; /* from which part on, by whoever scrubs it */
	unsigned int left;		/* frame left half zeroed, 0: none */
	unsigned int frames, free, violations;
	enum fault fault;
	uint64_t table[(MAX_FRAMES * sizeof(struct frame) + 3 * sizeof(struct frame_group)) / 8];
};

static uint64_t seed;

static unsigned int rnd(unsigned int below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned int)((seed >> 33) % below);
}

/* Pool: all but the first frame (hypervisor) and the second (control domain). */
static void machine_init(struct machine *m, unsigned int frames, enum fault fault)
{
	memset(m, 0, sizeof(*m));
	m->frames = frames;
	m->fault = fault;
	CHECK(owner_table_bytes(frames * FRAME_SIZE) <= sizeof(m->table));
	owner_init(&m->t, m->table, frames * FRAME_SIZE);
	debt_init(&m->d, m->paid, CPUS);
	debt_init(&m->forged, NULL, 0); /* never owed anything */
	for (unsigned int i = 0; i < CPUS; i++)
		m->cpu[i].state = QUIET;
	CHECK_EQ(owner_assign(&m->t, HPA(FRAME_SIZE), FRAME_SIZE, OWNER_CONTROL), 0);
	CHECK_EQ(owner_assign(&m->t, HPA(0x1000), 1, OWNER_HYPERVISOR), 0);
	CHECK_EQ(owner_assign(&m->t, HPA(2 * FRAME_SIZE), (frames - 2) * FRAME_SIZE, OWNER_WAITING),
		 0);
	m->fact[0].kind = OWNER_HYPERVISOR;
	m->fact[1].kind = OWNER_CONTROL;
	for (unsigned int i = 2; i < frames; i++) {
		m->fact[i].kind = OWNER_WAITING;
		m->fact[i].dirt = ALL_DIRTY;
	}
}

static void machine_check(const struct machine *m)
{
	uint64_t count[OWNER_KINDS] = {0};

	for (unsigned int i = 0; i < m->frames; i++) {
		const struct frame *f = owner_of(&m->t, HPA(i * FRAME_SIZE + 5));
		const struct fact *is = &m->fact[i];
		uint64_t mapped = 0;

		for (unsigned int v = 0; v < VMS; v++)
			mapped += is->mapped[v];
		CHECK_EQ(f->kind, is->kind);
		count[is->kind]++;
		if (is->kind == OWNER_VM || is->kind == OWNER_ARENA)
			CHECK_EQ(f->vm, is->vm);
		else
			CHECK_EQ(f->vm, OWNER_NO_VM);
		if (is->kind == OWNER_VM)
			CHECK_EQ(f->mapped, mapped * (FRAME_SIZE / PAGE_SIZE));
		if (is->kind == OWNER_WAITING || is->kind == OWNER_SCRUBBING)
			CHECK_EQ(is->dirt & ((1u << f->zeroed) - 1), 0);
		else
			CHECK_EQ(f->shared, is->shared);
	}
	for (unsigned int k = 0; k < OWNER_KINDS; k++)
		CHECK_EQ(m->t.count[k], count[k]);
	CHECK_EQ(owner_free(&m->t), count[OWNER_FREE]);
	for (uint64_t g = 0; g < m->t.groups; g++) {
		uint64_t free = 0;

		for (unsigned int w = 0; w < 8; w++)
			free += (unsigned int)__builtin_popcountll(m->t.group[g].free[w]);
		CHECK_EQ(m->t.group[g].frees, free);
	}
}

/* ---- the machine's side: what CPUs do */

static bool space_maps(const struct machine *m, unsigned int space, unsigned int frame)
{
	const struct fact *f = &m->fact[frame];

	if (space == CONTROL_SPACE)
		return f->kind == OWNER_CONTROL || f->shared;
	return f->mapped[space] > 0;
}

static void cpu_flush(struct fake_cpu *c)
{
	memset(c->tlb, 0, sizeof(c->tlb));
}

static void cpu_access(struct machine *m, unsigned int cpu, unsigned int space, unsigned int frame)
{
	struct fake_cpu *c = &m->cpu[cpu];

	if (c->state == QUIET || c->state == WAKING)
		return;
	for (unsigned int i = 0; i < CACHED; i++) {
		const struct cached *e = &c->tlb[i];
		const struct fact *f = &m->fact[e->frame];

		if (e->valid && e->space == space &&
		    (f->life != e->life || f->kind == OWNER_FREE || f->kind == OWNER_SCRUBBING))
			m->violations++;
	}
	if (space_maps(m, space, frame))
		c->tlb[rnd(CACHED)] = (struct cached){true, space, frame, m->fact[frame].life};
}

/* One step in the life of a CPU: begin, flush, end; or into quiescence, or out of it. */
static void cpu_step(struct machine *m, unsigned int cpu, bool sleep)
{
	struct fake_cpu *c = &m->cpu[cpu];

	switch (c->state) {
	case RUNNING:
		if (sleep) {
			debt_cpu_quiesce(&m->d, cpu);
			c->state = QUIET;
			break;
		}
		c->begun = debt_pay_begin(&m->d);
		c->state = BEGUN;
		if (m->fault == FAULT_FLUSH_BEFORE_BEGIN)
			cpu_flush(c);
		break;
	case BEGUN:
		if (m->fault == FAULT_FLUSH_BEFORE_BEGIN)
			c->begun = debt_pay_begin(&m->d);
		else if (m->fault != FAULT_SKIP_FLUSH || cpu)
			cpu_flush(c);
		c->state = FLUSHED;
		break;
	case FLUSHED:
		debt_pay_end(&m->d, cpu, c->begun);
		CHECK(m->fault || debt_pay_begin(&m->d) > c->begun || !debt_owes(&m->d, cpu));
		c->state = RUNNING;
		break;
	case QUIET:
		debt_cpu_resume(&m->d, cpu);
		c->state = m->fault == FAULT_RESUME_STALE ? RUNNING : WAKING;
		break;
	case WAKING:
		cpu_flush(c);
		c->state = RUNNING;
		break;
	}
}

/* ---- the hypervisor's side: calls, each predicted */

static unsigned int fact_count(const struct machine *m, enum owner_kind kind)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < m->frames; i++)
		n += m->fact[i].kind == kind;
	return n;
}

static void do_alloc(struct machine *m, enum owner_kind kind, unsigned int vm, unsigned int count)
{
	static hpa_t frames[MAX_FRAMES];
	unsigned int free = fact_count(m, OWNER_FREE);
	unsigned int later = fact_count(m, OWNER_WAITING) + fact_count(m, OWNER_SCRUBBING);
	int want = 0;

	if ((kind != OWNER_VM && kind != OWNER_ARENA) || !count)
		want = -HV_ERR_INVAL;
	else if (count > free)
		want = count <= free + later ? -HV_ERR_AGAIN : -HV_ERR_NOMEM;
	CHECK_EQ(owner_alloc(&m->t, kind, (uint16_t)vm, count, frames), want);
	for (unsigned int i = 0; !want && i < count; i++) {
		struct fact *f = &m->fact[frames[i].v / FRAME_SIZE];

		CHECK_EQ(f->kind, OWNER_FREE);
		CHECK_EQ(f->dirt, 0);
		f->dirt = ALL_DIRTY;
		f->kind = kind;
		f->vm = vm;
		f->life++;
	}
}

enum call { MAP, UNMAP, SHARE, UNSHARE, RECLAIM, CALLS };

static int predict(const struct machine *m, enum call call, unsigned int vm, unsigned int first,
		   unsigned int count)
{
	if (!count || first + count > m->frames)
		return -HV_ERR_INVAL;
	for (unsigned int i = first; i < first + count; i++) {
		const struct fact *f = &m->fact[i];
		bool mine = f->kind == OWNER_VM && f->vm == vm;
		unsigned int mapped = 0;

		for (unsigned int v = 0; v < VMS; v++)
			mapped += f->mapped[v];
		if (call <= UNMAP && !mine)
			return -HV_ERR_OWNER;
		if (call == UNMAP && !mapped)
			return -HV_ERR_STATE;
		if ((call == SHARE || call == UNSHARE) && !mine)
			return -HV_ERR_OWNER;
		if ((call == SHARE && f->shared) || (call == UNSHARE && !f->shared))
			return -HV_ERR_STATE;
		if (call == RECLAIM && !mine && !(f->kind == OWNER_ARENA && f->vm == vm))
			return -HV_ERR_OWNER;
		if (call == RECLAIM && (mapped || f->shared))
			return -HV_ERR_BUSY;
	}
	return 0;
}

static void do_call(struct machine *m, enum call call, unsigned int vm, unsigned int first,
		    unsigned int count)
{
	hpa_t frame = HPA(first * FRAME_SIZE);
	uint64_t bytes = count * FRAME_SIZE;

	if (call > UNMAP)
		count = 1;

	int want = predict(m, call, vm, first, count), got = 0;
	uint64_t epoch = 0, bitmap[1];

	switch (call) {
	case MAP:
		got = owner_map_pages(&m->t, (uint16_t)vm, frame, bytes);
		break;
	case UNMAP:
		got = owner_unmap_pages(&m->t, (uint16_t)vm, frame, bytes);
		break;
	case SHARE:
		got = owner_share(&m->t, (uint16_t)vm, frame, true);
		break;
	case UNSHARE:
		got = owner_share(&m->t, (uint16_t)vm, frame, false);
		break;
	default:
		got = owner_reclaim(&m->t, &m->d, (uint16_t)vm, frame, &epoch);
	}
	CHECK_EQ(got, want);
	for (unsigned int i = first; !want && i < first + count; i++) {
		struct fact *f = &m->fact[i];

		f->mapped[vm] += (call == MAP) - (call == UNMAP);
		f->shared = call == SHARE || (f->shared && call != UNSHARE);
		if (call == RECLAIM)
			f->kind = OWNER_WAITING;
	}
	if (call == RECLAIM && !want)
		for (unsigned int c = 0; c < CPUS; c++) {
			debt_owing(&m->d, epoch, bitmap, 1);
			CHECK_EQ(bitmap[0] >> c & 1, m->cpu[c].state != QUIET);
		}
}

/* What whoever took frame @i has zeroed: all of it, or up to part @to. */
static void do_zero(struct machine *m, unsigned int i, unsigned int to)
{
	struct fact *f = &m->fact[i];
	unsigned int from = m->taken[i];

	if (to < from) {
		CHECK_EQ(owner_scrub_leave(&m->t, HPA(i * FRAME_SIZE + to * SCRUB_PART)),
			 -HV_ERR_INVAL);
		to = from;
	}
	for (unsigned int part = from; part < to; part++)
		f->dirt &= ~(1u << part);
	f->kind = to == SCRUB_PARTS ? OWNER_FREE : OWNER_WAITING;
	if (to == SCRUB_PARTS) {
		CHECK_EQ(owner_scrub_done(&m->t, HPA(i * FRAME_SIZE)), 0);
		return;
	}
	CHECK_EQ(owner_scrub_leave(&m->t, HPA(i * FRAME_SIZE + to * SCRUB_PART)), 0);
	m->left = i;
}

static void do_scrub(struct machine *m, bool finish)
{
	bool skip = m->fault == FAULT_SKIP_DEBT;
	hpa_t at;
	uint64_t epoch, bitmap[1];
	unsigned int i;
	int err;

	for (i = 0; finish && i < m->frames; i++) {
		if (m->fact[i].kind == OWNER_SCRUBBING) {
			do_zero(m, i, rnd(4) ? SCRUB_PARTS : rnd(SCRUB_PARTS));
			return;
		}
		if (rnd(16) == 0)
			CHECK_EQ(owner_scrub_done(&m->t, HPA(i * FRAME_SIZE)), -HV_ERR_STATE);
		if (rnd(16) == 0)
			CHECK_EQ(owner_scrub_leave(&m->t, HPA(i * FRAME_SIZE)), -HV_ERR_STATE);
	}
	if (skip)
		m->forged.epoch = m->d.epoch;
	err = owner_scrub_take(&m->t, skip ? &m->forged : &m->d, &at, &epoch);
	if (err == -HV_ERR_NOENT)
		CHECK_EQ(fact_count(m, OWNER_WAITING), 0);
	else if (err)
		CHECK(debt_owing(&m->d, epoch, bitmap, 1) > 0);
	if (err)
		return;
	i = (unsigned int)(at.v / FRAME_SIZE);
	CHECK_EQ(m->fact[i].kind, OWNER_WAITING);
	CHECK(!m->left || i == m->left); /* what was begun comes first */
	m->left = 0;
	m->fact[i].kind = OWNER_SCRUBBING;
	m->taken[i] = (unsigned int)(at.v % FRAME_SIZE / SCRUB_PART);
}

static void machine_random(struct machine *m, unsigned int steps, unsigned int most)
{
	while (steps--) {
		unsigned int first = rnd(m->frames + 1), count = rnd(most);
		unsigned int what = rnd(100), vm = rnd(VMS);
		enum call call = (enum call)rnd(CALLS);

		/* mostly calls that will succeed */
		for (unsigned int try = 0;
		     what > 20 && try < 20 && predict(m, call, vm, first, count); try++)
			first = rnd(m->frames), count = 1 + rnd(2), vm = rnd(VMS);
		if (what < 10)
			do_alloc(m, what ? rnd(4) ? OWNER_VM : OWNER_ARENA : rnd(OWNER_KINDS), vm,
				 count);
		else if (what < 50)
			do_call(m, call, vm, first, count);
		else if (what < 65)
			do_scrub(m, rnd(2));
		else if (what < 75)
			cpu_step(m, rnd(CPUS), rnd(8) == 0);
		else
			cpu_access(m, rnd(CPUS), rnd(VMS + 1), rnd(m->frames));
		if (rnd(64) == 0)
			machine_check(m);
	}
	machine_check(m);
}

static unsigned int violations(enum fault fault)
{
	static struct machine m;
	unsigned int sum = 0;

	for (seed = 1; seed < 40;) {
		uint64_t start = seed;

		machine_init(&m, 12, fault);
		machine_random(&m, 6000, 5);
		sum += m.violations;
		seed = start + 1;
	}
	return sum;
}

TEST(no_cpu_uses_a_frame_after_its_life)
{
	CHECK_EQ(violations(FAULT_NONE), 0);
}

TEST(removing_one_debt_is_caught)
{
	CHECK(violations(FAULT_SKIP_DEBT) > 0);
	CHECK(violations(FAULT_SKIP_FLUSH) > 0);
	CHECK(violations(FAULT_FLUSH_BEFORE_BEGIN) > 0);
	CHECK(violations(FAULT_RESUME_STALE) > 0);
}

TEST(large_machine_against_the_model)
{
	static struct machine m;

	for (seed = 100; seed < 104;) {
		uint64_t start = seed;

		machine_init(&m, MAX_FRAMES, FAULT_NONE);
		for (unsigned int i = 0; i < 600; i++)
			do_scrub(&m, i & 1), do_scrub(&m, true);
		machine_random(&m, 4000, 700);
		seed = start + 1;
	}
}

/* ---- every sequence of calls up to a depth, on a machine of four frames */

static void relocate(struct machine *m)
{
	m->t.frame = (struct frame *)m->table;
	m->t.group = (struct frame_group *)(m->t.frame + m->t.frames);
	m->d.cpu = m->paid;
}

static void explore(void)
{
	enum { DEPTH = 4, OPS = 2 + CALLS * 2 * 2 + 2 + 2 * 3 };
	static struct machine stack[DEPTH + 1];
	unsigned int op[DEPTH] = {0}, depth = 0;

	machine_init(&stack[0], 4, FAULT_NONE);
	for (unsigned int i = 0; i < 2; i++) /* interesting from here: all free, two CPUs awake */
		do_scrub(&stack[0], false), do_zero(&stack[0], 2 + i, SCRUB_PARTS);
	for (unsigned int c = 0; c < 2; c++)
		cpu_step(&stack[0], c, false), cpu_step(&stack[0], c, false);
	do_alloc(&stack[0], OWNER_VM, 0, 1);
	for (;;) {
		if (depth == DEPTH || op[depth] == OPS) {
			if (!depth)
				break;
			if (depth < DEPTH)
				op[depth] = 0;
			op[--depth]++;
			continue;
		}
		struct machine *m = &stack[depth + 1];
		unsigned int o = op[depth++];

		memcpy(m, &stack[depth - 1], sizeof(*m));
		relocate(m);
		if (o < 2)
			do_alloc(m, OWNER_VM, o, 1);
		else if ((o -= 2) < CALLS * 4)
			do_call(m, (enum call)(o / 4), o & 1, 2 + (o >> 1 & 1), 1);
		else if ((o -= CALLS * 4) < 2)
			do_scrub(m, o);
		else if ((o -= 2) < 4)
			cpu_step(m, o & 1, o >> 1);
		else
			cpu_access(m, 0, o & 1, 2), cpu_access(m, 1, CONTROL_SPACE, 2);
		machine_check(m);
		CHECK_EQ(m->violations, 0);
	}
}

TEST(every_short_sequence)
{
	explore();
}

/* ---- facts that the model cannot state */

static void scrub_all(struct machine *m)
{
	hpa_t at;
	uint64_t epoch;

	while (owner_scrub_take(&m->t, &m->d, &at, &epoch) == 0)
		CHECK_EQ(owner_scrub_done(&m->t, at), 0);
}

TEST(a_frame_left_half_zeroed_is_never_handed_out)
{
	static struct machine m;
	hpa_t dirt, frames[4], first = HPA(2 * FRAME_SIZE);
	uint64_t epoch;

	machine_init(&m, 4, FAULT_NONE);
	for (unsigned int part = 0; part < SCRUB_PARTS; part++) {
		CHECK_EQ(owner_scrub_take(&m.t, &m.d, &dirt, &epoch), 0);
		CHECK_EQ(dirt.v, first.v + part * SCRUB_PART);
		CHECK_EQ(owner_alloc(&m.t, OWNER_VM, 1, 1, frames), -HV_ERR_AGAIN);
		dirt.v += SCRUB_PART;
		if (part == SCRUB_PARTS - 1)
			break;
		CHECK_EQ(owner_scrub_leave(&m.t, HPA(dirt.v + PAGE_SIZE)), -HV_ERR_INVAL);
		CHECK_EQ(owner_scrub_leave(&m.t, dirt), 0);
		CHECK_EQ(owner_scrub_leave(&m.t, dirt), -HV_ERR_STATE);
		CHECK_EQ(owner_alloc(&m.t, OWNER_VM, 1, 1, frames), -HV_ERR_AGAIN);
	}
	/* a second one is taken and left meanwhile: both come back, where they were */
	CHECK_EQ(owner_scrub_take(&m.t, &m.d, &dirt, &epoch), 0);
	CHECK_EQ(dirt.v, first.v + FRAME_SIZE);
	CHECK_EQ(owner_scrub_leave(&m.t, HPA(dirt.v + SCRUB_PART)), 0);
	CHECK_EQ(owner_scrub_leave(&m.t, HPA(first.v + 3 * SCRUB_PART)), -HV_ERR_INVAL);
	CHECK_EQ(owner_scrub_leave(&m.t, HPA(first.v + 15 * SCRUB_PART)), 0);
	CHECK_EQ(owner_scrub_take(&m.t, &m.d, &dirt, &epoch), 0);
	CHECK_EQ(dirt.v, first.v + 15 * SCRUB_PART);
	CHECK_EQ(owner_scrub_take(&m.t, &m.d, &dirt, &epoch), 0);
	CHECK_EQ(dirt.v, first.v + FRAME_SIZE + SCRUB_PART);
	CHECK_EQ(owner_scrub_take(&m.t, &m.d, &dirt, &epoch), -HV_ERR_NOENT);
	CHECK_EQ(owner_scrub_done(&m.t, first), 0);
	CHECK_EQ(owner_alloc(&m.t, OWNER_VM, 1, 1, frames), 0);
	CHECK_EQ(frames[0].v, first.v);
	/* dirty again from its beginning, once it was somebody's */
	CHECK_EQ(owner_reclaim(&m.t, &m.d, 1, first, &epoch), 0);
	CHECK_EQ(owner_scrub_done(&m.t, HPA(first.v + FRAME_SIZE)), 0);
	CHECK_EQ(owner_scrub_take(&m.t, &m.d, &dirt, &epoch), 0);
	CHECK_EQ(dirt.v, first.v);
}

TEST(grants_leave_gibibytes_whole)
{
	static struct machine m;
	static hpa_t at[MAX_FRAMES];

	machine_init(&m, MAX_FRAMES, FAULT_NONE);
	scrub_all(&m);
	CHECK_EQ(owner_alloc(&m.t, OWNER_VM, 1, 3, at), 0);
	CHECK_EQ(at[0].v, 2 * FRAME_SIZE); /* from the GiB that was never whole */
	CHECK_EQ(owner_alloc(&m.t, OWNER_VM, 1, 507, at), 0);
	CHECK_EQ(owner_alloc(&m.t, OWNER_ARENA, 1, 1, at), 0);
	CHECK_EQ(at[0].v, 1024 * FRAME_SIZE); /* the stump at the end of RAM */
	CHECK_EQ(owner_alloc(&m.t, OWNER_ARENA, 1, 3, at), 0);
	CHECK_EQ(m.t.group[1].frees, 511);
}

TEST(a_gibibyte_granted_piece_by_piece_is_in_order)
{
	static struct machine m;
	hpa_t at[16], next = HPA(0);

	machine_init(&m, MAX_FRAMES, FAULT_NONE);
	scrub_all(&m);
	CHECK_EQ(owner_assign(&m.t, HPA(0), 1, OWNER_CONTROL), -HV_ERR_STATE);
	for (unsigned int n = 0; n < 510 + 3 + 512; n += 1)
		CHECK_EQ(owner_alloc(&m.t, OWNER_VM, n < 513 ? 1 : 2, 1, at), 0);
	for (unsigned int n = 0; n < 512; n++, next.v += FRAME_SIZE) {
		CHECK(owner_next(&m.t, 2, &next));
		CHECK_EQ(next.v, GIB + n * FRAME_SIZE);
	}
}

TEST(boot_time_claims)
{
	static struct machine m;
	struct owner_table *t = &m.t;

	owner_init(t, m.table, 16 * FRAME_SIZE);
	CHECK_EQ(owner_assign(t, HPA(2 * FRAME_SIZE), 1, OWNER_HYPERVISOR), 0);
	/* one byte of another owner makes a frame the hypervisor's */
	CHECK_EQ(owner_assign(t, HPA(3 * FRAME_SIZE - 1), 2, OWNER_CONTROL), 0);
	CHECK_EQ(owner_of(t, HPA(2 * FRAME_SIZE))->kind, OWNER_HYPERVISOR);
	CHECK_EQ(owner_of(t, HPA(3 * FRAME_SIZE))->kind, OWNER_CONTROL);
	CHECK_EQ(owner_assign(t, HPA(0), FRAME_SIZE + 1, OWNER_CONTROL), 0);
	CHECK_EQ(owner_assign(t, HPA(0), 1, OWNER_HYPERVISOR), 0);
	CHECK_EQ(owner_assign(t, HPA(0), 1, OWNER_CONTROL), 0);
	CHECK_EQ(owner_of(t, HPA(0))->kind, OWNER_HYPERVISOR);
	CHECK_EQ(owner_of(t, HPA(FRAME_SIZE))->kind, OWNER_CONTROL);
	CHECK_EQ(owner_assign(t, HPA(5 * FRAME_SIZE + 5), 0, OWNER_CONTROL), 0);
	CHECK_EQ(owner_of(t, HPA(5 * FRAME_SIZE))->kind, OWNER_NONE);
	CHECK_EQ(owner_assign(t, HPA(0), 17 * FRAME_SIZE, OWNER_CONTROL), -HV_ERR_INVAL);
	CHECK_EQ(owner_assign(t, HPA(0), 1, OWNER_VM), -HV_ERR_INVAL);
	CHECK_EQ(owner_assign(t, HPA(0), UINT64_MAX, OWNER_CONTROL), -HV_ERR_INVAL);
	/* the pool takes whole frames only, and none that has an owner */
	CHECK_EQ(owner_assign(t, HPA(FRAME_SIZE + 0x1000), 10 * FRAME_SIZE, OWNER_WAITING), 0);
	CHECK_EQ(t->count[OWNER_WAITING], 7);
	CHECK_EQ(owner_of(t, HPA(11 * FRAME_SIZE))->kind, OWNER_NONE);
	CHECK_EQ(owner_assign(t, HPA(0), 1, OWNER_CONTROL), -HV_ERR_STATE);
	debt_init(&m.d, m.paid, CPUS);
	scrub_all(&m);
	CHECK_EQ(owner_free(t), 7);
	CHECK_EQ(owner_assign(t, HPA(0), 1, OWNER_CONTROL), -HV_ERR_STATE);
	CHECK(owner_of(t, HPA(16 * FRAME_SIZE)) == NULL);
}

TEST(arguments_that_make_no_sense)
{
	static struct machine m;
	hpa_t odd = HPA(2 * FRAME_SIZE + 0x800), at;
	uint64_t epoch;

	machine_init(&m, 12, FAULT_NONE);
	CHECK_EQ(owner_map_pages(&m.t, 1, odd, PAGE_SIZE), -HV_ERR_INVAL);
	CHECK_EQ(owner_map_pages(&m.t, 1, HPA(FRAME_SIZE), UINT64_MAX & ~(PAGE_SIZE - 1)),
		 -HV_ERR_INVAL);
	CHECK_EQ(owner_map_pages(&m.t, OWNER_NO_VM, HPA(FRAME_SIZE), PAGE_SIZE), -HV_ERR_INVAL);
	CHECK_EQ(owner_share(&m.t, 1, odd, true), -HV_ERR_INVAL);
	CHECK_EQ(owner_share(&m.t, 1, HPA(12 * FRAME_SIZE), true), -HV_ERR_INVAL);
	CHECK_EQ(owner_reclaim(&m.t, &m.d, OWNER_NO_VM, HPA(0), &epoch), -HV_ERR_INVAL);
	CHECK_EQ(owner_alloc(&m.t, OWNER_VM, OWNER_NO_VM, 1, &at), -HV_ERR_INVAL);
	CHECK_EQ(owner_scrub_done(&m.t, odd), -HV_ERR_STATE);
}
