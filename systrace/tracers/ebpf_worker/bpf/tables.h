// SPDX-License-Identifier: MIT OR GPL-2.0
// The maps: what is to be recorded, who is followed, what was spent; and the layout of records.

#pragma once

#include "kernel.h"

enum when { BEFORE = 1, AFTER = 2 };

// How large a piece of the job's memory is.
enum kind {
	FIXED = 1, // `size` bytes
	ARGUMENT, // `size` times an argument
	RESULT, // `size` times the result
	POINTED, // the int that an argument points to
	STRING, // up to its NUL, `size` at most
	STRINGS, // a NULL-terminated array of such
	VECTOR, // struct iovec[an argument]
	MESSAGE, // struct msghdr
	MESSAGES, // struct mmsghdr[the result]
	BITS, // one bit for each of as many descriptors as an argument says
};

struct piece {
	u8 when;
	u8 kind;
	u8 at; // the argument that points to it
	u8 count; // the argument that says how large
	u32 size;
};

#define PIECES 8 // and arguments: an index is cut to three bits, which the verifier follows

enum filter {
	NEVER = 0,
	ALWAYS = 1,
	STREAMS = 2, // bytes through a socket; a pipe and words, as long as the budget lasts
	SOCKETS = 4, // on a socket
	KEPT = 8, // on whatever is no plain file: a close(2)
	OPENS = 16, // that write or fail; the first ones that read
	CONTROLS = 32, // fcntl(2): on a socket, or one that duplicates or locks
};

struct call {
	u8 filter;
	u8 before; // 1: pieces are read before the call, 2: it is told of at its beginning in any case
	u8 fd; // 1 + the argument that is a descriptor
	u8 made; // what new descriptors it makes: 1: the result, 2: a pair, 16 * the argument
	u8 flags; // open(2): the argument that holds them
	u8 other; // an argument that is another descriptor; 0: none
	u8 writes;
	u8 last; // it does not return
	u8 starts; // execve(2)
	u8 unused[7];
	struct piece pieces[PIECES];
};

#define CALLS 1024 // numbers of an architecture; those of 32-bit programs lie behind
#define SOCKETCALL 102 // of i386
#define SOCKETCALLS 1000 // behind the numbers of i386 in its half of the table

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * CALLS);
	__type(key, u32);
	__type(value, struct call);
} calls SEC(".maps");

struct settings {
	u32 string_limit;
	u32 stream_budget; // bytes of each pipe, terminal or file
	u32 open_budget; // opens of each process
	u32 wake; // bytes in the ring buffer at which the reader is woken
	u32 full; // bytes in it from which on only the beginning of what is sent and received is kept
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct descriptor {
	s32 number;
	u32 mode; // 0: none
	u64 inode;
};

struct task {
	s32 call; // -1: in none that is recorded
	u32 compat;
	u64 entered; // ns, CLOCK_MONOTONIC
	u64 args[PIECES];
	struct descriptor on, other;
	u32 muted; // before the job's execve(2) it is still us
	u32 lost; // records that found no room, since the last that did
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct task);
} tasks SEC(".maps");

// Bytes that went through an inode, opens of a process.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u64);
} spent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 25); // resized by the loader
} ring SEC(".maps");

// What was sent to a process, as the sender had it: a signal that ends a process is delivered to it as SIGKILL.
struct sent {
	u32 number;
	u32 padding;
	u8 info[48];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct sent);
} sent SEC(".maps");

enum counter { LOST, UNTRACKED };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

// ------------------------------------------------------------------------------------------------------------- records

enum record { ENTERED = 1, CALLED, FORKED, ENDED, SIGNALLED, EXECED, SUBMITTED, COMPLETED, UNSEEN };

struct header {
	u8 kind;
	u8 compat;
	u16 call;
	u32 tid;
	u32 tgid;
	u32 lost; // records of this thread that found no room just before
	u64 entered;
	u64 left;
	u64 args[6];
	s64 result;
	u64 files; // who has the same value shares its descriptors
	struct descriptor on;
	struct descriptor made[2];
};

struct chunk {
	u64 address;
	u32 length;
	u32 ended; // a string: its NUL was found
	u8 data[];
};

#define CHUNK (1 << 14) // bytes at most
#define BEGINNING 256
#define ROOM (1 << 15)

struct scratch {
	struct header header;
	u32 used;
	u32 most; // bytes of a chunk
	u8 data[ROOM + CHUNK + 64];
};

// One for each processor; maps of that kind hold no more than 32 KiB.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); // set by the loader
	__type(key, u32);
	__type(value, struct scratch);
} scratch SEC(".maps");
