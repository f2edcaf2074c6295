//! `dist/rocksdb.sh`, with a compiler that writes down what it is asked for and compiles nothing.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Writes the sources that it is given to `compiled` beside it. With a file `broken` there it fails.
const COMPILER: &str = r#"#!/usr/bin/env bash
folder=$(dirname "$0")
if [[ $1 == --version ]]; then
  cat "$folder/version"
  exit
fi
while (($# > 0)); do
  case $1 in
    -c) part=$2 ;;
    -o) object=$2 ;;
  esac
  shift
done
if [[ -e $folder/broken ]]; then
  echo "part.cc:1:1: error: it is broken"
  exit 1
fi
cat "$part" >>"$folder/compiled"
echo >"$object"
"#;

/// A cache and a compiler of its own.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        fs::write(machine.path("version"), "a compiler 1").unwrap();
        fs::write(machine.path("c++"), COMPILER).unwrap();
        fs::set_permissions(machine.path("c++"), fs::Permissions::from_mode(0o755)).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the script with a command that prints where it finds RocksDB. One compiler at a time: two would mix what they note.
    fn run(&self) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/rocksdb.sh");
        let mut command = Command::new(script);
        for other in ["ROCKSDB_LIB_DIR", "ROCKSDB_STATIC", "ROCKSDB_COMPILE", "CARGO_BUILD_TARGET", "CXXFLAGS"] {
            command.env_remove(other);
        }
        command.env("XDG_CACHE_HOME", self.path("cache")).env("CXX", self.path("c++")).env("CARGO_BUILD_JOBS", "1");
        command.args(["bash", "-c", "echo $ROCKSDB_LIB_DIR"]).output().unwrap()
    }

    /// The folder that a run names, which holds the library.
    fn library(&self) -> PathBuf {
        let output = self.run();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let folder = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        assert!(folder.join("librocksdb.a").is_file(), "{}", folder.display());
        folder
    }

    /// What was compiled since the last call.
    fn compiled(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("compiled")).unwrap_or_default();
        let _ = fs::remove_file(self.path("compiled"));
        text.lines().map(str::to_owned).collect()
    }

    /// What the cache holds beside locks.
    fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("cache/wiesel")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".lock")).collect()
    }
}

#[test]
fn rocksdb_is_compiled_once_for_each_compiler() {
    let machine = Machine::new();
    let library = machine.library();
    let mut sources = machine.compiled();
    assert!(sources.contains(&"#include \"db/db_impl/db_impl.cc\"".to_owned()), "{sources:?}");
    assert!(sources.contains(&"#include \"build_version.cc\"".to_owned()), "{sources:?}");
    let all = sources.len();
    sources.sort_unstable();
    sources.dedup();
    assert_eq!(sources.len(), all, "a source was compiled twice");
    assert!(all > 300, "{all} sources");
    assert_eq!(machine.cached().len(), 1);

    assert_eq!(machine.library(), library);
    assert_eq!(machine.compiled(), Vec::<String>::new());

    fs::write(machine.path("version"), "a compiler 2").unwrap();
    assert_ne!(machine.library(), library);
    assert_eq!(machine.compiled().len(), all);
}

#[test]
fn a_failed_compilation_of_rocksdb_says_where_its_log_is_and_leaves_no_library() {
    let machine = Machine::new();
    fs::write(machine.path("broken"), "").unwrap();
    let output = machine.run();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(output.stdout.is_empty(), "the command was run");
    let cached = machine.cached();
    let [log] = cached.as_slice() else { panic!("{cached:?}") };
    for said in ["it is broken", "ROCKSDB_COMPILE=1", log] {
        assert!(errors.contains(said), "{said} is not in: {errors}");
    }
    assert!(fs::read_to_string(machine.path("cache/wiesel").join(log)).unwrap().contains("it is broken"));

    fs::remove_file(machine.path("broken")).unwrap();
    machine.library();
    assert_eq!(machine.cached().len(), 1, "the log of the failure is gone");
}
