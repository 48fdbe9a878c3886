// SPDX-License-Identifier: MIT
/*
 * See machine_state.h. RAM is a mapping of this process in which only what the hypervisor has
 * mapped is accessible, as on the machine: frame 0 is its heap, 1 and 2 are the control domain's,
 * the rest is the pool. A TLB is one bit per frame and CPU: set while any table maps the frame,
 * cleared by a flush. VMCSs are arrays of fields, and are active on one CPU at a time.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <abi/info.h>
#include <calls.h>
#include <crash.h>
#include <hypercall.h>
#include <log.h>
#include <panic.h>
#include <platform.h>
#include <pool.h>
#include <split.h>
#include <tlb.h>
#include <vm.h>
#include <x86/gdt.h>
#include <x86/mem.h>
#include <x86/speculation.h>
#include <x86/virt.h>
#include <x86/vmx/control_ept.h>

#include "machine_state.h"

enum {
	CPUS = 3,
	FRAMES = 24,
	POOL_FIRST = 3,
	RESERVE = 24, /* pages of heap for the control domain's map: few, so that it runs out */
	VMCSS = 64,
	FIELDS = 1024,
	PAYS_MAX = 2 * FRAMES,
	MACHINE_MSRS = 32,
};
#define BYTES	  (FRAMES * FRAME_SIZE)
#define APIC_PAGE (8 * PAGE_SIZE) /* in frame 0, as are: */
#define SINK_PAGE (9 * PAGE_SIZE)
#define SINK	  (10 * PAGE_SIZE)
#define CALL_PAGE (16 * PAGE_SIZE)
#define HEAP	  (32 * PAGE_SIZE)

static uint8_t *ram;

static struct vmcs {
	uint64_t hpa; /* 0: none */
	int active;   /* CPU, or -1 */
	uint64_t field[FIELDS];
} vmcss[VMCSS];

static struct {
	struct cpu cpu[CPUS];
	struct vmx_cpu vmx[CPUS];
	struct vmcs *current[CPUS];
	struct desc_tables *tables;
	struct debt_cpu debt[CPUS];
	uint8_t table[FRAMES * sizeof(struct frame) + sizeof(struct frame_group)] __aligned(8);
	uint64_t mapped[FRAMES]; /* pages, over all VMs' tables */
	uint64_t promised;	 /* table pages that one VM's large leaves may need */
	uint64_t lent;		 /* pages of the control domain's, in one VM's */
	uint16_t zeroed[FRAMES]; /* parts, since it was somebody's */
	uint8_t stale[FRAMES];	 /* bit: this CPU's TLB may hold it */
	bool accessible[FRAMES]; /* the hypervisor maps it */
	bool shown[FRAMES], dead[CPUS];
	struct {
		uint32_t number;
		uint64_t value;
	} msr[CPUS][MACHINE_MSRS];
	unsigned int now, tables_at_start, predictor_barriers;
	uint64_t tsc, window;
} m;

static struct cpu *cpus[CPUS];

unsigned int cpu_count = CPUS;
struct cpu **cpu_table = cpus;
struct platform platform;
struct memory_split control_split;
char idt[16];
const char vmx_exit[1], vmx_guest_exit[1];

void machine_broken(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	abort();
}

/* ---- what machine.h replaces */

struct cpu *machine_cpu(void)
{
	return &m.cpu[m.now];
}

uint64_t machine_tsc(void)
{
	return m.tsc += 100;
}

bool machine_rdmsr(uint32_t msr, uint64_t *value)
{
	*value = msr;
	return msr == MSR_PAT || msr == MSR_EFER;
}

/* One that was never written is 0. */
static uint64_t *kept_msr(uint32_t msr)
{
	for (unsigned int i = 0; i < MACHINE_MSRS; i++) {
		if (!m.msr[m.now][i].number)
			m.msr[m.now][i].number = msr;
		if (m.msr[m.now][i].number == msr)
			return &m.msr[m.now][i].value;
	}
	machine_broken("more MSRs than are kept: %#x", msr);
}

#define MSR_PRED_CMD 0x49

unsigned int machine_predictor_barriers(void)
{
	return m.predictor_barriers;
}

uint64_t machine_msr(uint32_t msr)
{
	return *kept_msr(msr);
}

bool machine_wrmsr(uint32_t msr, uint64_t value)
{
	if (msr == MSR_PRED_CMD)
		m.predictor_barriers++;
	*kept_msr(msr) = value;
	return msr == MSR_PRED_CMD;
}

static uint64_t *field(uint32_t encoding)
{
	uint32_t number = (encoding >> 1) & 0x1ff;

	if (!m.current[m.now])
		machine_broken("VMCS access without a current VMCS");
	if (number > 63)
		machine_broken("VMCS field %#x", encoding);
	return &m.current[m.now]
			->field[(encoding >> 13 & 3) << 8 | (encoding >> 10 & 3) << 6 | number];
}

uint64_t machine_field(uint32_t encoding)
{
	return *field(encoding);
}

void machine_set_field(uint32_t encoding, uint64_t value)
{
	*field(encoding) = value;
}

static struct vmcs *vmcs_at(uint64_t hpa)
{
	for (unsigned int i = 0; i < VMCSS; i++)
		if (vmcss[i].hpa == hpa)
			return &vmcss[i];
	return NULL;
}

void machine_vmclear(hpa_t hpa)
{
	struct vmcs *vmcs = vmcs_at(hpa.v);

	if (!vmcs) {
		vmcs = vmcs_at(0);
		if (!vmcs)
			machine_broken("more VMCSs than %u", VMCSS);
		*vmcs = (struct vmcs){.hpa = hpa.v, .active = -1};
	}
	if (vmcs->active >= 0 && vmcs->active != (int)m.now)
		machine_broken("VMCLEAR on another CPU than it is active on");
	if (m.current[m.now] == vmcs)
		m.current[m.now] = NULL;
	vmcs->active = -1;
}

void machine_vmptrld(hpa_t hpa)
{
	struct vmcs *vmcs = vmcs_at(hpa.v);

	if (!vmcs)
		machine_broken("VMPTRLD of what is no VMCS");
	if (vmcs->active >= 0 && vmcs->active != (int)m.now)
		machine_broken("VMCS active on two CPUs");
	vmcs->active = (int)m.now;
	m.current[m.now] = vmcs;
}

/* ---- memory, as <x86/mem.h> has it */

static void access_frame(uint64_t frame, int protection)
{
	if (mprotect(ram + frame * FRAME_SIZE, FRAME_SIZE, protection))
		machine_broken("mprotect");
}

hpa_t hpa_of(const void *p)
{
	uint64_t offset = (uint64_t)((const uint8_t *)p - ram);

	if (offset >= BYTES)
		machine_broken("physical address of what is not in RAM");
	return HPA(offset);
}

void *heap_ptr(hpa_t pa)
{
	if (pa.v >= FRAME_SIZE)
		machine_broken("not heap: %#lx", pa.v);
	return ram + pa.v;
}

void *arena_ptr(hpa_t pa)
{
	return ram + pa.v;
}

hpa_t arena_hpa(const void *p)
{
	return hpa_of(p);
}

void *arena_map(hpa_t frame)
{
	if (!m.accessible[frame.v / FRAME_SIZE])
		access_frame(frame.v / FRAME_SIZE, PROT_READ | PROT_WRITE);
	m.accessible[frame.v / FRAME_SIZE] = true;
	return ram + frame.v;
}

void arena_unmap(hpa_t frame)
{
	for (unsigned int i = 0; i < VMCSS; i++) {
		if (align_down(vmcss[i].hpa, FRAME_SIZE) != frame.v)
			continue;
		if (vmcss[i].active >= 0)
			machine_broken("memory of an active VMCS is given back");
		vmcss[i].hpa = 0;
	}
	access_frame(frame.v / FRAME_SIZE, PROT_NONE);
	m.accessible[frame.v / FRAME_SIZE] = false;
}

void *window_open(hpa_t pa)
{
	m.window = align_down(pa.v, PAGE_SIZE);
	if (pa.v >= BYTES || mprotect(ram + m.window, PAGE_SIZE, PROT_READ | PROT_WRITE))
		machine_broken("window to %#lx", pa.v);
	return ram + pa.v;
}

void window_close(void)
{
	if (!m.accessible[m.window / FRAME_SIZE])
		mprotect(ram + m.window, PAGE_SIZE, PROT_NONE);
}

void window_scrub(hpa_t pa, uint64_t bytes)
{
	uint64_t frame = pa.v / FRAME_SIZE;

	if (frame < POOL_FIRST || frame >= FRAMES || !bytes ||
	    !is_aligned(pa.v | bytes, SCRUB_PART) || pa.v % FRAME_SIZE + bytes > FRAME_SIZE)
		machine_broken("scrub of %lu bytes at %#lx", bytes, pa.v);
	if (m.stale[frame])
		machine_broken("%#lx is scrubbed while CPUs may still translate to it", pa.v);
	madvise(ram + pa.v, bytes, MADV_DONTNEED);
	for (uint64_t at = pa.v; at < pa.v + bytes; at += SCRUB_PART)
		m.zeroed[frame] |= (uint16_t)(1u << at % FRAME_SIZE / SCRUB_PART);
}

/* ---- TLBs */

static void flush(unsigned int cpu)
{
	for (unsigned int i = 0; i < FRAMES; i++)
		m.stale[i] &= (uint8_t) ~(1u << cpu);
}

void virt_flush_all(void)
{
	flush(m.now);
}

/* Single contexts are about a vCPU that moved; what frames owe is paid by virt_flush_all() alone.
 */
void __wrap_vmx_flush_ept(uint64_t eptp);
void __wrap_vmx_flush_vpid(uint16_t vpid);

void __wrap_vmx_flush_ept(uint64_t eptp)
{
	(void)eptp;
}

void __wrap_vmx_flush_vpid(uint16_t vpid)
{
	(void)vpid;
}

/* ---- the rest of the hypervisor */

void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	(void)level;
	(void)tag;
	(void)fmt;
}

bool log_allowed(struct log_limit *limit)
{
	(void)limit;
	return false;
}

uint64_t log_head(void)
{
	return 0;
}

size_t log_read(uint64_t *pos, char *buf, size_t n)
{
	buf[n - 1] = 0;
	*pos += *pos < 8;
	return *pos % 8;
}

const char *crash_previous(void)
{
	return "it crashed before";
}

void crash(const struct trap_frame *f, const char *fmt, ...)
{
	va_list list;

	(void)f;
	va_start(list, fmt);
	vfprintf(stderr, fmt, list);
	va_end(list);
	machine_broken("\nthe hypervisor crashed");
}

void *virt_call_page(const struct cpu *cpu)
{
	return cpu->vmx->call_page;
}

const struct hv_cpu_stats *virt_cpu_stats(unsigned int index)
{
	return &m.vmx[index].stats;
}

bool virt_x2apic(void)
{
	return true;
}

bool virt_control_owns(hpa_t base, uint64_t bytes)
{
	return split_is_control(&control_split, base.v, bytes);
}

void control_init(struct vmx_cpu *v)
{
	if (v->vcpu)
		machine_broken("INIT while a guest's VMCS is current");
}

/* vcpu.c, without the registers that a process does not have. */
void vcpu_debug_load(struct vmx_cpu *v, struct vcpu *vcpu)
{
	(void)v;
	(void)vcpu;
}

void vcpu_enter(struct vmx_cpu *v, struct vcpu *vcpu)
{
	if (!vcpu->running || !vm_holds(vcpu->vm))
		machine_broken("a stay without claim or hold");
	vmx_load(vcpu->vmcs);
	v->vcpu = vcpu;
	v->cpu->gprs = &vcpu->page->gprs;
	vcpu->last_cpu = v->cpu->index;
	vcpu->flush_vpid = false;
	vcpu_msrs_load(v, vcpu);
	vcpu_take_orders(vcpu);
	vcpu_prepare(v, vcpu);
}

void vcpu_cr4_is(struct vcpu *vcpu, uint64_t value)
{
	vcpu->osxsave = value & CR4_OSXSAVE;
}

void vcpu_leave(struct vmx_cpu *v, enum hv_vcpu_exit exit)
{
	v->vcpu->page->rip = vmread(VMCS_GUEST_RIP);
	v->vcpu->page->rflags = vmread(VMCS_GUEST_RFLAGS);
	vcpu_leave_told(v, exit);
}

void vcpu_leave_told(struct vmx_cpu *v, enum hv_vcpu_exit exit)
{
	struct vcpu *vcpu = v->vcpu;

	vcpu->page->exit = exit;
	vmx_clear(vcpu->vmcs);
	vmx_load(v->vmcs);
	vcpu_msrs_leave(v, vcpu);
	v->vcpu = NULL;
	v->cpu->gprs = &v->gprs;
	__atomic_store_n(&vcpu->running, 0, __ATOMIC_RELEASE);
	vm_release(vcpu->vm);
}

int64_t call_selftest(struct call *c)
{
	return c->args[0] ? -HV_ERR_INVAL : 0;
}

/* ---- life */

static unsigned int free_tables(void)
{
	unsigned int n = 0;

	for (void **page = control_map.free_pages; page; page = *page)
		n++;
	return n;
}

static void start_memory(void)
{
	struct ept_freed none = {0};

	memset(m.table, 0, sizeof(m.table));
	owner_init(&pool, m.table, BYTES);
	if (owner_assign(&pool, HPA(0), FRAME_SIZE, OWNER_HYPERVISOR) ||
	    owner_assign(&pool, HPA(FRAME_SIZE), 2 * FRAME_SIZE, OWNER_CONTROL) ||
	    owner_assign(&pool, HPA(POOL_FIRST * FRAME_SIZE), BYTES - POOL_FIRST * FRAME_SIZE,
			 OWNER_WAITING))
		machine_broken("pool");
	control_split = (struct memory_split){.map = {{HPA(FRAME_SIZE), 2 * FRAME_SIZE, MEM_RAM}},
					      .ranges = 1};
	control_map = (struct control_map){.limit = BYTES, .address_end = BIT64(39)};
	for (unsigned int i = 0; i < RESERVE; i++)
		control_ept_page_free(ram + HEAP + i * PAGE_SIZE);
	control_map.sink_page = HPA(SINK_PAGE);
	control_map.sink_table = (uint64_t *)(ram + SINK);
	for (unsigned int i = 0; i < 512; i++)
		control_map.sink_table[i] = SINK_PAGE | EPT_RWX | EPT_TYPE(MEMORY_WB);
	if (ept_init(&control_map.ept, &control_ept_pages, EPT_2M) ||
	    ept_reserve(&control_map.ept, GPA(0), BYTES, EPT_2M) ||
	    ept_set(&control_map.ept, GPA(FRAME_SIZE), EPT_2M, HPA(FRAME_SIZE), EPT_RWX, &none) ||
	    ept_set(&control_map.ept, GPA(2 * FRAME_SIZE), EPT_2M, HPA(2 * FRAME_SIZE), EPT_RWX,
		    &none))
		machine_broken("map");
}

static void start_features(unsigned int features)
{
	vmx_caps = (struct vmx_caps){
		.basic = 1,
		.cr0_fixed0 = CR0_PE | CR0_NE | CR0_PG,
		.cr0_fixed1 = UINT32_MAX,
		.cr4_fixed0 = CR4_VMXE,
		.cr4_fixed1 = UINT64_C(0x77ffff),
	};
	for (unsigned int i = 0; i < VMX_WORDS; i++)
		vmx_caps.word[i].may = UINT32_MAX;
	vmx_present = ~UINT64_C(0);
	if (!(features & 2))
		vmx_present &= ~BIT64(VMX_OPT_EPT_1G);
	if (!(features & 4))
		vmx_present &= ~BIT64(VMX_OPT_VPID);
	guest_has = (struct guest_has){
		.apicv = features & 1,
		.tpr_shadow = true,
		.timer = true,
		.rdtscp = true,
		.timer_kept = features & 4,
		.physical_bits = 39,
		.xcr0 = features & 8 ? 7 : 0,
		.apic_access_page = APIC_PAGE,
	};
	speculation = (struct speculation){.small_code = features & 16};
	platform.tsc_khz = 1000000;
}

static void start_cpu(unsigned int i)
{
	struct cpu *c = &m.cpu[i];
	struct vmx_cpu *v = &m.vmx[i];

	cpus[i] = c;
	*c = (struct cpu){.self = c, .index = i, .vmx = v, .gprs = &v->gprs, .online = 1};
	c->tables = m.tables;
	v->cpu = c;
	v->call_page = ram + CALL_PAGE + i * PAGE_SIZE;
	m.now = i;
	v->vmcs = HPA((1 + i) * PAGE_SIZE);
	vmx_clear(v->vmcs);
	vmx_load(v->vmcs);
	tlb_resume(c);
}

void machine_start(unsigned int features)
{
	if (!ram) {
		ram = mmap(NULL, BYTES + FRAME_SIZE, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		ram = (uint8_t *)align_up((uint64_t)ram, FRAME_SIZE);
		m.tables = calloc(1, sizeof(struct desc_tables));
	}
	for (unsigned int i = 0; i < FRAMES; i++) {
		bool heap = i == 0;

		madvise(ram + i * FRAME_SIZE, FRAME_SIZE, MADV_DONTNEED);
		if (m.accessible[i] != heap)
			access_frame(i, heap ? PROT_READ | PROT_WRITE : PROT_NONE);
		m.accessible[i] = heap;
	}
	for (unsigned int i = 0; i < VMCSS; i++)
		vmcss[i].hpa = 0;
	memset(m.vmx, 0, sizeof(m.vmx));
	memset(m.dead, 0, sizeof(m.dead));
	memset(m.stale, 0, sizeof(m.stale));
	memset(m.zeroed, 0, sizeof(m.zeroed));
	m.tsc = 1000000;
	start_features(features);
	start_memory();
	debt_init(&tlb_debt, m.debt, CPUS);
	for (unsigned int i = 0; i < CPUS; i++)
		start_cpu(i);
	m.now = 0;
	m.tables_at_start = free_tables();
	machine_check();
}

uint8_t *machine_call_page(void)
{
	return m.vmx[m.now].call_page;
}

/* ---- looking */

static struct vm *vms[VM_SLOTS]; /* that exist, by slot */

/* Through the calls, as anybody sees them. */
static struct vm *find_vm(unsigned int slot)
{
	static struct hv_vm_info info;
	uint64_t args[HYPERCALL_ARGS] = {slot};
	struct call c = {.cpu = machine_cpu(), .args = args, .page = &info};
	struct vm *vm;

	if (call_vm_info(&c) || !info.handle)
		return NULL;
	vm = vm_hold(info.handle);
	if (!vm)
		machine_broken("VM %x is listed and not found", info.handle);
	vm_release(vm);
	return vm;
}

static void find_vms(void)
{
	for (unsigned int slot = 0; slot < VM_SLOTS; slot++)
		vms[slot] = find_vm(slot);
}

uint8_t *machine_vcpu_page(unsigned int which)
{
	struct vm *vm = vms[(which >> 4) % 4];
	struct vcpu *vcpu = vm ? vm->vcpu[which % 16] : NULL;

	return vcpu ? (uint8_t *)vcpu->page : NULL;
}

typedef void leaf_fn(uint64_t gpa, uint64_t entry, uint64_t bytes, void *context);

/* Most of a table is nothing: looking at that must not cost what watched code costs. */
__attribute__((no_sanitize("address", "undefined", "coverage"))) static void
walk(const struct ept *ept, const uint64_t *table, unsigned int level, uint64_t gpa, leaf_fn *fn,
     void *context)
{
	for (unsigned int i = 0; i < 512; i++) {
		uint64_t at, e = table[i];

		if (!(e & EPT_RWX))
			continue;
		at = gpa + ((uint64_t)i << ept_shift(level));
		if (level == EPT_4K || e & EPT_LARGE)
			fn(at, e, UINT64_C(1) << ept_shift(level), context);
		else
			walk(ept, ept->pages->ptr_of(ept->pages->ctx, HPA(e & EPT_ADDRESS)),
			     level - 1, at, fn, context);
	}
}

static void walk_ept(const struct ept *ept, leaf_fn *fn, void *context)
{
	walk(ept, ept->root, 4, 0, fn, context);
}

static void mark_stale(uint64_t frame)
{
	for (unsigned int i = 0; i < CPUS; i++)
		if (!m.dead[i])
			m.stale[frame] |= (uint8_t)(1u << i);
}

static void guest_leaf(uint64_t gpa, uint64_t entry, uint64_t bytes, void *context)
{
	const struct vm *vm = context;
	uint64_t hpa = entry & EPT_ADDRESS & ~(bytes - 1);

	if (hpa == APIC_PAGE && gpa == VLAPIC_DEFAULT_BASE && bytes == PAGE_SIZE)
		return;
	if (bytes > PAGE_SIZE && (entry & EPT_X) && speculation.small_code)
		machine_broken("VM %x has code in a large page", vm->handle);
	if (entry & EPT_CODE)
		m.promised += bytes == FRAME_SIZE ? 1 : 513;
	if (virt_control_owns(HPA(hpa), bytes)) {
		m.lent += bytes / PAGE_SIZE;
		return;
	}
	for (uint64_t at = hpa; at < hpa + bytes; at += FRAME_SIZE) {
		const struct frame *f = owner_of(&pool, HPA(at));

		if (!f || f->kind != OWNER_VM || f->vm != vm->slot)
			machine_broken("VM %x maps %#lx, which is not its memory", vm->handle, at);
		m.mapped[at / FRAME_SIZE] += min_u64(bytes, FRAME_SIZE) / PAGE_SIZE;
		mark_stale(at / FRAME_SIZE);
	}
}

static bool is_vcpu_page(uint64_t hpa)
{
	const struct frame *f = owner_of(&pool, HPA(hpa));
	struct vm *vm = f && f->kind == OWNER_ARENA ? vms[f->vm] : NULL;

	for (unsigned int i = 0; vm && i < HV_MAX_VCPUS; i++)
		if (vm->vcpu[i] && hpa - hpa_of(vm->vcpu[i]->page).v < sizeof(struct hv_vcpu_page))
			return true;
	return false;
}

static void control_leaf(uint64_t gpa, uint64_t entry, uint64_t bytes, void *context)
{
	uint64_t hpa = entry & EPT_ADDRESS & ~(bytes - 1);

	(void)context;
	if (hpa == SINK_PAGE && bytes == PAGE_SIZE)
		return;
	if (hpa != gpa)
		machine_broken("the control domain sees %#lx at %#lx", hpa, gpa);
	if (virt_control_owns(HPA(hpa), bytes))
		return;
	if (bytes == FRAME_SIZE && owner_of(&pool, HPA(hpa))->shared)
		m.shown[hpa / FRAME_SIZE] = true;
	else if (bytes != PAGE_SIZE || !is_vcpu_page(hpa))
		machine_broken("the control domain sees %#lx, which is not its memory", hpa);
	mark_stale(hpa / FRAME_SIZE);
}

static void check_frame(uint64_t i, uint64_t count[OWNER_KINDS])
{
	const struct frame *f = &pool.frame[i];
	bool owned = f->kind == OWNER_VM || f->kind == OWNER_ARENA;

	count[f->kind]++;
	if (owned != (f->vm != OWNER_NO_VM) || (owned && !vms[f->vm]))
		machine_broken("frame %lu: kind %u of VM %u", i, f->kind, f->vm);
	if (owned)
		m.zeroed[i] = 0;
	if (f->kind == OWNER_FREE && m.zeroed[i] != UINT16_MAX)
		machine_broken("frame %lu is free, parts %#x of it zeroed", i, m.zeroed[i]);
	if (f->kind == OWNER_VM && f->mapped != m.mapped[i])
		machine_broken("frame %lu: %u pages counted, %lu mapped", i, f->mapped,
			       m.mapped[i]);
	if (f->kind == OWNER_VM && f->shared != m.shown[i])
		machine_broken("frame %lu: shared %u, shown %u", i, f->shared, m.shown[i]);
	if ((f->kind == OWNER_FREE || f->kind == OWNER_SCRUBBING) && m.stale[i])
		machine_broken("frame %lu is free, and CPUs may still translate to it", i);
	if (m.accessible[i] != (f->kind == OWNER_ARENA || !i))
		machine_broken("frame %lu: kind %u, mapped by the hypervisor: %u", i, f->kind,
			       m.accessible[i]);
}

static void check_vm(struct vm *vm)
{
	uint64_t frames = 0, arena = 0, running = 0;

	for (unsigned int i = 0; i < FRAMES; i++) {
		frames += pool.frame[i].vm == vm->slot;
		arena += pool.frame[i].vm == vm->slot && pool.frame[i].kind == OWNER_ARENA;
	}
	if (frames != vm->frames || arena != vm->arena_frames)
		machine_broken("VM %x counts %lu and %lu frames of %lu and %lu", vm->handle,
			       vm->frames, vm->arena_frames, frames, arena);
	for (unsigned int i = 0; i < HV_MAX_VCPUS; i++)
		running += vm->vcpu[i] && vm->vcpu[i]->running;
	if (vm_holds(vm) != running || vm->lock.next != vm->lock.serving)
		machine_broken("VM %x: %u holds, %lu running, lock %u %u", vm->handle, vm_holds(vm),
			       running, vm->lock.next, vm->lock.serving);
}

static void check_promise(const struct vm *vm)
{
	uint64_t have = vm->free_page_count + (vm->bump_end - vm->bump) / PAGE_SIZE;

	if (m.promised != *vm->promised || m.promised > have)
		machine_broken("VM %x promises %lu table pages of %lu for %lu", vm->handle,
			       *vm->promised, have, m.promised);
}

static const struct hv_vm_info *info_of(unsigned int slot)
{
	static struct hv_vm_info info[VM_SLOTS];
	uint64_t args[HYPERCALL_ARGS] = {slot};
	struct call c = {.cpu = machine_cpu(), .args = args, .page = &info[slot]};

	return call_vm_info(&c) ? NULL : &info[slot];
}

static void check_names(void)
{
	static const uint8_t nil[16];

	for (unsigned int i = 0; i < VM_SLOTS; i++) {
		const struct hv_vm_info *a = vms[i] ? info_of(i) : NULL;

		for (const char *at = a ? a->name : ""; *at; at++)
			if (*at < ' ' || *at > '~')
				machine_broken("VM %x has a name that is not printable", a->handle);
		for (unsigned int k = 0; a && memcmp(a->uuid, nil, sizeof(nil)) != 0 && k < i; k++)
			if (vms[k] && !memcmp(info_of(k)->uuid, a->uuid, sizeof(nil)))
				machine_broken("VMs %u and %u have the same UUID", k, i);
	}
}

void machine_check(void)
{
	uint64_t count[OWNER_KINDS] = {0};

	if (pool_lock.next != pool_lock.serving)
		machine_broken("the pool's lock is held");
	find_vms();
	memset(m.mapped, 0, sizeof(m.mapped));
	memset(m.shown, 0, sizeof(m.shown));
	for (unsigned int slot = 0; slot < VM_SLOTS; slot++) {
		struct vm *vm = vms[slot];

		if (!vm)
			continue;
		check_vm(vm);
		m.promised = 0;
		m.lent = 0;
		walk_ept(&vm->virt->ept, guest_leaf, vm);
		check_promise(vm);
		if (m.lent != vm->lent_pages || (m.lent && vm->kept))
			machine_broken("VM %x, kept %u, counts %lu lent pages of %lu", vm->handle,
				       vm->kept, vm->lent_pages, m.lent);
	}
	check_names();
	walk_ept(&control_map.ept, control_leaf, NULL);
	for (uint64_t i = 0; i < FRAMES; i++)
		check_frame(i, count);
	if (memcmp(count, pool.count, sizeof(count)) != 0)
		machine_broken("the table's counts are wrong");
	for (unsigned int i = 0; i < CPUS; i++)
		if (!m.vmx[i].vcpu && m.current[i] != vmcs_at(m.vmx[i].vmcs.v))
			machine_broken("CPU %u is left with a guest's VMCS", i);
}

/* ---- the digest */

static void mix(uint64_t *digest, uint64_t value)
{
	*digest = (*digest ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	*digest ^= *digest >> 29;
}

__attribute__((no_sanitize("address", "undefined", "coverage"))) static void
mix_bytes(uint64_t *digest, const void *data, size_t bytes)
{
	for (const uint64_t *at = data; bytes >= 8; bytes -= 8)
		mix(digest, *at++);
}

/* The same however leaves are split: a sum over pages, in closed form. */
static void sum_leaf(uint64_t gpa, uint64_t entry, uint64_t bytes, void *context)
{
	uint64_t *sum = context, n = bytes / PAGE_SIZE, g = gpa / PAGE_SIZE;
	uint64_t h = (entry & EPT_ADDRESS & ~(bytes - 1)) / PAGE_SIZE;
	uint64_t once = n * (n - 1) / 2, twice = (n - 1) * n * (2 * n - 1) / 6;

	*sum += n * g * h + (g + h) * once + twice; /* of (g + i)(h + i) */
	*sum += (n * h + once) * UINT64_C(0x9e3779b97f4a7c15);
	*sum += n * (entry & (EPT_RWX | EPT_TYPES)) * UINT64_C(0xc2b2ae3d27d4eb4f);
}

static void mix_vcpu(uint64_t *digest, const struct vcpu *vcpu)
{
	const struct vmcs *vmcs = vmcs_at(vcpu->vmcs.v);

	mix(digest, vcpu->running | (uint64_t)vcpu->pending << 32);
	mix(digest, vcpu->activity | (uint64_t)vcpu->sipi_vector << 32);
	mix_bytes(digest, vcpu->msr, sizeof(vcpu->msr));
	mix(digest, vcpu->kernel_gs_base + 3 * vcpu->tsc_aux + 5 * vcpu->spec_ctrl);
	mix(digest, vcpu->tsc_adjust + 3 * vcpu->misc_enable + 5 * vcpu->tsc_offset);
	mix_bytes(digest, vcpu->mtrr, sizeof(vcpu->mtrr));
	mix(digest, vcpu->xcr0 + 3 * vcpu->xss + 5 * vcpu->cr2 + 7 * vcpu->mtrr_def_type);
	mix_bytes(digest, vcpu->dr, sizeof(vcpu->dr));
	mix(digest, vcpu->lapic.base);
	mix_bytes(digest, vcpu->lapic.regs, 1024);
	mix_bytes(digest, vcpu->cpuid.entry, vcpu->cpuid.count * sizeof(struct hv_cpuid));
	mix_bytes(digest, vmcs->field, sizeof(vmcs->field));
}

uint64_t machine_digest(void)
{
	uint64_t digest = tlb_debt.cpus, sum;

	find_vms();
	for (unsigned int i = 0; i < FRAMES; i++) {
		const struct frame *f = &pool.frame[i];
		bool in_pool = f->kind >= OWNER_FREE && f->kind <= OWNER_SCRUBBING;

		mix(&digest, in_pool ? OWNER_FREE : f->kind);
		if (!in_pool)
			mix(&digest, f->vm | (uint64_t)f->mapped << 16 | (uint64_t)f->shared << 60);
	}
	for (unsigned int slot = 0; slot < VM_SLOTS; slot++) {
		struct vm *vm = vms[slot];

		mix(&digest, vm ? vm->handle : 0);
		if (!vm)
			continue;
		mix(&digest, vm->vcpus | (uint64_t)vm_holds(vm) << 32);
		mix(&digest, info_of(slot)->flags + 3 * vm->kept);
		mix_bytes(&digest, info_of(slot)->uuid, sizeof(((struct hv_vm_info *)0)->uuid));
		mix_bytes(&digest, info_of(slot)->name, sizeof(((struct hv_vm_info *)0)->name));
		mix_bytes(&digest, vm->eoi_exits, sizeof(vm->eoi_exits));
		sum = 0;
		walk_ept(&vm->virt->ept, sum_leaf, &sum);
		mix(&digest, sum);
		for (unsigned int i = 0; i < HV_MAX_VCPUS; i++)
			if (vm->vcpu[i])
				mix_vcpu(&digest, vm->vcpu[i]);
	}
	return digest;
}

/* ---- what happens to it */

unsigned int machine_cpus_running(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < CPUS; i++)
		n += !m.dead[i];
	return n;
}

void machine_switch_cpu(unsigned int cpu)
{
	if (!m.dead[cpu % CPUS])
		m.now = cpu % CPUS;
}

void machine_all_pay(void)
{
	unsigned int was = m.now;

	for (m.now = 0; m.now < CPUS; m.now++)
		if (!m.dead[m.now] && !m.vmx[m.now].vcpu)
			tlb_pay(machine_cpu());
	m.now = was;
}

void machine_cpu_is_dead(unsigned int cpu)
{
	m.dead[cpu] = true; /* and it had nothing to do: Linux took it offline */
	flush(cpu);
}

void machine_cpu_comes_back(unsigned int cpu)
{
	cpu %= CPUS;
	if (!m.dead[cpu])
		return;
	m.dead[cpu] = false;
	m.now = cpu;
	tlb_resume(machine_cpu());
}

void machine_touch_hole(uint64_t address)
{
	if (machine_in_guest() || address >= BYTES)
		return;
	vmcs_write_raw(VMCS_GUEST_PHYSICAL_ADDRESS.encoding, address);
	control_ept_violation();
}

bool machine_in_guest(void)
{
	return m.vmx[m.now].vcpu;
}

void machine_enter(void)
{
	struct vmx_cpu *v = &m.vmx[m.now];
	struct vcpu *vcpu = v->enter;

	v->enter = NULL;
	if (vcpu)
		vcpu_enter(v, vcpu);
}

void machine_guest_exits(const struct machine_exit *exit)
{
	struct vmx_cpu *v = &m.vmx[m.now];

	if (!v->vcpu)
		return;
	vmcs_write_raw(VMCS_EXIT_REASON.encoding, exit->reason);
	vmcs_write_raw(VMCS_EXIT_QUALIFICATION.encoding, exit->qualification);
	vmcs_write_raw(VMCS_GUEST_PHYSICAL_ADDRESS.encoding, exit->address);
	vmcs_write_raw(VMCS_EXIT_INTERRUPTION.encoding, exit->interruption);
	vmcs_write_raw(VMCS_IDT_VECTORING.encoding, exit->vectoring);
	vmcs_write_raw(VMCS_EXIT_INSN_LENGTH.encoding, exit->bytes & 15);
	vmcs_write_raw(VMCS_ENTRY_INTERRUPTION.encoding, 0); /* as the processor leaves it */
	if (!guest_quick(v, v->cpu->gprs))
		vcpu_handle_exit(v, v->cpu->gprs);
}

void machine_end(void)
{
	const struct machine_exit interrupt = {.reason = VMX_EXIT_EXTERNAL_INTERRUPT};
	uint64_t second;

	for (m.now = 0; m.now < CPUS; m.now++)
		machine_guest_exits(&interrupt);
	find_vms();
	m.now = 0;
	for (unsigned int i = 1; i < CPUS; i++)
		machine_cpu_comes_back(i);
	m.now = 0;
	for (unsigned int slot = 0; slot < VM_SLOTS; slot++) {
		struct vm *vm = vms[slot];
		uint64_t args[HYPERCALL_ARGS] = {vm ? vm->handle : 0};

		if (vm && hypercall_dispatch(machine_cpu(), HV_CALL_VM_DESTROY, args, &second) < 0)
			machine_broken("a VM that nobody holds is not destroyed");
	}
	machine_check();
	machine_all_pay();
	pool_scrub(FRAMES);
	if (control_ept_show_pages(HPA(0), 0) || free_tables() != m.tables_at_start)
		machine_broken("%u tables of the control domain's map came back, of %u",
			       free_tables(), m.tables_at_start);
	if (vm_count() || owner_free(&pool) != FRAMES - POOL_FIRST)
		machine_broken("%u VMs left, %lu of %u frames came back", vm_count(),
			       owner_free(&pool), FRAMES - POOL_FIRST);
}
