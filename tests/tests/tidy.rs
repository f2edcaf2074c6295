//! The rules of the repository that neither the compiler nor clippy knows. What breaks one is named, with what to do.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The most lines of a file of code.
const MAX_LINES: usize = 800;

/// The most crates of a program of which each depends on the next.
const MAX_CHAIN: usize = 6;

/// Paths in documents that look like ours and are those of other projects.
const FOREIGN_PATHS: [&str; 1] = ["docs/dev/rust-guidelines.md"];

/// Dependencies that no code names: the folder, the crate and what it is there for.
const NAMED_NOWHERE: [(&str, &str, &str); 6] = [
    ("network", "lz4_flex", "a feature: the decoder that checks bounds"),
    ("proto", "tonic-prost", "the generated code names it"),
    ("tests", "wiesel-common", "a feature: fault points"),
    ("tests", "criterion", "features that `cargo build` and `cargo test` have to share"),
    ("tests", "proptest", "features that `cargo build` and `cargo test` have to share"),
    ("tests", "regex-automata", "features that build scripts and programs have to share"),
];

/// Members of which tasks are built that what a record passes through is no part of.
const COLD: [&str; 1] = ["proto"];

/// What a simulation plays, and what of it belongs to real threads alone.
const PLAYED: [&str; 10] = [
    "bulk-formats/src/",
    "common/src/",
    "connectors/src/",
    "expressions/src/",
    "jobmanager/src/",
    "operators/src/",
    "sql/src/",
    "state-backends/src/",
    "state/src/",
    "taskmanager/src/",
];
const OF_REAL_THREADS: [&str; 4] =
    ["common/src/notifier.rs", "common/src/time.rs", "taskmanager/src/heap/", "taskmanager/src/task/"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What is no part of the sources: hidden, or built.
fn is_left_out(name: &str) -> bool {
    name.starts_with('.') || name == "target" || name == "__pycache__"
}

fn entries(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let named = entries.map(|entry| {
        let entry = entry.expect("an entry of a folder that can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        (entry.path(), name)
    });
    named.filter(|(_, name)| !is_left_out(name)).collect()
}

/// The folders at the root.
fn folders() -> BTreeSet<String> {
    entries(&root()).into_iter().filter(|(path, _)| path.is_dir()).map(|(_, name)| name).collect()
}

/// The files below the root with one of these endings, by their path from there.
fn files(endings: &[&str]) -> Vec<String> {
    fn walk(folder: &Path, below: &str, endings: &[&str], found: &mut Vec<String>) {
        for (path, name) in entries(folder) {
            if path.is_dir() {
                walk(&path, &format!("{below}{name}/"), endings, found);
            } else if name.rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending)) {
                found.push(format!("{below}{name}"));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), "", endings, &mut found);
    assert!(!found.is_empty(), "no files below {}", root().display());
    found
}

#[test]
fn no_file_is_longer_than_can_be_read() {
    let long = files(&["rs", "py", "sh", "proto"]).into_iter().filter_map(|file| {
        let lines = read(&file).lines().count();
        (lines > MAX_LINES).then(|| format!("{file} has {lines}"))
    });
    let long: Vec<String> = long.collect();
    assert!(long.is_empty(), "a file has at most {MAX_LINES} lines; cut in two by subject: {long:#?}");
}

/// Lines of a document outside blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    })
}

/// What stands between backticks.
fn code_words(text: &str) -> impl Iterator<Item = &str> {
    prose(text).flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The name by which a heading is linked to.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let letters = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '));
    letters.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// What is wrong with a link of a document.
fn fault_of_link(document: &str, link: &str) -> Option<String> {
    let (path, wanted) = link.split_once('#').unwrap_or((link, ""));
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let target = match path {
        "" => root().join(document),
        _ => root().join(folder).join(path),
    };
    if !target.exists() {
        return Some(format!("{document} links to {link}: there is no such file"));
    }
    if wanted.is_empty() {
        return None;
    }
    let text = std::fs::read_to_string(&target).unwrap_or_default();
    let is_there = prose(&text).filter(|line| line.starts_with('#')).any(|line| anchor(line) == wanted);
    (!is_there).then(|| format!("{document} links to {link}: there is no such heading"))
}

/// What there is to be named.
struct Named {
    folders: BTreeSet<String>,
    /// Of files of code.
    file_names: BTreeSet<String>,
    /// The words of the code of each member.
    words: BTreeMap<String, BTreeSet<String>>,
}

impl Named {
    fn of_the_repository() -> Self {
        let (folders, files) = (folders(), files(&["rs", "proto"]));
        let file_name = |file: &String| file.rsplit('/').next().unwrap_or_default().to_owned();
        let words = folders.iter().map(|folder| (folder.clone(), words(&format!("{folder}/"), &files))).collect();
        Self { file_names: files.iter().map(file_name).collect(), folders, words }
    }
}

/// Whether what a document has between backticks is a path, a file of code, or something of a crate, that there is not.
fn is_missing(word: &str, named: &Named) -> bool {
    let Named { folders, file_names, words } = named;
    if word.contains(|c: char| c.is_whitespace() || "*<>{}$…".contains(c)) || FOREIGN_PATHS.contains(&word) {
        return false;
    }
    let exists = |path: &str| root().join(path).exists() || root().join(format!("{path}.rs")).exists();
    if let Some((folder, _)) = word.split_once('/') {
        return folders.contains(folder) && !exists(word.trim_end_matches('/'));
    }
    match word.split_once("::") {
        Some((folder, rest)) if folders.contains(folder) => {
            let module = rest.split("::").next().unwrap_or_default();
            let is_module = module.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let item = rest.trim_end_matches("()").rsplit("::").next().unwrap_or_default();
            is_module && !exists(&format!("{folder}/src/{module}")) || !words[folder].contains(item)
        }
        _ => word.ends_with(".rs") && !file_names.contains(word),
    }
}

#[test]
fn what_documents_point_at_exists() {
    let named = Named::of_the_repository();
    assert_eq!(anchor("## 12. What it does, `today`"), "12-what-it-does-today");
    assert!(is_missing("tests/src/no_such.rs", &named) && !is_missing("tests/tests/tidy", &named));
    assert!(is_missing("common::no_such", &named) && !is_missing("common::time::Clock", &named));
    assert!(is_missing("common::time::Sundial", &named) && !is_missing("common::fault::point()", &named));
    assert!(is_missing("no_such.rs", &named) && !is_missing("tidy.rs", &named) && !is_missing("config.yaml", &named));
    assert!(fault_of_link("docs/design.md", "../README.md#no-such").is_some());
    let mut faults = Vec::new();
    for document in files(&["md"]) {
        let text = read(&document);
        // Of what does not exist yet, another test sees to it that it does not.
        let (built, _) = text.split_once(PLANNED).unwrap_or((text.as_str(), ""));
        let missing = code_words(built).filter(|word| is_missing(word, &named));
        faults.extend(missing.map(|word| format!("{document} names `{word}`: there is no such file")));
        let links = prose(&text).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
        let ours = links.filter(|link| !link.contains("://") && !link.contains(' '));
        faults.extend(ours.filter_map(|link| fault_of_link(&document, link)));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

const PLANNED: &str = "\n## 15. Planned\n";

#[test]
fn what_is_planned_is_not_there() {
    let design = read("docs/design.md");
    let (_, planned) = design.split_once(PLANNED).expect("docs/design.md has the section of what is planned");
    let rows = planned.lines().filter(|line| line.starts_with("| `"));
    let first_cells: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1)).collect();
    assert!(first_cells.len() > 3, "{first_cells:?}");
    let folders = folders();
    // The name of a folder that there is says only where something is to be.
    let paths = first_cells.iter().flat_map(|cell| code_words(cell)).filter(|path| !is_crate(path, &folders));
    let built: Vec<&str> = paths.filter(|path| root().join(path).exists()).collect();
    assert!(built.is_empty(), "{built:?} exist: say so in docs/design.md, and take them from what is planned");
}

const WITHOUT_A_READER: &str = "\n### Built, without a reader\n";

#[test]
fn what_has_no_reader_yet_is_there() {
    let named = Named::of_the_repository();
    let design = read("docs/design.md");
    let (_, table) = design.split_once(WITHOUT_A_READER).expect("docs/design.md has the section of what has no reader");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let names: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1)).flat_map(code_words).collect();
    let of_a_crate: Vec<&&str> = names.iter().filter(|name| name.contains("::")).collect();
    assert!(of_a_crate.len() > 3, "{names:?}");
    let gone: Vec<_> = of_a_crate.into_iter().filter(|name| is_missing(name, &named)).collect();
    assert!(gone.is_empty(), "{gone:?} are not there: take them from what docs/design.md says to have no reader");
}

fn is_crate(path: &str, folders: &BTreeSet<String>) -> bool {
    folders.contains(path) && root().join(path).join("Cargo.toml").exists()
}

/// The folders that ARCHITECTURE.md names, each with what it may depend on; none: on all.
fn folder_table() -> BTreeMap<String, Option<Vec<String>>> {
    let page = read("ARCHITECTURE.md");
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let mut table = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').collect();
        let [_, folders, _, depends, ..] = cells[..] else { panic!("{row}") };
        for folder in names(folders) {
            table.insert(folder, (depends.trim() != "all").then(|| names(depends)));
        }
    }
    table
}

/// The dependencies of a manifest by section: `dependencies`, `dev-dependencies`, `workspace.dependencies` and the like.
fn dependencies(manifest: &str) -> BTreeMap<String, Vec<String>> {
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if section.ends_with("dependencies")
            && let Some((name, _)) = line.split_once('=').filter(|_| !line.starts_with('#'))
        {
            let name = name.trim().trim_end_matches(".workspace").to_owned();
            sections.entry(section.clone()).or_default().push(name);
        }
    }
    sections
}

/// The members of the workspace, with their dependencies.
fn members() -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let is_member = |folder: &String| root().join(folder).join("Cargo.toml").exists();
    let with_dependencies = |folder: String| {
        let found = dependencies(&read(&format!("{folder}/Cargo.toml")));
        (folder, found)
    };
    folders().into_iter().filter(is_member).map(with_dependencies).collect()
}

/// The members that each member is built of, without those that its tests need.
fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let of_workspace = |sections: BTreeMap<String, Vec<String>>| {
        let names = sections.get("dependencies").into_iter().flatten();
        names.filter_map(|name| name.strip_prefix("wiesel-")).map(str::to_owned).collect()
    };
    members().into_iter().map(|(folder, sections)| (folder, of_workspace(sections))).collect()
}

#[test]
fn folders_depend_on_what_the_architecture_says() {
    fn reach(folder: &str, table: &BTreeMap<String, Option<Vec<String>>>, found: &mut BTreeSet<String>) {
        for next in table.get(folder).into_iter().flatten().flatten() {
            if found.insert(next.clone()) {
                reach(next, table, found);
            }
        }
    }
    let (table, crates) = (folder_table(), crates());
    assert_eq!(
        table.keys().cloned().collect::<BTreeSet<_>>(),
        folders(),
        "the folders of ARCHITECTURE.md and those there are"
    );
    for (folder, of) in &crates {
        if table[folder].is_none() {
            continue;
        }
        let mut allowed = BTreeSet::from(["common".to_owned(), "proto".to_owned()]);
        reach(folder, &table, &mut allowed);
        let other: Vec<_> = of.difference(&allowed).collect();
        assert!(other.is_empty(), "{folder} depends on {other:?}, which its row in ARCHITECTURE.md does not allow");
    }
}

#[test]
fn a_program_is_a_short_chain_of_crates() {
    fn chain(folder: &str, crates: &BTreeMap<String, BTreeSet<String>>) -> usize {
        1 + crates[folder].iter().map(|next| chain(next, crates)).max().unwrap_or(0)
    }
    let crates = crates();
    for program in ["client", "jobmanager", "taskmanager"] {
        let length = chain(program, &crates);
        assert!((2..=MAX_CHAIN).contains(&length), "{program} is a chain of {length} crates, of at most {MAX_CHAIN}");
    }
}

/// The packages of Cargo.lock, with what each depends on, by name: of one that is there in several versions, all of them.
fn locked(lock: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock.split("[[package]]\n").skip(1) {
        let name = package.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        let of = packages.entry(name.expect("each package has a name").to_owned()).or_default();
        // ` "name",`, or ` "name version",` where there are several.
        let entries = package.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\","));
        of.extend(entries.filter_map(|entry| entry.split(' ').next()).map(str::to_owned));
    }
    packages
}

/// All packages that a member is built of: by the manifests of members, because Cargo.lock has what their tests need too, and by
/// Cargo.lock for the rest.
fn linked(member: &str) -> BTreeSet<String> {
    let (members, packages) = (members(), locked(&read("Cargo.lock")));
    let mut found = BTreeSet::new();
    let mut names = vec![format!("wiesel-{member}")];
    while let Some(name) = names.pop() {
        let of_member = name.strip_prefix("wiesel-").map(|folder| members[folder].get("dependencies"));
        let next: Vec<String> = match of_member {
            Some(dependencies) => dependencies.into_iter().flatten().cloned().collect(),
            None => packages[&name].iter().cloned().collect(),
        };
        names.extend(next.into_iter().filter(|name| found.insert(name.clone())));
    }
    found
}

#[test]
fn what_plans_jobs_links_neither_rocksdb_nor_parquet() {
    let of_tasks = linked("taskmanager");
    let of_plans = ["client", "jobmanager", "sql", "connectors"].map(|member| (member, linked(member)));
    // Of each library, and of what only it depends on.
    for package in ["rocksdb", "librocksdb-sys", "parquet", "thrift"] {
        assert!(of_tasks.contains(package), "this test looks for {package} where it is");
        for (member, all) in &of_plans {
            assert!(
                !all.contains(package),
                "{member} links {package}, which only tasks need: let it depend on state, not on state-backends, and on \
                 connectors, not on bulk-formats"
            );
        }
    }
}

/// The words of the code of a folder, without comments.
fn words(folder: &str, files: &[String]) -> BTreeSet<String> {
    let is_of = |file: &&String| file.starts_with(folder) && *file != "tests/tests/tidy.rs";
    let mut words = BTreeSet::new();
    for file in files.iter().filter(is_of) {
        let text = read(file);
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let of_line = |line: &str| -> Vec<String> {
            line.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect()
        };
        words.extend(code.flat_map(of_line));
    }
    words
}

#[test]
fn every_dependency_is_used() {
    let (members, files) = (members(), files(&["rs"]));
    let mut unused = Vec::new();
    for (folder, sections) in &members {
        for (section, names) in sections {
            let place = match section.as_str() {
                // What only tests use is no dependency of the crate.
                "dependencies" if root().join(folder).join("src").exists() => format!("{folder}/src/"),
                "build-dependencies" => format!("{folder}/build.rs"),
                _ => format!("{folder}/"),
            };
            let words = words(&place, &files);
            let not_named = names.iter().filter(|name| !words.contains(&name.replace('-', "_")));
            unused.extend(not_named.map(|name| (folder.clone(), name.clone())));
        }
    }
    let known = NAMED_NOWHERE.map(|(folder, name, _)| (folder.to_owned(), name.to_owned()));
    let (unused, known) = (BTreeSet::from_iter(unused), BTreeSet::from(known));
    assert_eq!(unused, known, "dependencies that no code names, and those of which this test says what they are for");

    let taken: BTreeSet<&String> = members.values().flat_map(|sections| sections.values().flatten()).collect();
    let manifest = dependencies(&read("Cargo.toml"));
    let of_nobody: Vec<_> = manifest["workspace.dependencies"].iter().filter(|name| !taken.contains(name)).collect();
    assert!(of_nobody.is_empty(), "Cargo.toml has {of_nobody:?}, which no member takes");
}

/// The packages that a profile speaks of.
fn packages_of(profile: &str, manifest: &str) -> BTreeSet<String> {
    let table = format!("[profile.{profile}.package");
    let mut found = BTreeSet::new();
    let mut is_table = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_table = line == format!("{table}]");
            let one = line.strip_prefix(&table).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(']'));
            found.extend(one.map(str::to_owned));
        } else if is_table && let Some(name) = line.split(['.', '=']).next().filter(|_| line.contains('=')) {
            found.insert(name.trim().to_owned());
        }
    }
    found
}

/// A name that is no package any more is a warning of cargo's among many lines, and the package is compiled as it comes.
#[test]
fn profiles_speak_of_packages_that_there_are() {
    let (manifest, lock) = (read("Cargo.toml"), read("Cargo.lock"));
    let locked: BTreeSet<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    for profile in ["dev", "release"] {
        let packages = packages_of(profile, &manifest);
        assert!(!packages.is_empty(), "Cargo.toml has nothing of packages in its profile {profile}");
        let gone: Vec<_> = packages.iter().filter(|package| !locked.contains(package.as_str())).collect();
        assert!(gone.is_empty(), "the profile {profile} of Cargo.toml names {gone:?}, which Cargo.lock does not have");
    }
}

/// What a record passes through is optimised in every build: a new crate would be slow there, and nothing else would tell.
#[test]
fn what_tasks_are_built_of_is_optimised() {
    fn reach(folder: &str, crates: &BTreeMap<String, BTreeSet<String>>, found: &mut BTreeSet<String>) {
        if found.insert(folder.to_owned()) {
            crates[folder].iter().for_each(|next| reach(next, crates, found));
        }
    }
    let mut of_tasks = BTreeSet::new();
    reach("taskmanager", &crates(), &mut of_tasks);
    assert!(of_tasks.len() > 5, "{of_tasks:?}");
    let optimised = packages_of("dev", &read("Cargo.toml"));
    let slow: Vec<_> = of_tasks
        .iter()
        .filter(|folder| !COLD.contains(&folder.as_str()) && !optimised.contains(&format!("wiesel-{folder}")))
        .collect();
    assert!(slow.is_empty(), "[profile.dev.package] of Cargo.toml lacks {slow:?}: give them opt-level 2");
}

/// A simulation moves the clock of tokio; what reads the machine's would not see it.
#[test]
fn what_a_simulation_plays_has_the_time_of_tokio() {
    let is_played = |file: &String| {
        let begins = |with: &[&str]| with.iter().any(|path| file.starts_with(path));
        let is_of_tests = file.ends_with("tests.rs") || file.contains("/tests/") || file.contains("/testing/");
        begins(&PLAYED) && !begins(&OF_REAL_THREADS) && !is_of_tests
    };
    let mut found = Vec::new();
    for file in files(&["rs"]).into_iter().filter(is_played) {
        let text = read(&file);
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let of_std = |line: &&str| line.contains("std::time::") && line.contains("Instant");
        found.extend(code.lines().filter(of_std).map(|line| format!("{file}: {}", line.trim())));
    }
    assert!(found.is_empty(), "use tokio::time::Instant, which a simulation moves: {found:#?}");
}
