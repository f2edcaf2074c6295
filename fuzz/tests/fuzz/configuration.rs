//! Configurations: any file is read, or it is an error that the process stops with.
use std::path::Path;

use wiesel_common::config::{Configuration, from_sources, parse_property};
use wiesel_common::memory::{JobManagerMemory, TaskManagerMemory};
use wiesel_fuzz::{Target, corpus};
use wiesel_jobmanager::options::{ControlOptions, JobOptions, JobStoreOptions, RestOptions};

const WORDS: &[&str] = &[
    "\n",
    ": ",
    "  ",
    "- ",
    "{",
    "[",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "|\n",
    ">\n",
    "\"",
    "'",
    "#",
    "---\n",
    "?",
    "rest.port: 8081\n",
    "rest:\n  port: 8080-8090,0\n",
    "taskmanager.memory.process.size: 1728m\n",
    "taskmanager.memory.managed.fraction: 0.4\n",
    "taskmanager.memory.network.max: 1 tb\n",
    "taskmanager.numberOfTaskSlots: 99999999\n",
    "jobmanager.memory.process.size: 9223372036854775807\n",
    "execution.checkpointing.interval: 10 s\n",
    "execution.checkpointing.dir: s3://b/c\n",
    "restart-strategy.type: exponential-delay\n",
    "restart-strategy.exponential-delay.backoff-multiplier: 1e308\n",
    "slot.request.timeout: P30D\n",
    "NaN",
    "-1",
    "1e999",
    "2147483648",
    "9999999999 d",
    "\u{feff}",
];

/// What processes and jobs make of it, but for what looks at the network.
fn used(config: &Configuration) -> bool {
    let read = [
        TaskManagerMemory::from_config(config).is_ok(),
        JobManagerMemory::from_config(config).is_ok(),
        ControlOptions::read(config).is_ok(),
        JobStoreOptions::read(config).is_ok(),
        RestOptions::read(config).is_ok(),
        JobOptions::read(config).is_ok(),
    ];
    config.iter_masked().for_each(drop);
    read.iter().all(|read| *read)
}

#[test]
fn configuration() {
    let mut seeds = corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/conf"), ".yaml");
    seeds.extend(corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches"), ".yaml"));
    let folder = tempfile::tempdir().unwrap();
    let target = Target { memory: 64 << 20, longest: 16 << 10, words: WORDS, ..Target::new("configuration") };
    target.run(seeds, move |input| {
        let text = String::from_utf8_lossy(input);
        let pairs: Vec<_> = text.lines().take(20).filter_map(|line| parse_property(line).ok()).collect();
        let mut taken = false;
        for file in ["config.yaml", "flink-conf.yaml"] {
            let path = folder.path().join(file);
            std::fs::write(&path, input).unwrap();
            if let Ok(config) = from_sources(Some(folder.path()), Some(&*text), pairs.clone()) {
                taken |= used(&config);
            }
            std::fs::remove_file(&path).unwrap();
        }
        taken
    });
}
