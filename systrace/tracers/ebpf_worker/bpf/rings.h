// SPDX-License-Identifier: MIT OR GPL-2.0
// io_uring: what goes through a ring is no system call. Its submissions and completions are recorded as the calls that they
// stand for. The loader leaves these two programs out where the kernel has no such tracepoints.

#pragma once

#include "memory.h"

enum operation { // linux/io_uring.h
	READV = 1,
	WRITEV = 2,
	READ_FIXED = 4,
	WRITE_FIXED = 5,
	SENDMSG = 9,
	RECVMSG = 10,
	TIMEOUT = 11,
	ACCEPT = 13,
	CONNECT = 16,
	CLOSE = 19,
	READ = 22,
	WRITE = 23,
	SEND = 26,
	RECV = 27,
	SHUTDOWN = 34,
	SOCKET = 45,
	SEND_ZC = 47,
	SENDMSG_ZC = 48,
};

#define FIXED_FILE 1 // REQ_F_FIXED_FILE: the descriptor is an index of the ring's own table
#define BUFFER_SELECT 32 // REQ_F_BUFFER_SELECT: where the bytes went is known to the ring alone
#define RECV_MULTISHOT 2
#define ACCEPT_MULTISHOT 1

struct request {
	struct task task;
	u32 tid;
	u32 tgid;
	u32 operation;
	u32 padding;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct request);
} requests SEC(".maps");

static __always_inline struct descriptor of_file(struct file *file, s32 number)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	return (struct descriptor){
		.number = number, .mode = BPF_CORE_READ(inode, i_mode), .inode = BPF_CORE_READ(inode, i_ino)
	};
}

// Fill in the arguments of the call that it stands for. False: of no interest; `unseen`: it cannot be followed.
static __always_inline bool describe(struct io_kiocb *kiocb, struct request *request, bool *unseen)
{
	u64 *args = request->task.args, flags = BPF_CORE_READ(kiocb, flags);
	bool fixed = flags & FIXED_FILE, chosen = flags & BUFFER_SELECT;
	u8 operation = request->operation;
	args[0] = fixed ? -1 : BPF_CORE_READ(kiocb, cqe.fd);
	switch (operation) {
	case READV:
	case WRITEV:
	case READ_FIXED:
	case WRITE_FIXED:
	case READ:
	case WRITE:
		if (!is_socket(&request->task.on))
			return false;
		args[1] = BPF_CORE_READ((struct io_rw *)kiocb, addr);
		args[2] = BPF_CORE_READ((struct io_rw *)kiocb, len);
		break;
	case SENDMSG:
	case RECVMSG:
	case SENDMSG_ZC:
		args[1] = (u64)BPF_CORE_READ((struct io_sr_msg *)kiocb, buf);
		args[2] = BPF_CORE_READ((struct io_sr_msg *)kiocb, msg_flags);
		*unseen = operation == RECVMSG && BPF_CORE_READ((struct io_sr_msg *)kiocb, flags) & RECV_MULTISHOT;
		break;
	case SEND:
	case RECV:
	case SEND_ZC:
		args[1] = (u64)BPF_CORE_READ((struct io_sr_msg *)kiocb, buf);
		args[2] = BPF_CORE_READ((struct io_sr_msg *)kiocb, len);
		args[3] = BPF_CORE_READ((struct io_sr_msg *)kiocb, msg_flags);
		*unseen = operation == RECV && BPF_CORE_READ((struct io_sr_msg *)kiocb, flags) & RECV_MULTISHOT;
		break;
	case CONNECT:
		args[1] = (u64)BPF_CORE_READ((struct io_connect *)kiocb, addr);
		args[2] = BPF_CORE_READ((struct io_connect *)kiocb, addr_len);
		break;
	case ACCEPT:
		args[1] = (u64)BPF_CORE_READ((struct io_accept *)kiocb, addr);
		args[2] = (u64)BPF_CORE_READ((struct io_accept *)kiocb, addr_len);
		args[3] = BPF_CORE_READ((struct io_accept *)kiocb, flags);
		*unseen = BPF_CORE_READ((struct io_accept *)kiocb, iou_flags) & ACCEPT_MULTISHOT;
		break;
	case SHUTDOWN:
		args[1] = BPF_CORE_READ((struct io_shutdown *)kiocb, how);
		break;
	case CLOSE:
		args[0] = BPF_CORE_READ((struct io_close *)kiocb, fd);
		return true;
	case SOCKET:
		args[0] = BPF_CORE_READ((struct io_socket *)kiocb, domain);
		args[1] = BPF_CORE_READ((struct io_socket *)kiocb, type) | BPF_CORE_READ((struct io_socket *)kiocb, flags);
		args[2] = BPF_CORE_READ((struct io_socket *)kiocb, protocol);
		return true;
	case TIMEOUT: {
		struct io_timeout_data *data = BPF_CORE_READ(kiocb, async_data);
		args[0] = 1; // CLOCK_MONOTONIC
		args[4] = BPF_CORE_READ(data, ts.tv_sec);
		args[5] = BPF_CORE_READ(data, ts.tv_nsec);
		return true;
	}
	default:
		return false;
	}
	*unseen = *unseen || chosen;
	return true;
}

static __always_inline void keep_request(struct request *request, bool completed, s64 result)
{
	u64 *args = request->task.args, limit = 0;
	struct settings *settings = set();
	if (settings)
		limit = settings->string_limit;
	switch (request->operation) {
	case WRITE:
	case WRITE_FIXED:
	case SEND:
	case SEND_ZC:
		if (!completed)
			keep(args[1], args[2] > limit ? limit : args[2]);
		break;
	case READ:
	case READ_FIXED:
	case RECV:
		if (completed && result > 0)
			keep(args[1], (u64)result > limit ? limit : result);
		break;
	case READV:
		if (completed && result > 0)
			keep_vector(args[1], args[2], result, 8);
		break;
	case WRITEV:
		if (!completed)
			keep_vector(args[1], args[2], ~0ull, 8);
		break;
	case SENDMSG:
	case SENDMSG_ZC:
	case RECVMSG:
		keep(args[1], 56);
		if (completed == (request->operation == RECVMSG) && result >= 0)
			keep_message(args[1], completed ? (u64)result : ~0ull, 8);
		break;
	case CONNECT:
		keep(args[1], args[2] > 128 ? 128 : args[2]);
		break;
	case ACCEPT:
		if (args[2])
			keep(args[2], 4);
		if (completed && args[1])
			keep(args[1], 16);
		break;
	}
}

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(ring_submitted, struct io_kiocb *kiocb)
{
	u64 now = bpf_get_current_pid_tgid();
	u32 tid = now, tgid = now >> 32;
	struct task *task = bpf_map_lookup_elem(&tasks, &tid);
	if (!task) { // the kernel's own thread, of a ring that is polled
		task = bpf_map_lookup_elem(&tasks, &tgid);
		tid = tgid;
	}
	if (!task)
		return 0;
	struct request request = { .tid = tid, .tgid = tgid, .operation = BPF_CORE_READ(kiocb, opcode) };
	request.task.entered = bpf_ktime_get_ns();
	struct file *file = BPF_CORE_READ(kiocb, file);
	request.task.on.number = request.task.other.number = -1;
	if (file && request.operation != CLOSE && request.operation != SOCKET && request.operation != TIMEOUT)
		request.task.on = of_file(file, BPF_CORE_READ(kiocb, cqe.fd));
	bool unseen = false;
	if (!describe(kiocb, &request, &unseen))
		return 0;
	struct task_struct *current = (void *)bpf_get_current_task();
	if (request.operation == CLOSE)
		request.task.on = look_up(current, request.task.args[0]);
	struct scratch *s = begin(unseen ? UNSEEN : SUBMITTED, &request.task, current);
	if (!s)
		return 0;
	s->header.tid = tid;
	s->header.call = request.operation;
	s->header.made[1].inode = (u64)kiocb;
	if (!unseen) {
		u64 key = (u64)kiocb;
		bpf_map_update_elem(&requests, &key, &request, BPF_ANY);
		keep_request(&request, false, 0);
	}
	commit(s, task, false);
	return 0;
}

SEC("tp_btf/io_uring_complete")
int BPF_PROG(ring_completed, void *ring_context, struct io_kiocb *kiocb)
{
	u64 key = (u64)kiocb;
	struct request *request = bpf_map_lookup_elem(&requests, &key);
	if (!request)
		return 0;
	struct task_struct *current = (void *)bpf_get_current_task();
	struct scratch *s = begin(COMPLETED, &request->task, current);
	struct task *task = bpf_map_lookup_elem(&tasks, &request->tid);
	if (s && task) {
		s64 result = BPF_CORE_READ(kiocb, cqe.res);
		s->header.tid = request->tid;
		s->header.call = request->operation;
		s->header.result = result;
		s->header.made[1].inode = key;
		// Whoever runs when it completes need not be of the process whose memory and descriptors these are.
		if (bpf_get_current_pid_tgid() >> 32 == request->tgid) {
			if (result >= 0 && (request->operation == ACCEPT || request->operation == SOCKET))
				s->header.made[0] = look_up(current, result);
			keep_request(request, true, result);
		}
		commit(s, task, false);
	}
	bpf_map_delete_elem(&requests, &key);
	return 0;
}
