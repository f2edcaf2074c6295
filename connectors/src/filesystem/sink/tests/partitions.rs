//! When partitions are committed, and by which subtask.
use std::collections::BTreeMap;

use wiesel_operators::element::{MAX_WATERMARK, WatermarkStatus};

use super::*;

const BY_PARTITION_TIME: [(&str, &str); 2] =
    [("sink.partition-commit.trigger", "partition-time"), ("sink.partition-commit.delay", "1 h")];

#[test]
fn a_partition_is_committed_by_the_last_subtask_whose_watermark_passed_it() {
    let folder = tempfile::tempdir().unwrap();
    let spec = partition_spec(folder.path(), &BY_PARTITION_TIME);
    let mut attempt = Attempt::start(&spec, 2, &Arc::default(), None);
    let day = |day: i64| day * 86_400_000;
    attempt.write(0, &[(1, "1970-01-02".to_owned()), (2, "1970-01-03".to_owned())]);
    attempt.write(1, &[(3, "1970-01-02".to_owned())]);
    attempt.watermark(0, day(1) + 3_600_001);
    attempt.watermark(1, day(1) + 3_600_000);
    attempt.snapshot(1, 0);
    attempt.complete(1, 3);
    assert_eq!(committed(folder.path()), Vec::<String>::new(), "one subtask's watermark has not passed");
    attempt.watermark(1, day(1) + 3_600_001);
    let checkpoint = attempt.snapshot(2, 0);
    attempt.complete(2, 1);
    assert_eq!(committed(folder.path()), Vec::<String>::new(), "the other subtask has not committed its files");
    let mut rescaled = Attempt::start(&spec, 1, &Arc::default(), Some(&checkpoint));
    assert_eq!(committed(folder.path()), Vec::<String>::new());
    rescaled.watermark(0, day(1) + 3_600_001);
    rescaled.snapshot(3, 0);
    rescaled.complete(3, 1);
    assert_eq!(committed(folder.path()), ["b=1970-01-02"]);
    rescaled.watermark(0, MAX_WATERMARK);
    rescaled.finish();
    rescaled.snapshot(4, 0);
    rescaled.complete(4, 1);
    assert_eq!(committed(folder.path()), ["b=1970-01-02", "b=1970-01-03"]);
    assert_eq!(hidden(folder.path()), 0, "{:?}", files(folder.path()));
}

#[test]
fn partitions_of_a_subtask_that_ended_first_are_committed_by_the_others() {
    for checkpoint in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let spec = partition_spec(folder.path(), &[("sink.partition-commit.success-file.name", "_SUCCESS")]);
        let mut attempt = Attempt::start(&spec, 3, &Arc::default(), None);
        for subtask in [2, 0, 1] {
            attempt.write(subtask, &[(1, format!("p{subtask}"))]);
        }
        let mut waiting = attempt.0;
        for ending in (0..3).rev() {
            let mut sink = Attempt(vec![waiting.remove(ending)]);
            sink.finish();
            match checkpoint {
                true => {
                    assert!(sink.0[0].awaits_checkpoint());
                    sink.snapshot(1, 0);
                    sink.complete(1, 1);
                    assert!(!sink.0[0].awaits_checkpoint());
                }
                false => sink.commit_at_end(),
            }
            assert_eq!(committed(folder.path()).len(), if ending == 0 { 3 } else { 0 });
        }
        assert_eq!(hidden(folder.path()), 0);
    }
}

/// Failed before: an attempt that was given up took off the board what a subtask had said that had ended, and nobody
/// committed its partition.
#[test]
fn partitions_are_committed_whatever_an_attempt_does_that_was_given_up() {
    for (given_up, later) in [(next_number(), next_number()), ((1, 5), (2, 0)), ((2, 5), (1, 0))] {
        let folder = tempfile::tempdir().unwrap();
        let spec = partition_spec(folder.path(), &[]);
        let mut attempt = Attempt::start_as(later, &spec, 2, &Arc::default(), None);
        (0..2).for_each(|subtask| attempt.write(subtask, &[(1, format!("p{subtask}"))]));
        let mut ending = Attempt(vec![attempt.0.remove(1)]);
        ending.finish();
        ending.snapshot(1, 0);
        ending.complete(1, 1);
        assert!(!ending.0[0].awaits_checkpoint(), "it has ended");
        Attempt::start_as(given_up, &spec, 2, &Arc::default(), None).close();
        attempt.finish();
        attempt.snapshot(1, 0);
        attempt.complete(1, 1);
        assert_eq!(committed(folder.path()), ["b=p0", "b=p1"]);
        assert_eq!(hidden(folder.path()), 0, "{:?}", files(folder.path()));
    }
}

/// Of two subtasks that which ends, with its rows in a partition and its last checkpoint taken, and that which goes on.
fn one_that_ends(spec: &proto::SinkSpec) -> [Attempt; 2] {
    let mut ending = Attempt::start(spec, 2, &Arc::default(), None);
    ending.write(0, &[(1, "1970-01-02".to_owned())]);
    let going_on = Attempt(vec![ending.0.remove(1)]);
    ending.finish();
    ending.snapshot(1, 0);
    [ending, going_on]
}

/// What is restored from the checkpoint and finishes commits the partition of [`one_that_ends`].
fn check_committed_after_restart(folder: &Path, spec: &proto::SinkSpec, checkpoint: &Checkpoint) {
    let mut restored = Attempt::start(spec, 2, &Arc::default(), Some(checkpoint));
    restored.finish();
    restored.snapshot(3, 0);
    restored.complete(3, 3);
    assert_eq!(committed(folder), ["b=1970-01-02"]);
    assert_eq!(hidden(folder), 0, "{:?}", files(folder));
}

#[test]
fn partitions_of_a_subtask_that_ended_are_in_the_checkpoints_of_those_that_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let spec = partition_spec(folder.path(), &BY_PARTITION_TIME);
    let [mut ending, mut going_on] = one_that_ends(&spec);
    ending.complete(1, 1);
    assert!(!ending.0[0].awaits_checkpoint(), "it has ended");
    let checkpoint = going_on.snapshot(2, 0);
    going_on.complete(2, 1);
    assert_eq!(committed(folder.path()), Vec::<String>::new(), "the watermark has not passed");
    check_committed_after_restart(folder.path(), &spec, &checkpoint);
}

/// Failed before: nobody committed the partition of a subtask that said that it had ended after the others had taken their
/// snapshots.
#[test]
fn partitions_of_a_subtask_that_ended_while_a_checkpoint_was_under_way_outlive_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let spec = partition_spec(folder.path(), &BY_PARTITION_TIME);
    let [mut ending, mut going_on] = one_that_ends(&spec);
    let checkpoint = going_on.snapshot(2, 0);
    ending.complete(1, 1);
    assert!(!ending.0[0].awaits_checkpoint(), "it has ended");
    Attempt::start(&spec, 3, &Arc::default(), Some(&checkpoint)).close();
    check_committed_after_restart(folder.path(), &spec, &checkpoint);
}

#[test]
fn by_processing_time_a_partition_is_committed_after_its_delay_and_again_with_late_rows() {
    let folder = tempfile::tempdir().unwrap();
    let spec = partition_spec(folder.path(), &[("sink.partition-commit.delay", "10 s")]);
    let clock = Arc::new(TestClock::default());
    let mut attempt = Attempt::start(&spec, 1, &clock, None);
    let success = folder.path().join("b=x/_SUCCESS");
    let mut next = 0;
    let mut checkpoint = |attempt: &mut Attempt, now: i64| {
        next += 1;
        clock.0.store(now, Ordering::SeqCst);
        attempt.snapshot(next, 0);
        attempt.complete(next, 1);
        success.exists()
    };
    attempt.write(0, &[(1, "x".to_owned())]);
    assert!(!checkpoint(&mut attempt, 5_000));
    assert!(!checkpoint(&mut attempt, 10_000));
    assert!(checkpoint(&mut attempt, 10_001));
    fs::remove_file(&success).unwrap();
    assert!(!checkpoint(&mut attempt, 30_000), "nothing new was written");
    attempt.write(0, &[(2, "x".to_owned())]);
    assert!(!checkpoint(&mut attempt, 35_000));
    assert!(checkpoint(&mut attempt, 40_001));
    let mut rows = BTreeMap::new();
    for path in files(folder.path()).iter().filter(|path| path.contains("/part-")) {
        rows.insert(path.clone(), fs::read_to_string(folder.path().join(path)).unwrap());
    }
    assert_eq!(rows.into_values().collect::<BTreeSet<_>>(), ["1\n".to_owned(), "2\n".to_owned()].into());
}

/// Failed before: where its time came between the barrier and the end of a checkpoint, or by the watermark of other subtasks, a
/// partition was committed while rows of it were in a file that went on and was hidden, and not once more with them.
#[test]
fn a_partition_is_not_committed_before_a_file_that_goes_on_has_its_name() {
    let json = |folder: &Path, options: &[(&str, &str)]| {
        let mut spec = sink(folder, &two(), "json", &["b"]);
        spec.options.insert("sink.partition-commit.policy.kind".into(), "success-file".into());
        spec.options.extend(options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        spec
    };
    let visible = |folder: &Path| read(&source(folder, &two(), &[("format", "json")], &["b"]), 1).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let spec = json(folder.path(), &[("sink.partition-commit.delay", "10 s")]);
    let mut attempt = Attempt::start(&spec, 1, &clock, None);
    attempt.write(0, &[(1, "x".to_owned())]);
    clock.0.store(10_000, Ordering::SeqCst);
    attempt.snapshot(1, 0);
    clock.0.store(10_001, Ordering::SeqCst);
    attempt.complete(1, 1);
    assert_eq!((committed(folder.path()).len(), visible(folder.path()).len()), (0, 0));
    attempt.snapshot(2, 0);
    attempt.complete(2, 1);
    assert_eq!((committed(folder.path()).len(), visible(folder.path()).len()), (1, 1));

    let folder = tempfile::tempdir().unwrap();
    let spec = json(folder.path(), &[("sink.partition-commit.trigger", "partition-time")]);
    let mut attempt = Attempt::start(&spec, 2, &Arc::default(), None);
    attempt.write(1, &[(1, "1970-01-02".to_owned())]);
    attempt.watermark(0, 9 * 86_400_000);
    attempt.0[1].status(WatermarkStatus::Idle, &mut Collected::default()).unwrap();
    attempt.snapshot(1, 0);
    attempt.complete(1, 3);
    assert_eq!((committed(folder.path()).len(), visible(folder.path()).len()), (0, 0));
    attempt.finish();
    attempt.snapshot(2, 0);
    attempt.complete(2, 3);
    assert_eq!((committed(folder.path()), visible(folder.path()).len()), (vec!["b=1970-01-02".to_owned()], 1));
}

#[test]
fn options_that_cannot_be_met_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |options: &[(&str, &str)]| {
        let spec = partition_spec(folder.path(), options);
        crate::factory::build_sink(&spec, b"uid").err().expect("refused").to_string()
    };
    assert!(refused(&[("auto-compaction", "true")]).contains("'auto-compaction' is not supported"));
    let metastore = refused(&[("sink.partition-commit.policy.kind", "metastore,success-file")]);
    assert!(metastore.starts_with("Can not configure a 'metastore' partition commit policy"), "{metastore}");
    assert!(refused(&[("sink.partition-commit.policy.kind", "custom")]).contains("Java class"));
    assert!(refused(&[("sink.partition-commit.trigger", "now")]).contains("now"));
    assert!(refused(&[("sink.partition-commit.watermark-time-zone", "Mars")]).contains("Mars"));
    assert!(refused(&[("partition.time-extractor.kind", "custom")]).contains("Java class"));
    assert!(refused(&[("sink.rolling-policy.check-interval", "0 s")]).contains("check-interval"));
    assert!(refused(&[("sink.rolling-policy.file-size", "big")]).contains("big"));
}
