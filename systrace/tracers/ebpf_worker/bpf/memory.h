// SPDX-License-Identifier: MIT OR GPL-2.0
// Records under construction: the pieces of the job's memory that a call points to, and what descriptors stand for.

#pragma once

#include "tables.h"

static __always_inline struct scratch *own(void)
{
	u32 processor = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&scratch, &processor);
}

static __always_inline struct settings *set(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline void count(u32 which)
{
	u64 *value = bpf_map_lookup_elem(&counters, &which);
	if (value)
		__sync_fetch_and_add(value, 1);
}

static __always_inline struct scratch *begin(u8 kind, struct task *task, struct task_struct *current)
{
	struct scratch *s = own();
	if (!s) {
		count(LOST);
		return 0;
	}
	__builtin_memset(&s->header, 0, sizeof(s->header));
	s->header.kind = kind;
	s->header.tid = BPF_CORE_READ(current, pid);
	s->header.tgid = BPF_CORE_READ(current, tgid);
	s->header.files = (u64)BPF_CORE_READ(current, files);
	s->header.left = bpf_ktime_get_ns();
	s->header.call = task->call;
	s->header.compat = task->compat;
	s->header.entered = task->entered;
	s->header.lost = task->lost;
	__builtin_memcpy(s->header.args, task->args, sizeof(s->header.args));
	s->header.on = task->on;
	s->header.made[0].number = -1;
	s->header.made[1] = task->other;
	s->used = 0;
	struct settings *settings = set();
	s->most = settings && bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > settings->full ? BEGINNING : CHUNK;
	return s;
}

static __always_inline void commit(struct scratch *s, struct task *task, bool wake)
{
	struct settings *settings = set();
	u32 used = s->used;
	u64 flags = BPF_RB_NO_WAKEUP;
	if (wake || (settings && bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > settings->wake))
		flags = BPF_RB_FORCE_WAKEUP;
	if (used > ROOM + CHUNK)
		used = ROOM + CHUNK;
	// The data lies behind `used`, which the reader skips.
	if (bpf_ringbuf_output(&ring, s, __builtin_offsetof(struct scratch, data) + used, flags)) {
		task->lost++;
		count(LOST);
	} else {
		task->lost = 0;
	}
}

static __always_inline struct descriptor look_up(struct task_struct *current, s32 number)
{
	struct descriptor found = { .number = number };
	struct fdtable *table = BPF_CORE_READ(current, files, fdt);
	if (number < 0 || (u32)number >= BPF_CORE_READ(table, max_fds))
		return found;
	struct file *file = 0;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + number);
	if (!file)
		return found;
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	found.mode = BPF_CORE_READ(inode, i_mode);
	u32 type = found.mode & S_IFMT;
	found.inode = BPF_CORE_READ(inode, i_ino);
	if (type == S_IFSOCK || type == S_IFIFO || type == S_IFDIR)
		return found;
	if (BPF_CORE_READ(inode, i_sb, s_magic) == ANON_INODE_FS_MAGIC)
		found.mode &= ~S_IFMT; // some kernels give it the type of a file
	return found;
}

static __always_inline bool is_socket(struct descriptor *on)
{
	return (on->mode & S_IFMT) == S_IFSOCK;
}

// Global functions are verified once each, not wherever they are called: what they get must be told by value.

__attribute__((noinline)) int keep(u64 address, u64 length)
{
	struct scratch *s = own();
	if (!s || !address || !length || s->used > ROOM - sizeof(struct chunk))
		return 0;
	struct chunk *chunk = (void *)s->data + (s->used & (ROOM - 1));
	u32 most = s->most == BEGINNING ? BEGINNING : CHUNK, size = length > most ? most : length;
	chunk->address = address;
	chunk->length = size;
	chunk->ended = 0;
	if (bpf_probe_read_user(chunk->data, size, (void *)address))
		return 0;
	s->used = (s->used & (ROOM - 1)) + sizeof(struct chunk) + ((size + 8) & ~7u);
	return size;
}

#define LONGEST 4096 // a string with its NUL

__attribute__((noinline)) int keep_string(u64 address, u64 most)
{
	struct scratch *s = own();
	if (!s || !address || s->used > ROOM - sizeof(struct chunk))
		return 0;
	struct chunk *chunk = (void *)s->data + (s->used & (ROOM - 1));
	u64 room = (most & (LONGEST - 1)) + 1;
	long size = bpf_probe_read_user_str(chunk->data, room, (void *)address);
	if (size <= 0 || size > LONGEST)
		return 0;
	chunk->address = address;
	chunk->ended = size < room; // where it fills the room exactly nobody knows
	chunk->length = size - 1;
	s->used = (s->used & (ROOM - 1)) + sizeof(struct chunk) + ((size + 7) & ~7u);
	return size;
}

// The bodies of loops are functions too: the verifier then follows them once, and not once each turn.

__attribute__((noinline)) int keep_string_of(u64 address, u64 most, u32 word)
{
	u64 at = 0;
	if (bpf_probe_read_user(&at, word == 4 ? 4 : 8, (void *)address) || !at)
		return 0;
	if (most)
		keep_string(at, most);
	return 1;
}

#define STRING_ARRAY 64

__attribute__((noinline)) int keep_strings(u64 address, u64 most, u32 word)
{
	u32 found = 0;
	for (; found < STRING_ARRAY; found++)
		if (!keep_string_of(address + found * word, 0, word))
			break;
	keep(address, (found + 1) * word);
	for (u32 i = 0; i < STRING_ARRAY; i++)
		if (!keep_string_of(address + i * word, most, word))
			break;
	return 0;
}

// Returns the bytes of it that were used.
__attribute__((noinline)) int keep_buffer(u64 address, u64 most, u64 available, u32 word)
{
	u64 pair[2] = {};
	if (bpf_probe_read_user(pair, word == 4 ? 8 : 16, (void *)address))
		return 0;
	u64 base = word == 4 ? (u32)pair[0] : pair[0];
	u64 length = word == 4 ? pair[0] >> 32 : pair[1];
	if (length > available)
		length = available;
	keep(base, length > most ? most : length);
	return length > 0x7fffffff ? 0x7fffffff : length;
}

#define VECTORS 32

__attribute__((noinline)) int keep_vector(u64 address, u64 elements, u64 available, u32 word)
{
	struct settings *settings = set();
	if (!settings || !address)
		return 0;
	u64 most = settings->string_limit;
	if (elements > 1024)
		elements = 1024;
	keep(address, (elements > most ? most : elements) * 2 * word);
	for (u32 i = 0; i < VECTORS; i++) {
		if (i >= elements || !available)
			break;
		available -= (u32)keep_buffer(address + i * 2 * word, most, available, word);
	}
	return 0;
}

__attribute__((noinline)) int keep_message(u64 address, u64 available, u32 word)
{
	u64 name, vector, elements, control, control_size;
	u32 name_size;
	if (word == 4) {
		u32 fields[7];
		if (bpf_probe_read_user(fields, sizeof(fields), (void *)address))
			return 0;
		name = fields[0], name_size = fields[1], vector = fields[2], elements = fields[3];
		control = fields[4], control_size = fields[5];
	} else {
		u64 fields[7];
		if (bpf_probe_read_user(fields, sizeof(fields), (void *)address))
			return 0;
		name = fields[0], name_size = fields[1], vector = fields[2], elements = fields[3];
		control = fields[4], control_size = fields[5];
	}
	keep(name, name_size > 128 ? 128 : name_size);
	keep(control, control_size > 1024 ? 1024 : control_size);
	keep_vector(vector, elements, available, word);
	return 0;
}

#define HANDED_OVER 1 // the address of a chunk that holds struct descriptor, not memory of the job
#define MOST_DESCRIPTORS 16
#define SCM_RIGHTS 1
#define SOL_SOCKET 1

// A received descriptor: what its number stands for.
__attribute__((noinline)) int keep_descriptor(u64 address)
{
	struct scratch *s = own();
	s32 number = -1;
	if (!s || s->used > ROOM - sizeof(struct chunk) || bpf_probe_read_user(&number, sizeof(number), (void *)address))
		return 0;
	struct chunk *chunk = (void *)s->data + (s->used & (ROOM - 1));
	struct descriptor found = look_up((void *)bpf_get_current_task(), number);
	chunk->address = HANDED_OVER;
	chunk->length = sizeof(found);
	chunk->ended = 0;
	__builtin_memcpy(chunk->data, &found, sizeof(found));
	s->used = (s->used & (ROOM - 1)) + sizeof(struct chunk) + ((sizeof(found) + 8) & ~7u);
	return 1;
}

// The first control message, which is where descriptors come.
__attribute__((noinline)) int keep_descriptors(u64 message, u32 word)
{
	u64 control = 0, size = 0, length = 0;
	u32 kind[2] = {}, head = word == 4 ? 12 : 16;
	bpf_probe_read_user(&control, word == 4 ? 4 : 8, (void *)(message + (word == 4 ? 16 : 32)));
	bpf_probe_read_user(&size, word == 4 ? 4 : 8, (void *)(message + (word == 4 ? 20 : 40)));
	if (!control || size < head + 4)
		return 0;
	bpf_probe_read_user(&length, word == 4 ? 4 : 8, (void *)control);
	bpf_probe_read_user(kind, sizeof(kind), (void *)(control + (word == 4 ? 4 : 8)));
	if (kind[0] != SOL_SOCKET || kind[1] != SCM_RIGHTS)
		return 0;
	for (u32 i = 0; i < MOST_DESCRIPTORS; i++) {
		if (head + 4 * i + 4 > length || !keep_descriptor(control + head + 4 * i))
			break;
	}
	return 0;
}

#define MOST_MESSAGES 16

__attribute__((noinline)) int keep_messages(u64 address, u64 messages, bool received, u32 word)
{
	u32 size = word == 4 ? 32 : 64;
	struct settings *settings = set();
	if (!settings)
		return 0;
	u64 most = settings->string_limit < 1024 ? settings->string_limit : 1024;
	keep(address, (messages > most ? most : messages) * size);
	for (u32 i = 0; i < MOST_MESSAGES && i < messages; i++) {
		u64 at = address + i * size;
		u32 length = 0;
		if (bpf_probe_read_user(&length, sizeof(length), (void *)(at + (word == 4 ? 28 : 56))))
			break;
		keep_message(at, received ? length : ~0ull, word);
	}
	return 0;
}

static __always_inline u64 argument(struct task *task, u32 index)
{
	return task->args[index & (PIECES - 1)];
}

__attribute__((noinline)) int keep_piece(u32 index, u32 position, u32 tid, s64 result)
{
	u32 key = index;
	struct call *call = bpf_map_lookup_elem(&calls, &key);
	key = tid;
	struct task *task = bpf_map_lookup_elem(&tasks, &key);
	struct settings *settings = set();
	if (!call || !task || !settings)
		return 0;
	struct piece *piece = &call->pieces[position & (PIECES - 1)];
	u64 at = argument(task, piece->at), number = argument(task, piece->count), limit = settings->string_limit;
	u32 word = task->compat ? 4 : 8;
	if (!at)
		return 0;
	switch (piece->kind) {
	case FIXED:
		return keep(at, piece->size);
	case ARGUMENT:
		if (word == 4)
			number = (u32)number;
		if (piece->size > 1) // elements, not bytes
			return keep(at, (number > limit ? limit : number) * piece->size);
		return keep(at, number > limit ? limit : number);
	case RESULT:
		if (result > 0)
			return keep(at, ((u64)result > limit ? limit : (u64)result) * piece->size);
		return 0;
	case POINTED: {
		u32 length = 0;
		if (bpf_probe_read_user(&length, sizeof(length), (void *)number))
			return 0;
		return keep(at, length > piece->size ? piece->size : length);
	}
	case STRING:
		return keep_string(at, piece->size);
	case STRINGS:
		return keep_strings(at, limit < LONGEST ? limit : LONGEST - 1, word);
	case VECTOR:
		if (piece->when == AFTER && result < 0)
			return 0;
		return keep_vector(at, number, piece->when == AFTER && !call->writes ? (u64)result : ~0ull, word);
	case MESSAGE:
		keep(at, word == 4 ? 28 : 56);
		if (piece->when == AFTER && result < 0 && !call->writes)
			return 0;
		if (!call->writes)
			keep_descriptors(at, word);
		return keep_message(at, call->writes ? ~0ull : (u64)result, word);
	case MESSAGES:
		return keep_messages(at, result >= 0 ? (u64)result : number, !call->writes, word);
	case BITS:
		return number > 0 && number <= 65536 ? keep(at, (number + 63) / 64 * 8) : 0;
	}
	return 0;
}

static __always_inline void keep_pieces(struct call *call, u32 index, u32 tid, u8 when, s64 result)
{
	for (int i = 0; i < PIECES; i++)
		if (call->pieces[i].when == when)
			keep_piece(index, i, tid, result);
}
