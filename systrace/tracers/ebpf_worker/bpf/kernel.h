// SPDX-License-Identifier: MIT OR GPL-2.0
// Of the kernel's structures: the fields that are read. Their places are relocated when the object is loaded.

#pragma once

#define KERNEL __attribute__((preserve_access_index))

struct super_block {
	unsigned long s_magic;
} KERNEL;

struct inode {
	u16 i_mode;
	unsigned long i_ino;
	struct super_block *i_sb;
} KERNEL;

struct file {
	struct inode *f_inode;
} KERNEL;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} KERNEL;

struct files_struct {
	struct fdtable *fdt;
} KERNEL;

struct signal_struct {
	unsigned int flags;
	int group_exit_code;
	struct task_struct *group_exec_task; // since 5.16
} KERNEL;

struct signal_struct___before {
	struct task_struct *group_exit_task;
} KERNEL;

struct pt_regs;

struct thread_info {
	unsigned long flags;
	u32 status; // x86 only
} KERNEL;

struct mm_struct {
	unsigned long arg_start, arg_end;
} KERNEL;

struct task_struct {
	struct thread_info thread_info;
	struct mm_struct *mm;
	s32 pid;
	s32 tgid;
	int exit_code;
	struct files_struct *files;
	struct signal_struct *signal;
} KERNEL;

struct pt_regs___x86 {
	unsigned long r10, r9, r8, dx, si, di, bx, cx, bp;
} KERNEL;

struct pt_regs___arm64 {
	u64 regs[31];
	u64 orig_x0;
} KERNEL;

struct linux_binprm {
	const char *filename;
} KERNEL;

struct kernel_siginfo;

// io_uring/*.c: what each operation keeps of its submission lies where the kernel's `struct io_kiocb` begins.
struct io_cqe {
	s32 res;
	int fd;
} KERNEL;

struct io_kiocb {
	struct file *file;
	u8 opcode;
	u64 flags;
	struct io_cqe cqe;
	void *async_data;
} KERNEL;

struct io_sr_msg {
	void *buf;
	int len;
	unsigned int msg_flags;
	u16 flags;
} KERNEL;

struct io_rw {
	u64 addr;
	u32 len;
} KERNEL;

struct io_connect {
	void *addr;
	int addr_len;
} KERNEL;

struct io_accept {
	void *addr;
	int *addr_len;
	int flags;
	int iou_flags;
} KERNEL;

struct io_close {
	int fd;
} KERNEL;

struct io_shutdown {
	int how;
} KERNEL;

struct io_socket {
	int domain, type, protocol, flags;
} KERNEL;

struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
} KERNEL;

struct io_timeout_data {
	struct timespec64 ts;
} KERNEL;

#define TS_COMPAT 0x2 // arch/x86/include/asm/thread_info.h
#define TIF_32BIT 22 // arch/arm64/include/asm/thread_info.h
#define SIGNAL_GROUP_EXIT 0x4 // linux/sched/signal.h
#define ANON_INODE_FS_MAGIC 0x09041934
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFIFO 0010000
#define S_IFDIR 0040000
#define SIGKILL 9
