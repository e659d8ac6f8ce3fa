//! Restricts the engine's process: it reaches the folder of the warehouse and the scratch folder, and neither the network nor other
//! programs and processes.
//!
//! DuckDB's own lockdown comes first (`lockdown.rs`). The sandbox holds even if DuckDB has a fault. On a kernel without Landlock, the
//! process runs without it and reports that.

use crate::duckdb::lockdown::Lockdown;
use crate::duckdb::warehouse::Place;
use serde::{Deserialize, Serialize};
use std::io;

/// The restrictions of the engine's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Whether it is restricted to its own files, or why not.
    pub files: Result<(), String>,
    /// Whether it is cut off from the network and other programs, or why not.
    pub calls: Result<(), String>,
}

/// Gives up all rights that the process does not need. The process must still have a single thread.
///
/// # Errors
/// The kernel supports a restriction, but it could not be set.
#[cfg(target_os = "linux")]
pub(super) fn enter(place: &Place, lockdown: &Lockdown) -> io::Result<Sandbox> {
    linux::limits(lockdown)?;
    let files = linux::files(place, lockdown)?;
    let calls = linux::calls()?;
    Ok(Sandbox { files, calls })
}

/// Other systems have no such restrictions.
///
/// # Errors
/// Never.
#[cfg(not(target_os = "linux"))]
pub(super) fn enter(_place: &Place, _lockdown: &Lockdown) -> io::Result<Sandbox> {
    let none = || Err("this system has no Landlock and no seccomp".to_owned());
    Ok(Sandbox {
        files: none(),
        calls: none(),
    })
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{Lockdown, Place};
    use landlock::{
        ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, PathFdError, Ruleset,
        RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
    };
    use rustix::process::{Resource, Rlimit, setrlimit};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };
    use std::collections::BTreeMap;
    use std::io;
    use std::path::Path;

    /// A hard limit above the one that the parent enforces: this multiple of DuckDB's own limit, plus bytes for code, stacks and
    /// allocators, which reserve more than they use.
    const DATA_FACTOR: u64 = 4;
    const DATA_SPARE: u64 = 4 << 30;

    /// Disables core files, which would contain data, and limits memory.
    pub(super) fn limits(lockdown: &Lockdown) -> io::Result<()> {
        let set = |resource, bytes: u64| {
            let limit = Rlimit {
                current: Some(bytes),
                maximum: Some(bytes),
            };
            setrlimit(resource, limit)
        };
        set(Resource::Core, 0)?;
        let data = lockdown.memory_bytes.saturating_mul(DATA_FACTOR);
        set(Resource::Data, data.saturating_add(DATA_SPARE))?;
        Ok(())
    }

    /// Files that DuckDB and the C library read to learn about the machine. None of them is secret.
    const MACHINE: [&str; 9] = [
        "/proc/meminfo",
        "/proc/cpuinfo",
        "/proc/stat",
        "/proc/self",
        "/sys/fs/cgroup",
        "/sys/devices/system/cpu",
        "/dev/null",
        "/dev/urandom",
        "/etc/localtime",
    ];

    /// Allows opening, writing, creating and removing files, but not listing folders: an unguessable file name works as a key.
    pub(super) fn files(place: &Place, lockdown: &Lockdown) -> io::Result<Result<(), String>> {
        let abi = ABI::V6;
        let own =
            make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate | MakeReg | RemoveFile});
        let mut ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(abi))
            .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(abi)))
            .and_then(|ruleset| ruleset.scope(Scope::from_all(abi)))
            .and_then(Ruleset::create)
            .map_err(io::Error::other)?;
        for path in MACHINE {
            ruleset = allow(ruleset, Path::new(path), AccessFs::ReadFile.into(), false)?;
        }
        for folder in [&lockdown.scratch, &lockdown.spill] {
            ruleset = allow(ruleset, folder, own, true)?;
        }
        if let Place::File(file) = place {
            let folder = file.parent().unwrap_or(Path::new("/"));
            ruleset = allow(ruleset, folder, own, true)?;
        }
        let status = ruleset.restrict_self().map_err(io::Error::other)?;
        Ok(match status.ruleset {
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
            RulesetStatus::NotEnforced => Err("this kernel has no Landlock".into()),
        })
    }

    fn allow(
        ruleset: RulesetCreated,
        path: &Path,
        access: BitFlags<AccessFs>,
        is_needed: bool,
    ) -> io::Result<RulesetCreated> {
        match PathFd::new(path) {
            Ok(fd) => ruleset
                .add_rule(PathBeneath::new(fd, access))
                .map_err(io::Error::other),
            Err(PathFdError::OpenCall { source, .. }) if is_needed => Err(source),
            Err(_) => Ok(ruleset),
        }
    }

    /// Refuses system calls that SQL never needs: other programs, the network, other processes, and rarely used parts of the kernel. An
    /// allow list would depend on the version of the C library; for files, Landlock is such a list.
    pub(super) fn calls() -> io::Result<Result<(), String>> {
        let Ok(arch) = std::env::consts::ARCH.try_into() else {
            return Ok(Err(format!(
                "seccomp is not known on {}",
                std::env::consts::ARCH
            )));
        };
        let refused = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_getfd,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_accept,
            libc::SYS_accept4,
            libc::SYS_connect,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_kexec_load,
            libc::SYS_reboot,
            libc::SYS_swapon,
            libc::SYS_setuid,
            libc::SYS_setgid,
        ];
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        for call in refused {
            rules.insert(call, Vec::new());
        }
        // Unix sockets stay allowed, because the C library uses them for its name service. All other kinds could leave the machine.
        let is_other = SeccompCondition::new(
            0,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Ne,
            u64::from(libc::AF_UNIX.unsigned_abs()),
        );
        let is_other = is_other.and_then(|condition| SeccompRule::new(vec![condition]));
        rules.insert(libc::SYS_socket, vec![is_other.map_err(io::Error::other)?]);
        let errno = libc::EPERM.unsigned_abs();
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(errno),
            arch,
        );
        let filter = filter.map_err(io::Error::other)?;
        let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
        Ok(seccompiler::apply_filter(&program).map_err(|error| error.to_string()))
    }
}
