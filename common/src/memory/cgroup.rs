//! How much memory the control group (cgroup) of this process may take: the limit of a container, a pod or a service of systemd.
use std::path::{Component, Path, PathBuf};

use crate::config::MemorySize;
use crate::input::{Bound, read_file};

/// What a file of the kernel may have here.
const MAX_FILE: Bound = Bound { bytes: 1 << 16, advice: "the kernel writes a few lines there" };
/// So much is no limit, where the kernel does not say how much the machine has. Version 1 has a number for no limit, too.
const NO_LIMIT: u64 = 1 << 62;

/// The least limit of the group and of those that it is in; none if there is none below the memory of the machine.
pub(super) fn memory_limit() -> Option<MemorySize> {
    limit_below(Path::new("/"))
}

fn limit_below(root: &Path) -> Option<MemorySize> {
    let groups = text(&root.join("proc/self/cgroup"))?;
    let files = groups.lines().filter_map(limit_file).flat_map(|(hierarchy, group, file)| {
        let hierarchy = root.join(hierarchy);
        group.ancestors().map(|group| hierarchy.join(group).join(file)).collect::<Vec<_>>()
    });
    // A file without a number, `max`, limits nothing.
    let limit = files.filter_map(|file| text(&file)?.trim().parse::<u64>().ok()).min()?;
    (limit < machine_memory(root).unwrap_or(NO_LIMIT)).then_some(MemorySize(limit))
}

/// Where the hierarchy of a line of `/proc/self/cgroup` is mounted, the group within it, and the name of the file with its limit;
/// none of a hierarchy that does not count memory.
fn limit_file(line: &str) -> Option<(&'static str, PathBuf, &'static str)> {
    let mut parts = line.splitn(3, ':');
    let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    if id == "0" && controllers.is_empty() {
        return Some(("sys/fs/cgroup", within(path), "memory.max"));
    }
    let is_of_memory = controllers.split(',').any(|controller| controller == "memory");
    is_of_memory.then(|| ("sys/fs/cgroup/memory", within(path), "memory.limit_in_bytes"))
}

/// The path of a group from the mount on. Of one that is outside of what is mounted here only the mount can be seen.
fn within(path: &str) -> PathBuf {
    let mut group = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => group.push(name),
            Component::ParentDir => return PathBuf::new(),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    group
}

fn machine_memory(root: &Path) -> Option<u64> {
    let text = text(&root.join("proc/meminfo"))?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    kibibytes.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

fn text(path: &Path) -> Option<String> {
    String::from_utf8(read_file(path, &MAX_FILE).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        let meminfo = ("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1 kB\n");
        for (path, text) in std::iter::once(&meminfo).chain(files) {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        limit_below(root.path()).map(MemorySize::bytes)
    }

    /// In a container the group is the root of what is mounted.
    #[test]
    fn the_limit_of_a_container() {
        assert_eq!(
            limit(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "2147483648\n")]),
            Some(1 << 31)
        );
        assert_eq!(limit(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "max\n")]), None);
        assert_eq!(limit(&[("proc/self/cgroup", "0::/\n")]), None, "the root of the machine has no such file");
        assert_eq!(limit(&[]), None);
    }

    #[test]
    fn the_least_limit_of_all_groups_around_counts() {
        let group = "0::/system.slice/wiesel.service\n";
        let files = |slice, service| {
            limit(&[
                ("proc/self/cgroup", group),
                ("sys/fs/cgroup/system.slice/memory.max", slice),
                ("sys/fs/cgroup/system.slice/wiesel.service/memory.max", service),
            ])
        };
        assert_eq!(files("4294967296", "max"), Some(1 << 32));
        assert_eq!(files("4294967296", "2147483648"), Some(1 << 31));
        assert_eq!(files("2147483648", "4294967296"), Some(1 << 31));
        assert_eq!(files("max", "max"), None);
    }

    #[test]
    fn version_1_counts_memory_in_a_hierarchy_of_its_own() {
        let group = "12:cpu,cpuacct:/docker/a\n4:memory:/docker/a\n1:name=systemd:/docker/a\n0::/docker/a\n";
        let at = |path: &'static str, limit: &'static str| [("proc/self/cgroup", group), (path, limit)];
        let (own, unlimited) = ("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit(&at(own, "2147483648\n")), Some(1 << 31));
        assert_eq!(limit(&at(own, unlimited)), None);
        // A container without a namespace of groups sees its own at the mount, and its path from the machine's.
        assert_eq!(limit(&at("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n")), Some(1 << 31));
        assert_eq!(limit(&at("sys/fs/cgroup/cpu/docker/a/memory.limit_in_bytes", "1\n")), None);
    }

    #[test]
    fn what_is_no_limit_below_the_memory_of_the_machine_is_none() {
        let with = |limit_: &'static str| {
            limit(&[("proc/self/cgroup", "0::/../other\n"), ("sys/fs/cgroup/memory.max", limit_)])
        };
        assert_eq!(with("17179869183"), Some((16 << 30) - 1));
        for none in ["17179869184", "18446744073709551615", "18446744073709551616", "-1", "", "many", "\u{0}"] {
            assert_eq!(with(none), None, "{none:?}");
        }
    }
}
