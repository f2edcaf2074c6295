//! When partitions are committed, and by which subtask.
use std::collections::BTreeMap;

use wiesel_operators::element::{MAX_WATERMARK, WatermarkStatus};

use super::*;

const BY_PARTITION_TIME: [(&str, &str); 2] =
    [("sink.partition-commit.trigger", "partition-time"), ("sink.partition-commit.delay", "1 h")];

/// How many rows readers of a table of json see.
fn visible(folder: &Path) -> usize {
    read(&source(folder, &two(), &[("format", "json")], &["b"]), 1).unwrap().len()
}

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

/// Failed before: an attempt that was given up removed the progress file of a subtask that had ended, and no subtask committed
/// its partition.
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

/// Failed before: no subtask committed the partition of one whose progress file said that it had ended after the others had taken
/// their snapshots.
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
    let clock = Arc::new(ManualClock::default());
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
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let spec = partition_spec_of(folder.path(), "json", &[("sink.partition-commit.delay", "10 s")]);
    let mut attempt = Attempt::start(&spec, 1, &clock, None);
    attempt.write(0, &[(1, "x".to_owned())]);
    clock.0.store(10_000, Ordering::SeqCst);
    attempt.snapshot(1, 0);
    clock.0.store(10_001, Ordering::SeqCst);
    attempt.complete(1, 1);
    assert_eq!((committed(folder.path()).len(), visible(folder.path())), (0, 0));
    attempt.snapshot(2, 0);
    attempt.complete(2, 1);
    assert_eq!((committed(folder.path()).len(), visible(folder.path())), (1, 1));

    let folder = tempfile::tempdir().unwrap();
    let spec = partition_spec_of(folder.path(), "json", &[("sink.partition-commit.trigger", "partition-time")]);
    let mut attempt = Attempt::start(&spec, 2, &Arc::default(), None);
    attempt.write(1, &[(1, "1970-01-02".to_owned())]);
    attempt.watermark(0, 9 * 86_400_000);
    attempt.0[1].status(WatermarkStatus::Idle, &mut Collected::default()).unwrap();
    attempt.snapshot(1, 0);
    attempt.complete(1, 3);
    assert_eq!((committed(folder.path()).len(), visible(folder.path())), (0, 0));
    attempt.finish();
    attempt.snapshot(2, 0);
    attempt.complete(2, 3);
    assert_eq!((committed(folder.path()), visible(folder.path())), (vec!["b=1970-01-02".to_owned()], 1));
}

/// Failed before: a subtask with no file in the partition, or a complete one, committed it for another, and forgot what it had
/// in it itself. No subtask committed it with the rows of the hidden file.
#[test]
fn pending_partitions_of_a_subtask_that_ended_are_not_committed_before_the_files_of_others_have_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let spec = partition_spec_of(folder.path(), "json", &[("sink.partition-commit.delay", "20 s")]);
    let mut attempt = Attempt::start(&spec, 2, &clock, None);
    attempt.write(1, &[(1, "x".to_owned())]);
    let mut ending = Attempt(vec![attempt.0.remove(1)]);
    ending.finish();
    for subtask in [&mut attempt, &mut ending] {
        subtask.snapshot(1, 0);
        subtask.complete(1, 1);
    }
    let mut checkpoint = |id: u64, now: i64| {
        clock.0.store(now, Ordering::SeqCst);
        attempt.snapshot(id, 0);
        attempt.complete(id, 1);
        if id == 2 {
            attempt.write(0, &[(2, "x".to_owned())]);
        }
        (committed(folder.path()).len(), visible(folder.path()))
    };
    assert_eq!(checkpoint(2, 17_000), (0, 1));
    assert_eq!(checkpoint(3, 20_001), (0, 1), "a file in it is hidden");
    assert_eq!(checkpoint(4, 37_000), (0, 1), "a file in it is hidden");
    assert_eq!(checkpoint(5, 37_001), (1, 2));
}

/// Failed before: the subtask that was notified last committed it.
#[test]
fn a_partition_is_not_committed_before_the_files_of_all_active_subtasks_have_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let spec = partition_spec_of(folder.path(), "json", &[("sink.partition-commit.delay", "10 s")]);
    let mut attempt = Attempt::start(&spec, 2, &clock, None);
    attempt.write(0, &[(1, "x".to_owned())]);
    clock.0.store(5_000, Ordering::SeqCst);
    attempt.write(1, &[(2, "x".to_owned())]);
    let mut checkpoint = |id: u64, now: i64| {
        clock.0.store(now, Ordering::SeqCst);
        attempt.snapshot(id, 0);
        attempt.complete(id, 0b10);
        attempt.complete(id, 0b01);
        (committed(folder.path()).len(), visible(folder.path()))
    };
    assert_eq!(checkpoint(1, 6_000), (0, 0));
    assert_eq!(checkpoint(2, 10_001), (0, 1), "the other's file is hidden");
    assert_eq!(checkpoint(3, 15_001), (1, 2));
}

/// Its own watermark stands still: by that its file would be complete when it is old only.
#[test]
fn the_file_of_an_idle_subtask_is_complete_by_the_watermark_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let spec = partition_spec_of(folder.path(), "json", &BY_PARTITION_TIME);
    let mut attempt = Attempt::start(&spec, 2, &Arc::default(), None);
    attempt.write(1, &[(1, "1970-01-02".to_owned())]);
    attempt.0[1].status(WatermarkStatus::Idle, &mut Collected::default()).unwrap();
    attempt.watermark(0, 9 * 86_400_000);
    let mut checkpoint = |id: u64| {
        attempt.snapshot(id, 0);
        attempt.complete(id, 0b11);
        (committed(folder.path()).len(), visible(folder.path()))
    };
    assert_eq!(checkpoint(1), (0, 0));
    assert_eq!(checkpoint(2), (1, 1));
}

/// Failed before: only the subtask that was notified last of a checkpoint committed its pending partitions.
#[test]
fn the_subtask_notified_first_of_each_checkpoint_commits_its_partitions_too() {
    let folder = tempfile::tempdir().unwrap();
    let spec = partition_spec(folder.path(), &[]);
    let mut attempt = Attempt::start(&spec, 2, &Arc::default(), None);
    attempt.write(0, &[(1, "x".to_owned())]);
    attempt.snapshot(1, 0);
    attempt.complete(1, 0b01);
    attempt.complete(1, 0b10);
    attempt.snapshot(2, 0);
    attempt.complete(2, 0b01);
    assert_eq!(committed(folder.path()), ["b=x"]);
}

/// Failed before: the partition was taken for committed, as it had been for another subtask.
#[test]
fn a_partition_pending_for_two_subtasks_that_ended_is_committed_with_the_files_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let spec = partition_spec(folder.path(), &[("sink.partition-commit.delay", "10 s")]);
    let mut attempt = Attempt::start(&spec, 3, &clock, None);
    let checkpoint = |attempt: &mut Attempt, id: u64, now: i64| {
        clock.0.store(now, Ordering::SeqCst);
        attempt.snapshot(id, 0);
        (0..3).rev().for_each(|subtask| attempt.complete(id, 1 << subtask));
    };
    let finish = |attempt: &mut Attempt, subtask: usize| attempt.0[subtask].finish(&mut Collected::default()).unwrap();
    attempt.write(2, &[(1, "x".to_owned())]);
    finish(&mut attempt, 2);
    checkpoint(&mut attempt, 1, 1_000);
    checkpoint(&mut attempt, 2, 10_001);
    let success = folder.path().join("b=x/_SUCCESS");
    fs::remove_file(&success).unwrap();
    attempt.write(1, &[(2, "x".to_owned())]);
    finish(&mut attempt, 1);
    checkpoint(&mut attempt, 3, 12_000);
    assert!(!success.exists(), "its time has not come");
    checkpoint(&mut attempt, 4, 20_002);
    assert!(success.exists());
}

/// Failed before: a progress file was written once more when the last subtask had removed them all, and stayed for ever.
#[test]
fn no_progress_file_is_left_of_checkpoints_that_began_before_the_last_one_was_complete() {
    for (notified_first, notified_last) in [(0b01, 0b10), (0b10, 0b01)] {
        let folder = tempfile::tempdir().unwrap();
        let spec = partition_spec(folder.path(), &[]);
        let mut attempt = Attempt::start(&spec, 2, &Arc::default(), None);
        attempt.write(0, &[(1, "x".to_owned())]);
        attempt.finish();
        attempt.snapshot(1, 0);
        attempt.snapshot(2, 0);
        attempt.complete(1, notified_first);
        attempt.complete(1, notified_last);
        attempt.snapshot(3, 0);
        attempt.complete(3, notified_first);
        attempt.complete(3, notified_last);
        attempt.commit_at_end();
        assert_eq!(committed(folder.path()), ["b=x"]);
        assert_eq!(hidden(folder.path()), 0, "{:?}", files(folder.path()));
    }
}

#[test]
fn options_that_cannot_be_met_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |options: &[(&str, &str)]| {
        let spec = partition_spec(folder.path(), options);
        crate::factory::build_sink(&spec, b"uid", &BuiltInFormats).err().expect("refused").to_string()
    };
    assert!(refused(&[("auto-compaction", "true")]).contains("'auto-compaction' is not supported"));
    let metastore = refused(&[("sink.partition-commit.policy.kind", "metastore,success-file")]);
    assert!(metastore.starts_with("Can not configure a 'metastore' partition commit policy"), "{metastore}");
    assert!(refused(&[("sink.partition-commit.policy.kind", "custom")]).contains("Java class"));
    assert!(refused(&[("sink.partition-commit.trigger", "now")]).contains("now"));
    // `default` was the zone of each TaskManager's own process.
    for zone in ["Mars", "default"] {
        assert!(refused(&[("sink.partition-commit.watermark-time-zone", zone)]).contains(zone));
    }
    assert!(refused(&[("partition.time-extractor.kind", "custom")]).contains("Java class"));
    assert!(refused(&[("sink.rolling-policy.check-interval", "0 s")]).contains("check-interval"));
    assert!(refused(&[("sink.rolling-policy.file-size", "big")]).contains("big"));
    // Before, these were taken, and a file was complete as soon as it was looked at.
    for name in ["rollover-interval", "inactivity-interval"] {
        for none in ["0", "10 µs", "5 micros", "10 ns", "1 nano"] {
            let why = refused(&[(format!("sink.rolling-policy.{name}").as_str(), none)]);
            assert!(why.contains(&format!("'sink.rolling-policy.{name}' must be at least 1 ms")), "{none}: {why}");
        }
    }
    assert!(refused(&[("sink.rolling-policy.file-size", "0b")]).contains("file-size' must be at least 1 byte"));
}

/// Failed before: a batch of a few thousand files was written to its end when the task was cancelled.
#[test]
fn a_batch_of_many_partitions_ends_with_the_task() {
    let folder = tempfile::tempdir().unwrap();
    let spec = partition_spec(folder.path(), &[]);
    let mut attempt = Attempt::start(&spec, 1, &Arc::default(), None);
    let batch = || Batch::insert_only(rows_of(&two(), &[(Some(1), Some("p1")), (Some(2), Some("p2"))]));
    let before = hidden(folder.path());
    {
        let _registered = wiesel_common::ending::register(Arc::new(true.into()));
        let outcome = attempt.0[0].process(0, batch(), &mut Collected::default());
        assert!(matches!(outcome, Err(wiesel_operators::operator::Error::Cancelled)));
    }
    assert_eq!(hidden(folder.path()), before, "{:?}", files(folder.path()));
    attempt.0[0].process(0, batch(), &mut Collected::default()).unwrap();
    assert_eq!(hidden(folder.path()), before + 2, "{:?}", files(folder.path()));
}
