//! The probe on trees of files that stand for machines, and on this one.

use super::calls::Answers;
use super::files::Files;
use super::{Capabilities, Host, HugePool, Need};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// A directory that goes with the value.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let root = std::env::temp_dir().join(format!("vmaple-host-{}-{name}", std::process::id()));
        fs::create_dir_all(&root).expect("a directory");
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        Self(root)
    }

    fn host(&self, answers: Answers) -> Host {
        Host::from(&Files::below(&self.0), answers)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

const SERVER: [(&str, &str); 23] = [
    ("proc/sys/kernel/osrelease", "6.18.44\n"),
    ("proc/sys/kernel/randomize_va_space", "2\n"),
    ("proc/sys/kernel/perf_event_paranoid", "-1\n"),
    ("proc/sys/kernel/yama/ptrace_scope", "1\n"),
    ("proc/sys/vm/max_map_count", "1048576\n"),
    ("proc/sys/vm/mmap_min_addr", "65536\n"),
    ("proc/sys/vm/overcommit_memory", "2\n"),
    ("proc/sys/vm/overcommit_ratio", "50\n"),
    ("proc/sys/vm/overcommit_kbytes", "0\n"),
    ("proc/sys/vm/admin_reserve_kbytes", "8\n"),
    ("proc/sys/vm/user_reserve_kbytes", "4\n"),
    ("proc/sys/vm/legacy_va_layout", "1\n"),
    ("proc/meminfo", "MemTotal: 100 kB\nSwapTotal:  20 kB\nCommitLimit:      2000 kB\nHugepagesize:    2048 kB\n"),
    ("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu la57 pku\n"),
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max stack size            8388608              unlimited            bytes     \n\
         Max locked memory         32768                65536                bytes     \n",
    ),
    ("proc/self/smaps", "1000-2000 rw-p 0 0:0 0\nVmFlags: rd wr sd \n"),
    ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "20\n"),
    ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "9\n"),
    ("sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "2\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("sys/kernel/mm/transparent_hugepage/shmem_enabled", "always within_size advise [never] deny force\n"),
    ("sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "2097152\n"),
    ("sys/kernel/mm/transparent_hugepage/hugepages-64kB/shmem_enabled", "always [inherit] within_size advise never\n"),
];

#[test]
fn every_property_is_read() {
    let host = Tree::new("server", &SERVER).host(Answers { has_keys: true, ..Answers::default() });
    assert_eq!(host.release.as_deref(), Some("6.18.44"));
    assert_eq!((host.protection_keys, host.address_bits), (16, Some(56)));
    assert_eq!((host.max_map_count, host.mmap_min_addr), (Some(1_048_576), Some(65_536)));
    assert_eq!((host.overcommit.mode, host.overcommit.limit_bytes), (Some(2), Some(2000 << 10)));
    assert_eq!((host.overcommit.reserved_bytes, host.memory_bytes), (12 << 10, Some(120 << 10)));
    assert_eq!(host.huge_pools, [HugePool { page_bytes: 2 << 20, reserved: 20, free: 7, surplus: 0 }]);
    assert_eq!(host.transparent.private.as_deref(), Some("madvise"));
    assert_eq!((host.transparent.shmem.as_deref(), host.transparent.page_bytes), (Some("never"), Some(2 << 20)));
    let [size] = &host.transparent.sizes[..] else { panic!("{:?}", host.transparent) };
    assert_eq!((size.page_bytes, size.shmem.as_deref(), size.private.as_deref()), (64 << 10, Some("inherit"), None));
    assert_eq!((host.legacy_va_layout, host.randomize_va_space), (Some(true), Some(2)));
    assert_eq!((host.perf_event_paranoid, host.ptrace_scope), (Some(-1), Some(1)));
    assert_eq!((host.most_stack_bytes, host.most_locked_bytes), (None, Some(65_536)));
    let has = |word: &str| host.has(word.parse().expect("a need"));
    for word in ["keys", "hugetlb", "hugetlb:7", "ptrace", "mseal", "set_mm"] {
        assert!(has(word), "{word}");
    }
    for word in ["attach", "hugetlb:8", "overcommit", "root", "cap:ipc_lock", "perf", "topdown"] {
        assert!(!has(word), "{word}");
    }
}

/// Either the system or the personality has searches go up.
#[test]
fn the_direction_of_searches_follows_from_setting_and_personality() {
    for (setting, personality, has) in [
        ("0\n", Some(0), true),
        ("0\n", None, true),
        ("1\n", Some(0), false),
        ("0\n", Some(0x24_0000), false),
        ("0\n", Some(0x4_0000), true),
    ] {
        let answers = Answers { personality, ..Answers::default() };
        let host = Tree::new("direction", &[("proc/sys/vm/legacy_va_layout", setting)]).host(answers);
        assert_eq!(host.has(Need::TopDown), has, "{setting} {personality:?}");
    }
}

/// A machine that reports nothing and one that reports nonsense: the probe does not fail, and nothing is known.
#[test]
fn missing_files_leave_properties_unknown() {
    let garbled: Vec<(&str, &str)> = SERVER.iter().map(|(path, _)| (*path, "[?\n")).collect();
    for tree in [Tree::new("nothing", &[]), Tree::new("nonsense", &garbled[1..])] {
        let mut host = tree.host(Answers::default());
        host.huge_pools.clear();
        host.transparent.sizes.clear();
        assert_eq!(host, Host::default());
        assert!(host.to_string().contains("max_map_count              unknown\n"), "{host}");
        assert_eq!(host.first_missing([Need::Overcommit, Need::Ptrace, Need::Keys]), Some(Need::Keys));
    }
}

/// Trace points are for those who may see raw addresses, and who can read where they are described.
#[test]
fn fault_trace_points_need_permission_and_a_description() {
    let described = ("sys/kernel/tracing/events/exceptions/page_fault_user/id", "190\n");
    let level = |level| ("proc/sys/kernel/perf_event_paranoid", level);
    let with = |capabilities| Answers { capabilities, ..Answers::default() };
    for (files, capabilities, may) in [
        (&[described, level("-1")][..], Capabilities::default(), true),
        (&[described, level("2")], Capabilities::default(), false),
        (&[described, level("2")], Capabilities::PERFMON, true),
        (&[level("2")], Capabilities::PERFMON, false),
        (&[level("2")], Capabilities::SYS_ADMIN, true),
    ] {
        let host = Tree::new("faults", files).host(with(capabilities));
        assert_eq!(host.has(Need::Perf), may, "{files:?} {capabilities}");
    }
}

/// The capabilities of a container's root do not count outside it.
#[test]
fn capabilities_in_a_user_namespace_are_none() {
    let answers = Answers { capabilities: Capabilities::from_bits(u64::MAX), is_root: true, ..Answers::default() };
    for (name, of_the_system) in [("user:[4026531837]", true), ("user:[4026532101]", false)] {
        let tree = Tree::new("namespace", &[("proc/self/ns/mnt", "")]);
        std::os::unix::fs::symlink(name, tree.0.join("proc/self/ns/user")).expect("a link");
        let host = tree.host(answers.clone());
        assert_eq!((host.has(Need::Root), host.has(Need::Capability(Capabilities::IPC_LOCK))), (of_the_system, of_the_system));
    }
}

#[test]
fn a_refused_call_is_a_lack() {
    let refused = BTreeMap::from([(Need::Mseal, libc::ENOSYS), (Need::Keys, libc::EPERM), (Need::Userfaultfd, libc::EPERM)]);
    let answers = Answers { has_keys: true, refused, ..Answers::default() };
    let host = Tree::new("refused", &[]).host(answers.clone());
    assert!(!host.has(Need::Mseal) && !host.has(Need::Keys) && !host.has(Need::Userfaultfd) && host.has(Need::Mbind));
    assert_eq!(host.protection_keys, 16, "memory for execution alone is protected all the same");
    assert!(Tree::new("device", &[("dev/userfaultfd", "")]).host(answers).has(Need::Userfaultfd));
}

#[test]
fn a_hidden_feature_is_a_lack() {
    let answers = Answers { has_keys: true, capabilities: Capabilities::from_bits(u64::MAX), is_root: true, ..Answers::default() };
    let host = Tree::new("hidden", &SERVER).host(answers);
    let words = "keys,hugetlb,cap:ipc_lock, mseal,,mbind";
    let hidden = crate::need::parse_list(words).expect("all are known");
    let bare = host.clone().without(hidden.clone());
    assert_eq!(host.first_missing(hidden.clone()), None);
    for need in hidden {
        assert!(!bare.has(need), "{need}");
    }
    assert_eq!((bare.protection_keys, bare.default_pool().map(|pool| pool.available())), (0, Some(0)));
    assert!(bare.has(Need::Root) && bare.capabilities.contains(Capabilities::SYS_RAWIO));
    assert_eq!((bare.address_bits, bare.transparent), (Some(56), host.transparent.clone()), "the system's own stays");
    let ordinary = host.without(vec![Need::Root]);
    assert_eq!((ordinary.is_root, ordinary.capabilities), (false, Capabilities::default()));
}

#[test]
fn words_are_read_back_and_unknown_ones_refused() {
    for need in Need::all().chain([Need::Hugetlb(12), Need::Capability(Capabilities::SYS_RAWIO)]) {
        assert_eq!(need.to_string().parse(), Ok(need));
    }
    for wrong in ["key", "Keys", "cap:", "cap:flying", "cap:ipc_lock,sys_rawio", "hugetlb:0", "hugetlb:", "keys:1", "thp", "\u{1b}"] {
        let unknown = wrong.parse::<Need>().expect_err(wrong);
        assert!(unknown.to_string().contains("is not one of keys, hugetlb, "), "{unknown}");
        assert!(crate::need::parse_list(&format!("keys,{wrong},perf")).is_err() || wrong.contains(','), "{wrong}");
    }
    assert_eq!(crate::need::parse_list(""), Ok(Vec::new()));
    assert_eq!(Capabilities::from_bits(1 << 14 | 1 << 17 | 1 << 63).to_string(), "ipc_lock,sys_rawio,63");
    assert_eq!(Capabilities::default().to_string(), "-");
}

/// On this machine the probe agrees with what the processor's flags and the status of the process say, where they say it.
#[test]
fn this_machine_is_probed_once() {
    let host = Host::as_it_is();
    assert!(std::ptr::eq(host, Host::as_it_is()) && std::ptr::eq(Host::probe(), Host::probe()));
    if let Ok(info) = fs::read_to_string("/proc/cpuinfo") {
        assert_eq!(host.protection_keys == 16, info.split_ascii_whitespace().any(|word| word == "ospke"));
    }
    if let Ok(status) = fs::read_to_string("/proc/thread-self/status") {
        let value = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("a line");
        assert_eq!(format!("{:016x}", host.capabilities.bits()), value.trim());
    }
    if let (Some(lowest), Some(set)) = (host.lowest_address, host.mmap_min_addr) {
        assert!(lowest >= set, "{lowest:#x} is not below {set:#x}");
    }
    let shown = host.to_string();
    assert!(shown.lines().all(|line| line.len() > 27) && shown.contains("\nhas "), "{shown}");
}
