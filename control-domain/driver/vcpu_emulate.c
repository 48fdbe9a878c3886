// SPDX-License-Identifier: GPL-2.0-only
/*
 * An instruction that touched device memory, or a string of port accesses: finish it here.
 *
 * The pure machine (insn.h) does the work; this file gives it registers, guest memory and page
 * walks, and turns its requests into KVM_EXIT_MMIO and KVM_EXIT_IO, into an eventfd where one is
 * bound, or into an access to the local APIC, which is the hypervisor's. While the device model
 * answers, the state waits in struct vcpu. What is RAM after all (a region came while the exit was
 * under way, or a string operation has one foot in RAM) is read and written as RAM.
 *
 * In 64-bit mode segments other than FS and GS have base 0 and no limit, so the costly fetch of the
 * segment registers is left out unless the instruction names one of those two. In 32-bit mode it is
 * left out where the address that the CPU tells shows that the segment is flat; in 16-bit mode the
 * exit has brought them.
 */
#define pr_fmt(fmt) "hornero: " fmt

#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "gwalk.h"
#include "irqchip.h"
#include "vcpu.h"

#define PIO_DATA_OFFSET	   PAGE_SIZE
#define ITERATIONS_AT_ONCE 4096

#define APIC_PAGE     0xfee00000ull
#define APIC_REGISTER 16
#define APIC_BYTES    0x400

#define RIGHTS_LONG	 (1u << 13)
#define RIGHTS_BIG	 (1u << 14)
#define RIGHTS_DPL(a)	 ((a) >> 5 & 3)
#define INJECT_EXCEPTION (1u << 31 | 3u << 8)
#define INJECT_HAS_ERROR (1u << 11)
#define XSAVE_PKRU	 9
#define EPT_WRITE	 (1u << 1) /* of an EPT violation's qualification */

/* ---- guest memory, for the page walk and for the instruction */

static bool read_entry(void *context, u64 gpa, uint64_t *entry, unsigned int bytes)
{
	struct vcpu *vcpu = context;

	*entry = 0;
	return !memory_read(vcpu->vm, gpa, entry, bytes);
}

static enum gwalk_update update_entry(void *context, u64 gpa, uint64_t old_entry,
				      uint64_t new_entry, unsigned int bytes)
{
	struct vcpu *vcpu = context;
	u64 uaddr = memory_uaddr(vcpu->vm, gpa, true);
	u64 __user *wide = (u64 __user *)uaddr;
	u32 __user *narrow = (u32 __user *)uaddr;
	u32 old_narrow = old_entry;
	u64 old_wide = old_entry;
	bool updated;

	if (!uaddr || !user_access_begin(wide, bytes))
		return GWALK_READ_ONLY;
	if (bytes == sizeof(u32))
		updated = unsafe_try_cmpxchg_user(narrow, &old_narrow, (u32)new_entry, fault);
	else
		updated = unsafe_try_cmpxchg_user(wide, &old_wide, (u64)new_entry, fault);
	user_access_end();
	if (updated)
		memory_mark_dirty(vcpu->vm, gpa);
	return updated ? GWALK_UPDATED : GWALK_DIFFERENT;
fault:
	user_access_end();
	return GWALK_READ_ONLY;
}

/* PKRU's place in a standard XSAVE image (SDM 1 "Extended Region of an XSAVE Area"). */
static u32 pkru_offset(void)
{
	u32 eax, ebx, ecx, edx;

	cpuid_count(0xd, XSAVE_PKRU, &eax, &ebx, &ecx, &edx);
	return min_t(u32, ebx, sizeof_field(struct hv_vcpu_page, xsave) - sizeof(u32));
}

static u32 read_pkru(void *context)
{
	struct vcpu *vcpu = context;
	u32 pkru;

	if (vcpu_fetch(vcpu, HV_GROUP_FPU))
		return U32_MAX; /* no access by any key */
	memcpy(&pkru, vcpu->page->xsave + pkru_offset(), sizeof(pkru));
	return pkru;
}

const struct gwalk_ops vcpu_walk_ops = {
	.read = read_entry,
	.update = update_entry,
	.pkru = read_pkru,
};

/* What the vCPU page does not hold is fetched only where the paging mode makes it count. */
static int load_walker(struct vcpu *vcpu, struct gwalk_cpu *walk)
{
	const struct hv_vcpu_page *page = vcpu->page;
	int err;

	*walk = (struct gwalk_cpu){
		.cr0 = page->insn.cr0,
		.cr3 = page->insn.cr3,
		.cr4 = page->insn.cr4,
		.efer = page->insn.efer,
		.physical_bits = vcpu->physical_bits,
		.cpl = RIGHTS_DPL(page->insn.ss_access),
		.ac = page->rflags & X86_EFLAGS_AC,
		.gigabyte_pages = vcpu->gigabyte_pages,
	};
	if (!(walk->cr0 & X86_CR0_PG) || !(walk->cr4 & X86_CR4_PAE) || walk->efer & EFER_LMA)
		return 0;
	err = vcpu_fetch(vcpu, HV_GROUP_SREGS);
	if (!err)
		memcpy(walk->pdpte, page->sregs.pdpte, sizeof(walk->pdpte));
	return err;
}

static bool walk(struct vcpu *vcpu, u64 linear, unsigned int access, u64 *gpa,
		 struct guest_fault *fault)
{
	struct gwalk_cpu cpu;

	if (load_walker(vcpu, &cpu)) {
		vcpu->walk = GWALK_NO_TABLE;
		return false;
	}
	vcpu->walk = gwalk(&cpu, &vcpu_walk_ops, vcpu, linear, access, gpa, fault);
	return vcpu->walk == GWALK_OK;
}

/* The CPU itself walked the address it exited on; other pages are walked here. */
static bool translate(void *context, uint64_t linear, unsigned int intent, uint64_t *gpa,
		      struct guest_fault *fault)
{
	struct vcpu *vcpu = context;
	const struct hv_vcpu_page *page = vcpu->page;

	if (page->insn.linear_valid && page->gpa != U64_MAX &&
	    !((linear ^ page->insn.linear) & PAGE_MASK)) {
		*gpa = (page->gpa & PAGE_MASK) | (linear & ~PAGE_MASK);
		return true;
	}
	return walk(vcpu, linear, intent & INSN_WRITE ? GWALK_WRITE : GWALK_READ, gpa, fault);
}

bool vcpu_ram_read(void *context, uint64_t gpa, void *data, unsigned int bytes)
{
	struct vcpu *vcpu = context;

	return !memory_read(vcpu->vm, gpa, data, bytes);
}

bool vcpu_ram_write(void *context, uint64_t gpa, const void *data, unsigned int bytes)
{
	struct vcpu *vcpu = context;

	return !memory_write(vcpu->vm, gpa, data, bytes);
}

static const struct insn_ops machine_ops = {
	.translate = translate,
	.read = vcpu_ram_read,
	.write = vcpu_ram_write,
};

/* ---- registers */

static void load_cpu(struct vcpu *vcpu)
{
	const struct hv_vcpu_page *page = vcpu->page;
	struct insn_cpu *cpu = &vcpu->cpu;

	memcpy(cpu->gpr, &page->gprs, sizeof(cpu->gpr));
	cpu->rip = page->rip;
	cpu->rflags = page->rflags;
	cpu->address_bits = page->insn.cr4 & X86_CR4_LA57 ? 57 : 48;
	cpu->real = !(page->insn.cr0 & X86_CR0_PE);
	cpu->flat = false;
	if (page->insn.efer & EFER_LMA && page->insn.cs_access & RIGHTS_LONG)
		cpu->mode_bits = 64;
	else
		cpu->mode_bits = page->insn.cs_access & RIGHTS_BIG ? 32 : 16;
}

static int load_segments(struct vcpu *vcpu)
{
	const struct hv_sregs *sregs = &vcpu->page->sregs;
	const struct hv_segment *from[INSN_SEGS] = {
		[INSN_ES] = &sregs->es, [INSN_CS] = &sregs->cs, [INSN_SS] = &sregs->ss,
		[INSN_DS] = &sregs->ds, [INSN_FS] = &sregs->fs, [INSN_GS] = &sregs->gs,
	};
	u32 i;
	int err = vcpu->page->insn.segments ? 0 : vcpu_fetch(vcpu, HV_GROUP_SREGS);

	if (err)
		return err;
	for (i = 0; i < INSN_SEGS; i++) {
		vcpu->cpu.seg[i].base = from[i]->base;
		vcpu->cpu.seg[i].limit = from[i]->limit;
		vcpu->cpu.seg[i].rights = from[i]->access;
	}
	return 0;
}

/* True if the CPU has told the address of the one operand, and it is the operand's offset: the
 * segment begins at 0, and the CPU has checked the access against it. */
static bool told_flat(const struct vcpu *vcpu)
{
	return vcpu->cpu.mode_bits == 32 && vcpu->page->insn.linear_valid &&
	       insn_is_plain(&vcpu->insn.insn) &&
	       insn_offset(&vcpu->insn.insn, &vcpu->cpu) == vcpu->page->insn.linear;
}

static bool needs_segments(struct vcpu *vcpu)
{
	const struct insn_mem *mem = &vcpu->insn.insn.mem;

	if (vcpu->cpu.mode_bits == 64)
		return mem->seg == INSN_FS || mem->seg == INSN_GS;
	vcpu->cpu.flat = told_flat(vcpu);
	return !vcpu->cpu.flat;
}

static void commit(struct vcpu *vcpu)
{
	struct hv_vcpu_page *page = vcpu->page;

	memcpy(&page->gprs, vcpu->cpu.gpr, sizeof(page->gprs));
	page->rip = vcpu->cpu.rip;
	page->rflags = vcpu->cpu.rflags;
	page->flags |= HV_RUN_REGS_DIRTY;
}

static int inject(struct vcpu *vcpu, const struct guest_fault *fault)
{
	struct hv_vcpu_page *page = vcpu->page;
	int err;

	commit(vcpu);
	if (fault->vector == VECTOR_PF) {
		err = vcpu_fetch(vcpu, HV_GROUP_SREGS);
		if (err)
			return err;
		page->sregs.cr2 = fault->cr2;
		err = vcpu_store(vcpu, HV_GROUP_SREGS);
		if (err)
			return err;
	}
	page->events.inject = INJECT_EXCEPTION | fault->vector;
	page->events.inject_error = fault->has_error ? fault->error : 0;
	if (fault->has_error)
		page->events.inject |= INJECT_HAS_ERROR;
	page->flags |= HV_RUN_INJECT;
	return VCPU_AGAIN;
}

/* ---- what the instruction asks for */

static int emulation_failed(struct vcpu *vcpu, const char *what)
{
	const u64 data[] = {vcpu->cpu.rip, vcpu->page->gpa, vcpu->insn.insn.bytes};

	pr_err_ratelimited(
		"VM %x vCPU %u stops: %s at RIP 0x%llx (address 0x%llx, %u-bit code): %*ph\n",
		vcpu->vm->handle, vcpu->index, what, data[0], data[1], vcpu->cpu.mode_bits,
		vcpu->fetched, vcpu->code);
	return vcpu_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION, data, ARRAY_SIZE(data));
}

/* A walk that found no answer; nothing was done yet, for addresses come before accesses. */
static int walk_failed(struct vcpu *vcpu)
{
	if (vcpu->walk == GWALK_RACING)
		return VCPU_AGAIN;
	return emulation_failed(vcpu, "page table in no memory");
}

static int ask_port(struct vcpu *vcpu, bool in)
{
	const struct insn_request *request = &vcpu->insn.request;
	struct kvm_run *run = vcpu->run;

	vcpu->asked_port = true;
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = request->bytes;
	run->io.port = request->address;
	run->io.count = 1;
	run->io.data_offset = PIO_DATA_OFFSET;
	if (!in)
		memcpy((u8 *)run + PIO_DATA_OFFSET, &request->data, sizeof(request->data));
	return VCPU_TO_USER;
}

static int ask_memory(struct vcpu *vcpu, bool write)
{
	const struct insn_request *request = &vcpu->insn.request;
	struct kvm_run *run = vcpu->run;

	vcpu->asked_port = false;
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = request->address;
	run->mmio.len = request->bytes;
	run->mmio.is_write = write;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (write)
		memcpy(run->mmio.data, &request->data, request->bytes);
	return VCPU_TO_USER;
}

static bool is_apic(const struct insn_request *request)
{
	return (request->address & PAGE_MASK) == APIC_PAGE;
}

/*
 * The local APIC's registers are 32 bits wide, 16 bytes apart; other accesses are undefined: read
 * as 0. Where the APIC is off or in x2APIC mode (STATE) nothing answers, as on a bus. That is all
 * the hypervisor can refuse: the vCPU exists and, with its lock held, does not run.
 */
static void access_apic(struct vcpu *vcpu, bool write)
{
	struct insn_request *request = &vcpu->insn.request;
	u64 offset = request->address & ~PAGE_MASK;
	long result = -HV_ERR_STATE;
	u64 second = 0;
	u64 *page;

	if (!write)
		request->data = 0;
	if (offset % APIC_REGISTER || request->bytes != sizeof(u32) || offset >= APIC_BYTES)
		return;
	page = hv_page_get();
	if (page) {
		*page = request->data;
		result = hv_call(HV_CALL_VCPU_APIC, vcpu->vm->handle, vcpu->index, offset,
				 write ? HV_MSR_WRITE : HV_MSR_READ, 0, &second);
		hv_page_put();
	}
	if (!page || (result < 0 && result != -HV_ERR_STATE))
		pr_err_ratelimited("VM %x vCPU %u: %s of local APIC register %llx is lost: %s\n",
				   vcpu->vm->handle, vcpu->index, write ? "write" : "read", offset,
				   page ? hv_error_text(result) : "this CPU has no call page");
	if (result < 0)
		second = write ? 0 : U32_MAX;
	if (write)
		vcpu_kick_many(vcpu->vm, second);
	else
		request->data = second;
}

/* A plain store that rang a doorbell: told to the hypervisor, which will know it again. */
static void remember_store(struct vcpu *vcpu)
{
	const struct insn *insn = &vcpu->insn.insn;
	struct hv_vcpu_page *page = vcpu->page;
	u64 end = page->rip + insn->bytes;
	bool relative = insn->mem.base == INSN_RIP;

	if (insn->op != INSN_OP_MOV || insn->dst.kind != INSN_MEM || insn->lock ||
	    (insn->src.kind != INSN_REG && insn->src.kind != INSN_IMM) ||
	    insn->mem.index != INSN_NO_REG || insn->mem.seg == INSN_FS ||
	    insn->mem.seg == INSN_GS || (vcpu->cpu.mode_bits != 64 && !vcpu->cpu.flat))
		return;
	page->store = (struct hv_store){
		.rip = page->rip,
		.cr3 = page->insn.cr3,
		.offset = insn->mem.disp + (relative ? end : 0),
		.cs_access = page->insn.cs_access,
		.length = insn->bytes,
		.bytes = insn->dst.size,
		.base = insn->mem.base < HV_STORE_NO_BASE ? insn->mem.base : HV_STORE_NO_BASE,
	};
}

/* True when the request is answered here, without the device model. */
static bool answer_here(struct vcpu *vcpu, enum insn_status status)
{
	struct insn_request *request = &vcpu->insn.request;
	bool write = status == INSN_MMIO_WRITE || status == INSN_PIO_OUT;
	bool port = status == INSN_PIO_IN || status == INSN_PIO_OUT;

	if (!port && is_apic(request)) {
		access_apic(vcpu, write);
		return true;
	}
	if (port ? irqchip_port(vcpu->vm, request->address, request->bytes, !write, &request->data)
		 : irqchip_memory(vcpu->vm, request->address, request->bytes, write,
				  &request->data))
		return true;
	if (!write ||
	    !ioeventfd_write(vcpu->vm, port, request->address, request->bytes, request->data))
		return false;
	if (!port)
		remember_store(vcpu);
	return true;
}

static bool asks(enum insn_status status)
{
	return status == INSN_MMIO_READ || status == INSN_MMIO_WRITE || status == INSN_PIO_IN ||
	       status == INSN_PIO_OUT;
}

/* Between two iterations of a string instruction the guest may take interrupts: let it, now and
 * then. */
static bool pause_string(struct vcpu *vcpu)
{
	return ++vcpu->iterations % ITERATIONS_AT_ONCE == 0 || signal_pending(current);
}

/* Context: vm->memory_lock held. */
static enum insn_status step_locked(struct vcpu *vcpu)
{
	enum insn_status status;

	do {
		vcpu->walk = GWALK_OK;
		status = insn_step(&vcpu->insn, &vcpu->cpu, &machine_ops, vcpu);
	} while ((status == INSN_AGAIN && !pause_string(vcpu)) ||
		 (asks(status) && answer_here(vcpu, status)));
	return status;
}

static int stepped(struct vcpu *vcpu, enum insn_status status)
{
	switch (status) {
	case INSN_DONE:
		vcpu->page->flags |= HV_RUN_CLEAR_SHADOW;
		fallthrough;
	case INSN_AGAIN:
		commit(vcpu);
		return VCPU_AGAIN;
	case INSN_FAULT:
		return vcpu->walk == GWALK_OK || vcpu->walk == GWALK_FAULT
			       ? inject(vcpu, &vcpu->insn.fault)
			       : walk_failed(vcpu);
	case INSN_PIO_IN:
	case INSN_PIO_OUT:
		commit(vcpu); /* a string's progress shows */
		vcpu->pending = PENDING_INSTRUCTION;
		return ask_port(vcpu, status == INSN_PIO_IN);
	default:
		if (vcpu->insn.insn.rep)
			commit(vcpu);
		vcpu->pending = PENDING_INSTRUCTION;
		return ask_memory(vcpu, status == INSN_MMIO_WRITE);
	}
}

/* ---- fetching */

/* A length that the compiler knows spares the kernel's checks of the buffer, and two words are
 * quicker than 15 bytes. */
static bool read_code(struct vcpu *vcpu, u64 gpa, unsigned int bytes)
{
	u64 words[2];
	u64 uaddr;

	BUILD_BUG_ON(sizeof(words) < INSN_MAX_BYTES);
	if (vcpu->fetched || PAGE_SIZE - (gpa & ~PAGE_MASK) < sizeof(words))
		return !memory_read(vcpu->vm, gpa, vcpu->code + vcpu->fetched, bytes);
	uaddr = memory_uaddr(vcpu->vm, gpa, false);
	if (!uaddr || copy_from_user(words, (void __user *)uaddr, sizeof(words)))
		return false;
	memcpy(vcpu->code, words, INSN_MAX_BYTES);
	return true;
}

/* More of the instruction's bytes, up to the end of the page they are in. False: vcpu->walk,
 * *fault. */
static bool fetch_page(struct vcpu *vcpu, struct guest_fault *fault)
{
	u64 linear = vcpu->page->insn.cs_base + vcpu->cpu.rip + vcpu->fetched;
	unsigned int bytes;
	u64 gpa;

	if (vcpu->cpu.mode_bits != 64)
		linear &= U32_MAX;
	if (!walk(vcpu, linear, GWALK_FETCH, &gpa, fault))
		return false;
	bytes = min_t(u64, INSN_MAX_BYTES - vcpu->fetched, PAGE_SIZE - (gpa & ~PAGE_MASK));
	if (!read_code(vcpu, gpa, bytes)) {
		vcpu->walk = GWALK_NO_TABLE;
		return false;
	}
	vcpu->fetched += bytes;
	return true;
}

static enum insn_result decode(struct vcpu *vcpu)
{
	struct insn *insn = &vcpu->insn.insn;

	if (insn_matches(insn, vcpu->code, vcpu->fetched, vcpu->cpu.mode_bits))
		return INSN_OK;
	return insn_decode(insn, vcpu->code, vcpu->fetched, vcpu->cpu.mode_bits);
}

static enum insn_result fetch_and_decode(struct vcpu *vcpu, bool *fetched,
					 struct guest_fault *fault)
{
	enum insn_result result = INSN_MORE;

	do {
		*fetched = fetch_page(vcpu, fault);
		if (*fetched)
			result = decode(vcpu);
	} while (*fetched && result == INSN_MORE && vcpu->fetched < INSN_MAX_BYTES);
	return result;
}

/*
 * Not an instruction's access: the CPU walked its tables or pushed a frame for an event, which the
 * next entry delivers again. That helps when the memory came meanwhile; on a device it cannot end.
 */
static int repeat_delivery(struct vcpu *vcpu)
{
	const struct hv_vcpu_page *page = vcpu->page;
	const u64 data[] = {page->insn.qualification, page->rip, page->gpa};
	bool is_ram;

	down_read(&vcpu->vm->memory_lock);
	is_ram = memory_uaddr(vcpu->vm, page->gpa, page->insn.qualification & EPT_WRITE);
	up_read(&vcpu->vm->memory_lock);
	if (is_ram)
		return VCPU_AGAIN;
	pr_err_ratelimited(
		"VM %x vCPU %u stops: delivery of an event reaches 0x%llx, where there is "
		"no RAM, at RIP 0x%llx\n",
		vcpu->vm->handle, vcpu->index, data[2], data[1]);
	return vcpu_internal_error(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV, data, ARRAY_SIZE(data));
}

int vcpu_emulate(struct vcpu *vcpu)
{
	struct guest_fault fault = {.vector = VECTOR_UD};
	enum insn_status status = INSN_DONE;
	enum insn_result result;
	bool fetched;
	int err = 0;

	if (vcpu->page->insn.delivering)
		return repeat_delivery(vcpu);
	insn_start(&vcpu->insn);
	vcpu->fetched = 0;
	vcpu->iterations = 0;
	load_cpu(vcpu);
	down_read(&vcpu->vm->memory_lock);
	result = fetch_and_decode(vcpu, &fetched, &fault);
	if (fetched && result == INSN_OK) {
		err = needs_segments(vcpu) ? load_segments(vcpu) : 0;
		if (!err)
			status = step_locked(vcpu);
	}
	up_read(&vcpu->vm->memory_lock);
	if (!fetched)
		return vcpu->walk == GWALK_FAULT ? inject(vcpu, &fault) : walk_failed(vcpu);
	switch (result) {
	case INSN_OK:
		return err ? err : stepped(vcpu, status);
	case INSN_UD:
		return inject(vcpu, &fault);
	case INSN_TOO_LONG:
		fault = (struct guest_fault){.vector = VECTOR_GP, .has_error = !vcpu->cpu.real};
		return inject(vcpu, &fault);
	default:
		return emulation_failed(vcpu, "instruction on device memory that is not emulated");
	}
}

void vcpu_emulate_reload(struct vcpu *vcpu)
{
	memcpy(vcpu->cpu.gpr, &vcpu->page->gprs, sizeof(vcpu->cpu.gpr));
}

int vcpu_emulate_answered(struct vcpu *vcpu)
{
	struct insn_request *request = &vcpu->insn.request;
	const void *data = vcpu->run->mmio.data;
	enum insn_status status;

	if (vcpu->asked_port)
		data = (u8 *)vcpu->run + PIO_DATA_OFFSET;
	request->data = 0;
	memcpy(&request->data, data, request->bytes);
	down_read(&vcpu->vm->memory_lock);
	status = step_locked(vcpu);
	up_read(&vcpu->vm->memory_lock);
	return stepped(vcpu, status);
}
