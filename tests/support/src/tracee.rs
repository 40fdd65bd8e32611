//! A process that is run one instruction at a time.
//!
//! The peer calls [`begin`] and [`end`] around what is to be swept; the test steps it from one to the
//! other, and may stop, kill or release it at any instruction between them.
#![allow(unsafe_code, reason = "ptrace")]

use crate::runner::command;
use std::io::Read;
use std::process::{ChildStdout, Stdio};

/// In the peer: from here on it is run step by step.
pub fn begin() {
    // SAFETY: asks to be traced by the parent and stops; no memory is involved.
    unsafe {
        assert_eq!(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0), 0);
        libc::raise(libc::SIGSTOP);
    }
}

/// In the peer: the end of what is run step by step.
pub fn end() {
    // SAFETY: stops; no memory is involved.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One more instruction, or system call, was executed.
    Done,
    /// The peer reached [`end`], or ended.
    End,
}

/// A peer stopped at [`begin`] or behind it.
pub struct Tracee {
    pid: i32,
    output: ChildStdout,
    reaped: bool,
    /// Where this thread may run when it does not step.
    cores: rustix::thread::CpuSet,
    /// Where the kernel's code for reading clocks lies.
    lent: std::ops::Range<u64>,
}

/// The addresses of the vDSO of a process, from its map (proc(5)); none if it has none.
fn lent(pid: i32) -> std::ops::Range<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let line = maps.lines().find(|line| line.ends_with("[vdso]"));
    let range = line.and_then(|line| line.split(' ').next()?.split_once('-'));
    let address = |hex| u64::from_str_radix(hex, 16).unwrap();
    range.map_or(0..0, |(from, to)| address(from)..address(to))
}

impl Tracee {
    /// Starts a peer in a role and lets it run up to [`begin`].
    pub fn start(role: &str, arguments: &[&str]) -> Self {
        // Each step is a switch from one to the other and back: on two cores, one of which sleeps
        // meanwhile, that takes ten times as long. The peer inherits it.
        let cores = rustix::thread::sched_getaffinity(None).unwrap();
        let mut one = rustix::thread::CpuSet::new();
        one.set(rustix::thread::sched_getcpu());
        rustix::thread::sched_setaffinity(None, &one).unwrap();
        let mut child = command(role)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut tracee = Self {
            pid: child.id() as i32,
            output: child.stdout.take().unwrap(),
            reaped: false,
            cores,
            lent: 0..0,
        };
        // From here on it is waited for by number; `Child` does neither that nor a kill on its own.
        drop(child);
        tracee.wait();
        tracee.lent = lent(tracee.pid);
        tracee
    }

    /// Waits for the next stop; the signal it stopped with, or `None` if it ended.
    fn wait(&mut self) -> Option<i32> {
        let mut status = 0;
        // SAFETY: `status` is valid for the call.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        assert_eq!(pid, self.pid);
        if libc::WIFSTOPPED(status) {
            return Some(libc::WSTOPSIG(status));
        }
        self.reaped = true;
        None
    }

    fn go(&mut self, request: libc::c_uint) {
        // SAFETY: the tracee is stopped and ours.
        let result = unsafe { libc::ptrace(request, self.pid, 0, 0) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    /// One instruction.
    pub fn step(&mut self) -> Step {
        self.advance(libc::PTRACE_SINGLESTEP)
    }

    /// Up to the beginning or end of the next system call.
    pub fn syscall(&mut self) -> Step {
        self.advance(libc::PTRACE_SYSCALL)
    }

    fn advance(&mut self, request: libc::c_uint) -> Step {
        self.go(request);
        match self.wait() {
            Some(libc::SIGTRAP) => Step::Done,
            Some(libc::SIGSTOP) | None => Step::End,
            Some(signal) => panic!("stopped by signal {signal}"),
        }
    }

    /// This many steps, or as many as there are.
    pub fn steps(&mut self, steps: u64, mut one: impl FnMut(&mut Self) -> Step) -> bool {
        (0..steps).all(|_| one(self) == Step::Done)
    }

    /// Lets it run, up to [`end`] at most, and does not wait for it.
    pub fn begin_to_run(&mut self) {
        self.go(libc::PTRACE_CONT);
    }

    /// Waits until one that [runs](Self::begin_to_run) is at [`end`].
    pub fn await_end(&mut self) {
        assert_eq!(self.wait(), Some(libc::SIGSTOP));
    }

    /// Lets it run to its end. Returns what it printed.
    pub fn release(mut self) -> String {
        self.go(libc::PTRACE_CONT);
        // The marker at the end of the sweep stops it once more.
        while self.wait().is_some() {
            self.go(libc::PTRACE_CONT);
        }
        let mut said = String::new();
        self.output.read_to_string(&mut said).unwrap();
        said.trim().to_owned()
    }

    /// Has system call number `call`, counted from here, fail with an error without being made; which
    /// one it was, or `None` if there are not so many. Leaves out those that cannot fail by contract.
    #[cfg(target_arch = "x86_64")]
    pub fn fail_call(&mut self, call: u64, errno: i32) -> Option<u64> {
        let mut seen = 0;
        loop {
            if self.syscall() == Step::End {
                return None;
            }
            let mut registers = self.registers();
            let number = registers.orig_rax;
            let certain = [
                libc::SYS_munmap,
                libc::SYS_close,
                libc::SYS_futex,
                libc::SYS_geteuid,
            ];
            let counts = !certain.contains(&(number as i64));
            if counts && seen == call {
                registers.orig_rax = u64::MAX;
                self.set_registers(&registers);
                assert_eq!(self.syscall(), Step::Done);
                let mut registers = self.registers();
                registers.rax = i64::from(-errno) as u64;
                self.set_registers(&registers);
                return Some(number);
            }
            seen += u64::from(counts);
            if self.syscall() == Step::End {
                return None;
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn registers(&self) -> libc::user_regs_struct {
        // SAFETY: all-zero is a valid value, and the call fills it in.
        unsafe {
            let mut registers: libc::user_regs_struct = core::mem::zeroed();
            let result = libc::ptrace(libc::PTRACE_GETREGS, self.pid, 0, &raw mut registers);
            assert_eq!(result, 0);
            registers
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn set_registers(&self, registers: &libc::user_regs_struct) {
        // SAFETY: the tracee is stopped and ours; the structure is valid.
        let result = unsafe {
            libc::ptrace(
                libc::PTRACE_SETREGS,
                self.pid,
                0,
                core::ptr::from_ref(registers),
            )
        };
        assert_eq!(result, 0);
    }

    /// Whether it stands in the code that the kernel lends to each process, which reads clocks. How many
    /// instructions that takes differs from machine to machine, and with the moment.
    #[cfg(target_arch = "x86_64")]
    pub fn in_the_kernels_code(&self) -> bool {
        self.lent.contains(&self.registers().rip)
    }

    /// The bytes where it stands: the next instruction, and what follows.
    #[cfg(target_arch = "x86_64")]
    pub fn instruction(&self) -> [u8; 16] {
        let at = self.registers().rip;
        let mut bytes = [0; 16];
        for (offset, chunk) in (0u64..).step_by(8).zip(bytes.chunks_exact_mut(8)) {
            // SAFETY: the tracee is stopped and ours; reads its memory, not this process's. Where
            // nothing is mapped the answer is -1, which is no instruction counted here.
            let word = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.pid, at + offset, 0) };
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Kills it where it is.
    pub fn kill(&mut self) {
        if !self.reaped {
            // SAFETY: our own child, not reaped yet.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            while self.wait().is_some() {}
        }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        self.kill();
        let _ = rustix::thread::sched_setaffinity(None, &self.cores);
    }
}
