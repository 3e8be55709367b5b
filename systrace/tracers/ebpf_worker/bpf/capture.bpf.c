// SPDX-License-Identifier: MIT OR GPL-2.0
//
// Writes the system calls of the traced threads into a ring buffer; nothing is stopped, nothing is changed.
//
// Compiled once (scripts/build_bpf) and shipped as capture.bpf.o: where the kernel's structures differ, the loader
// relocates (CO-RE, https://docs.kernel.org/bpf/libbpf/libbpf_overview.html). Needs Linux 5.8: ring buffer, CAP_BPF.
// What is recorded of which call stands in `calls`, filled in by interest.py; the layouts of tables.h are read by records.py.

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";
char SOURCE[] SEC("source") = SOURCE_HASH; // whether this file and the compiled one belong together

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;

#include "memory.h"
#include "rings.h"

static __always_inline u64 stream(struct descriptor *on)
{
	return on->inode << 8 | (on->mode & S_IFMT) >> 12;
}

static __always_inline bool affordable(u64 key, u64 budget)
{
	u64 *used = bpf_map_lookup_elem(&spent, &key);
	return !used || *used < budget;
}

static __always_inline void pay(u64 key, u64 price)
{
	u64 *used = bpf_map_lookup_elem(&spent, &key);
	if (used)
		__sync_fetch_and_add(used, price);
	else
		bpf_map_update_elem(&spent, &key, &price, BPF_ANY);
}

#define F_DUPFD 0
#define F_SETLKW 7
#define F_OFD_SETLKW 38
#define F_DUPFD_CLOEXEC 1030

static __always_inline bool wanted(struct call *call, struct task *task, struct settings *settings)
{
	u32 type = task->on.mode & S_IFMT;
	u8 filter = call->filter;
	if (filter == ALWAYS || filter == OPENS)
		return true;
	if (is_socket(&task->on))
		return true;
	if (filter == SOCKETS)
		return is_socket(&task->other);
	if (filter == KEPT) // pipes, and what has no type: event descriptors, epoll sets
		return task->on.mode && (type == S_IFIFO || !type);
	if (filter == CONTROLS) {
		u64 command = task->args[1];
		return command == F_DUPFD || command == F_DUPFD_CLOEXEC || command == F_SETLKW || command == F_OFD_SETLKW;
	}
	if (filter != STREAMS || !task->on.mode)
		return false;
	s32 number = task->on.number;
	bool words = call->writes ? number == 1 || number == 2 : number == 0;
	return (words || type == S_IFIFO || !type) && affordable(stream(&task->on), settings->stream_budget);
}

#define O_CHANGES 01103 // O_WRONLY, O_RDWR, O_CREAT, O_TRUNC

static __always_inline bool worth_it(struct call *call, struct task *task, u32 tgid, s64 result, struct settings *settings)
{
	if (call->filter == OPENS) {
		u64 key = 1ull << 63 | tgid;
		if (result >= 0 && argument(task, call->flags) & O_CHANGES)
			return true;
		if (!affordable(key, result < 0 ? 16 * settings->open_budget : settings->open_budget))
			return false;
		pay(key, 1);
	} else if (call->filter == STREAMS && !is_socket(&task->on)) {
		pay(stream(&task->on), result > 0 ? result : 64);
	}
	return true;
}

// ------------------------------------------------------------------------------------------------------------ programs

static __always_inline bool is_compat(struct task_struct *current)
{
	if (bpf_core_field_exists(current->thread_info.status))
		return BPF_CORE_READ(current, thread_info.status) & TS_COMPAT;
	return BPF_CORE_READ(current, thread_info.flags) >> TIF_32BIT & 1;
}

// The kernel vouches for this pointer, so its fields are read as they stand, without a helper.
static __always_inline void read_arguments(struct task *task, struct pt_regs *registers)
{
	struct pt_regs___x86 *x86 = (void *)registers;
	struct pt_regs___arm64 *arm = (void *)registers;
	if (bpf_core_field_exists(x86->r10)) {
		if (task->compat) {
			task->args[0] = (u32)x86->bx;
			task->args[1] = (u32)x86->cx;
			task->args[2] = (u32)x86->dx;
			task->args[3] = (u32)x86->si;
			task->args[4] = (u32)x86->di;
			task->args[5] = (u32)x86->bp;
		} else {
			task->args[0] = x86->di;
			task->args[1] = x86->si;
			task->args[2] = x86->dx;
			task->args[3] = x86->r10;
			task->args[4] = x86->r8;
			task->args[5] = x86->r9;
		}
	} else if (bpf_core_field_exists(arm->orig_x0)) {
		task->args[0] = arm->orig_x0;
		task->args[1] = arm->regs[1];
		task->args[2] = arm->regs[2];
		task->args[3] = arm->regs[3];
		task->args[4] = arm->regs[4];
		task->args[5] = arm->regs[5];
	}
}

// i386 programs of old make all socket calls through one, with the arguments in memory: each has a place of its own in
// `calls`, and its number in `compat`.
static __always_inline u32 inner_call(struct task *task)
{
	u32 which = task->args[0], words[6] = {};
	u64 at = task->args[1];
	if (which == 0 || which > 20)
		return SOCKETCALL;
	if (bpf_probe_read_user(words, sizeof(words), (void *)at) && bpf_probe_read_user(words, 12, (void *)at))
		return SOCKETCALL;
	for (int i = 0; i < 6; i++)
		task->args[i] = words[i];
	task->compat |= which << 1;
	return SOCKETCALLS + which;
}

static __always_inline u32 place(struct task *task)
{
	if (!task->compat)
		return task->call;
	return CALLS + (task->compat >> 1 ? SOCKETCALLS + (task->compat >> 1) : task->call);
}

// Whether there is anything that the call could change before it is read.
static __always_inline bool anything(struct call *call, struct task *task)
{
	for (int i = 0; i < PIECES; i++)
		if (call->pieces[i].when == BEFORE && argument(task, call->pieces[i].at))
			return true;
	return false;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(enter, struct pt_regs *registers, long number)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct task *task = bpf_map_lookup_elem(&tasks, &tid);
	if (!task)
		return 0;
	struct task_struct *current = (void *)bpf_get_current_task();
	struct settings *settings = set();
	task->call = -1;
	task->compat = is_compat(current);
	u32 index = number + (task->compat ? CALLS : 0);
	if (number < 0 || number >= CALLS || !settings)
		return 0;
	if (task->compat && number == SOCKETCALL) {
		read_arguments(task, registers);
		index = CALLS + inner_call(task);
	}
	struct call *call = bpf_map_lookup_elem(&calls, &index);
	if (!call || call->filter == NEVER)
		return 0;
	if (task->muted) {
		if (!call->starts)
			return 0;
		task->muted = 0;
	}
	if (task->compat <= 1)
		read_arguments(task, registers);
	task->on = task->other = (struct descriptor){ .number = -1 };
	if (call->other)
		task->other = look_up(current, argument(task, call->other));
	if (call->fd)
		task->on = look_up(current, argument(task, call->fd - 1));
	if (!wanted(call, task, settings))
		return 0;
	task->entered = bpf_ktime_get_ns();
	task->call = number;
	if (!call->before || (call->before == 1 && !anything(call, task)))
		return 0;
	struct scratch *s = begin(ENTERED, task, current);
	if (!s)
		return 0;
	keep_pieces(call, index, tid, BEFORE, -1);
	commit(s, task, false);
	if (call->last)
		task->call = -1;
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(leave, void *registers, long result)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct task *task = bpf_map_lookup_elem(&tasks, &tid);
	if (!task || task->call < 0)
		return 0;
	struct task_struct *current = (void *)bpf_get_current_task();
	struct settings *settings = set();
	u32 index = place(task);
	struct call *call = bpf_map_lookup_elem(&calls, &index);
	if (!call || !settings)
		return 0;
	if (worth_it(call, task, bpf_get_current_pid_tgid() >> 32, result, settings)) {
		struct scratch *s = begin(CALLED, task, current);
		if (!s)
			return 0;
		s->header.result = result;
		if (result >= 0 && call->made == 1)
			s->header.made[0] = look_up(current, result);
		if (result >= 0 && call->made >= 2) {
			s32 pair[2] = { -1, -1 };
			bpf_probe_read_user(pair, sizeof(pair), (void *)argument(task, call->made >> 4));
			s->header.made[0] = look_up(current, pair[0]);
			s->header.made[1] = look_up(current, pair[1]);
		}
		keep_pieces(call, index, tid, AFTER, result);
		commit(s, task, false);
	}
	task->call = -1;
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(forked, struct task_struct *parent, struct task_struct *child)
{
	u32 tid = bpf_get_current_pid_tgid(), born = BPF_CORE_READ(child, pid);
	struct task *task = bpf_map_lookup_elem(&tasks, &tid);
	if (!task)
		return 0;
	struct task fresh = { .call = -1, .muted = task->muted, .on.number = -1, .other.number = -1 };
	if (bpf_map_update_elem(&tasks, &born, &fresh, BPF_ANY))
		count(UNTRACKED);
	struct scratch *s = begin(FORKED, task, (void *)bpf_get_current_task());
	if (!s || task->muted)
		return 0;
	s->header.result = born;
	s->header.on.inode = (u64)BPF_CORE_READ(child, files);
	s->header.on.number = BPF_CORE_READ(child, tgid);
	commit(s, task, false);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(execed, struct task_struct *current, int former, struct linux_binprm *program)
{
	u32 tid = BPF_CORE_READ(current, pid), old = former;
	struct task *task = bpf_map_lookup_elem(&tasks, &old);
	if (!task)
		return 0;
	if (old != tid) { // a thread that was not the leader goes on under the leader's number
		struct task moved = *task;
		bpf_map_update_elem(&tasks, &tid, &moved, BPF_ANY);
		bpf_map_delete_elem(&tasks, &old);
		task = bpf_map_lookup_elem(&tasks, &tid);
		if (!task)
			return 0;
	}
	struct scratch *s = begin(EXECED, task, current);
	if (!s)
		return 0;
	s->header.result = former;
	// What execve(2) was given may never have been in memory before (read-only data): then this has to do.
	struct chunk *chunk = (void *)s->data;
	long size = bpf_probe_read_kernel_str(chunk->data, LONGEST, BPF_CORE_READ(program, filename));
	if (size > 0 && size <= LONGEST) {
		chunk->address = 0;
		chunk->length = size - 1;
		chunk->ended = 1;
		s->used = sizeof(struct chunk) + ((size + 7) & ~7u);
		u64 first = BPF_CORE_READ(current, mm, arg_start), last = BPF_CORE_READ(current, mm, arg_end);
		keep(first, last - first > LONGEST ? LONGEST : last - first);
	}
	commit(s, task, false);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(ended, struct task_struct *current)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct task *task = bpf_map_lookup_elem(&tasks, &tid);
	if (!task)
		return 0;
	struct signal_struct *signal = BPF_CORE_READ(current, signal);
	bool group = BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT;
	struct task_struct *execs = 0;
	if (bpf_core_field_exists(signal->group_exec_task))
		execs = BPF_CORE_READ(signal, group_exec_task);
	else if (bpf_core_field_exists(((struct signal_struct___before *)signal)->group_exit_task))
		execs = BPF_CORE_READ((struct signal_struct___before *)signal, group_exit_task);
	struct scratch *s = begin(ENDED, task, current);
	if (s && !task->muted) {
		s->header.result = group ? BPF_CORE_READ(signal, group_exit_code) : BPF_CORE_READ(current, exit_code);
		s->header.call = task->call; // 65535: in none
		s->header.on.number = execs && !group; // one of its threads replaces them all
		u32 tgid = s->header.tgid;
		struct sent *last = bpf_map_lookup_elem(&sent, &tgid);
		if (last && group && last->number == (s->header.result & 0x7f)) {
			struct chunk *chunk = (void *)s->data;
			chunk->address = last->number;
			chunk->length = sizeof(last->info);
			chunk->ended = 0;
			__builtin_memcpy(chunk->data, last->info, sizeof(last->info));
			s->used = sizeof(struct chunk) + sizeof(last->info) + 8;
		}
		commit(s, task, s->header.tid == s->header.tgid);
	}
	bpf_map_delete_elem(&tasks, &tid);
	return 0;
}

SEC("tp_btf/signal_generate")
int BPF_PROG(generated, int number, struct kernel_siginfo *info, struct task_struct *target)
{
	u32 tid = BPF_CORE_READ(target, pid), tgid = BPF_CORE_READ(target, tgid);
	if (number == SIGKILL || !bpf_map_lookup_elem(&tasks, &tid))
		return 0;
	struct sent last = { .number = number };
	bpf_probe_read_kernel(last.info, sizeof(last.info), info); // none, where the kernel itself sent it
	bpf_map_update_elem(&sent, &tgid, &last, BPF_ANY);
	return 0;
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(signalled, int number, struct kernel_siginfo *info)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct task *task = bpf_map_lookup_elem(&tasks, &tid);
	if (!task || task->muted || number == SIGKILL)
		return 0;
	struct scratch *s = begin(SIGNALLED, task, (void *)bpf_get_current_task());
	if (!s)
		return 0;
	s->header.result = number;
	struct chunk *chunk = (void *)s->data;
	chunk->address = 0;
	chunk->length = 48;
	chunk->ended = 0;
	if (!bpf_probe_read_kernel(chunk->data, 48, info))
		s->used = sizeof(struct chunk) + 48;
	commit(s, task, false);
	return 0;
}
