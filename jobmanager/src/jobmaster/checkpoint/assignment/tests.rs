use proptest::prelude::*;

use super::*;

fn uid(id: u8) -> Bytes {
    vec![id; 16].into()
}

fn operator(id: u8) -> proto::OperatorSpec {
    proto::OperatorSpec { uid: uid(id), name: format!("operator {id}"), ..Default::default() }
}

fn vertex(id: u8, parallelism: u32, operators: &[u8]) -> proto::JobVertex {
    proto::JobVertex {
        id: uid(id),
        name: format!("vertex {id}"),
        parallelism,
        max_parallelism: 128,
        operators: operators.iter().map(|id| operator(*id)).collect(),
        ..Default::default()
    }
}

fn graph(vertices: Vec<proto::JobVertex>) -> proto::JobGraph {
    proto::JobGraph { vertices, ..Default::default() }
}

fn entries(texts: &[String]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect()
}

fn list(name: &str, redistribution: Redistribution, texts: &[String]) -> proto::OperatorListState {
    proto::OperatorListState { name: name.into(), redistribution: redistribution as i32, entries: entries(texts) }
}

/// The state of one operator in subtask `subtask` of `parallelism`: keyed and lists of all kinds, `count` entries each.
fn state(id: u8, subtask: u32, parallelism: u32, count: usize) -> proto::TaskState {
    let groups = key_groups(subtask, parallelism, 128);
    let keyed = proto::KeyedStateHandle {
        first_key_group: groups.start,
        last_key_group: groups.end - 1,
        tables: vec![proto::StateTableDescriptor { name: "groups".into(), ..Default::default() }],
        files: vec![proto::KeyedStateFile {
            name: format!("{subtask}"),
            file: Some(proto::StateFile::default()),
            ..Default::default()
        }],
        ..Default::default()
    };
    let texts: Vec<String> = (0..count).map(|i| format!("{subtask}-{i}")).collect();
    let lists = vec![
        list("splits", Redistribution::Split, &texts),
        list("all", Redistribution::Union, &texts),
        list("numbered", Redistribution::BySubtask, &texts),
        list("same", Redistribution::Broadcast, &["x".into(), "y".into()]),
    ];
    let operator = proto::OperatorSubtaskState { uid: uid(id), keyed: vec![keyed], lists };
    proto::TaskState { operators: vec![operator], ..Default::default() }
}

fn metadata(vertex_id: u8, operator_id: u8, counts: &[usize]) -> proto::CheckpointMetadata {
    let parallelism = counts.len() as u32;
    let subtasks = counts.iter().enumerate().map(|(s, count)| state(operator_id, s as u32, parallelism, *count));
    let vertex = proto::VertexState {
        vertex_id: uid(vertex_id),
        name: format!("vertex {vertex_id}"),
        parallelism,
        max_parallelism: 128,
        operators: vec![proto::OperatorName { uid: uid(operator_id), name: "operator".into(), states: None }],
        subtasks: subtasks.collect(),
    };
    proto::CheckpointMetadata { hash_version: u32::from(HASH_VERSION), vertices: vec![vertex], ..Default::default() }
}

fn list_of<'a>(state: &'a proto::TaskState, name: &str) -> &'a [Bytes] {
    &state.operators[0].lists.iter().find(|list| list.name == name).unwrap().entries
}

proptest! {
    /// Whatever the parallelism before and after: nothing is lost, and nothing but what is everybody's is doubled.
    #[test]
    fn every_entry_and_every_key_group_has_one_owner(
        counts in proptest::collection::vec(0..5_usize, 1..20),
        parallelism in 1..20_u32,
    ) {
        let metadata = metadata(1, 7, &counts);
        let graph = graph(vec![vertex(1, parallelism, &[7])]);
        let assignment = assign(&metadata, "file:/sp", &graph, false).unwrap();
        prop_assert_eq!(assignment.tasks[0].len(), parallelism as usize);
        let all: Vec<Bytes> = counts
            .iter()
            .enumerate()
            .flat_map(|(s, count)| entries(&(0..*count).map(|i| format!("{s}-{i}")).collect::<Vec<_>>()))
            .collect();
        let mut splits = Vec::new();
        for (subtask, state) in assignment.tasks[0].iter().enumerate() {
            splits.extend(list_of(state, "splits").iter().cloned());
            prop_assert_eq!(list_of(state, "all"), &all[..]);
            let numbers = (0..counts.len()).filter(|number| number % parallelism as usize == subtask);
            let numbered: Vec<_> = numbers.flat_map(|s| (0..counts[s]).map(move |i| format!("{s}-{i}"))).collect();
            prop_assert_eq!(list_of(state, "numbered"), &entries(&numbered)[..]);
            prop_assert_eq!(list_of(state, "same"), &entries(&["x".into(), "y".into()])[..]);
            let groups = key_groups(subtask as u32, parallelism, 128);
            for group in groups.clone() {
                let holders = state.operators[0]
                    .keyed
                    .iter()
                    .filter(|handle| (handle.first_key_group..=handle.last_key_group).contains(&group));
                prop_assert_eq!(holders.count(), 1);
            }
            for handle in &state.operators[0].keyed {
                prop_assert!(handle.first_key_group < groups.end && groups.start <= handle.last_key_group);
            }
        }
        prop_assert_eq!(splits, all);
    }

    /// Rows in a hashed channel reach every subtask that has one of their key groups, rows of another channel exactly one.
    #[test]
    fn rows_in_channels_reach_the_subtasks_that_need_them(
        old in 1..12_u32,
        new in 1..12_u32,
        hashed in any::<bool>(),
        other_max in any::<bool>(),
    ) {
        let mut metadata = metadata(2, 7, &vec![1; old as usize]);
        if other_max {
            metadata.vertices[0].max_parallelism = 64;
            let operators = metadata.vertices[0].subtasks.iter_mut().flat_map(|state| &mut state.operators);
            operators.for_each(|operator| operator.keyed.clear());
        }
        for (subtask, state) in metadata.vertices[0].subtasks.iter_mut().enumerate() {
            state.channels = vec![proto::ChannelState { rows: subtask as u64, ..Default::default() }];
        }
        let partitioner = if hashed { proto::Partitioner::Hash } else { proto::Partitioner::Rebalance };
        let mut graph = graph(vec![vertex(1, 3, &[1]), vertex(2, new, &[7])]);
        graph.edges =
            vec![proto::JobEdge { source: 0, target: 1, partitioner: partitioner as i32, ..Default::default() }];
        let assignment = assign(&metadata, "file:/sp", &graph, false).unwrap();
        for subtask in 0..old {
            let holders: Vec<u32> = (0..new)
                .filter(|task| {
                    let channels = &assignment.tasks[1][*task as usize].channels;
                    channels.iter().any(|channel| channel.rows == u64::from(subtask))
                })
                .collect();
            if hashed && other_max {
                prop_assert_eq!(holders.len(), new as usize, "its key groups are not comparable");
            } else if hashed {
                let groups = key_groups(subtask, old, 128);
                let concerned: Vec<u32> = (0..new)
                    .filter(|task| key_groups(*task, new, 128).any(|group| groups.contains(&group)))
                    .collect();
                prop_assert_eq!(holders, concerned);
            } else {
                prop_assert_eq!(holders.len(), 1);
            }
        }
    }
}

proptest! {
    /// Whatever handles there are, also such that overlap: each subtask gets those that concern it, in their order.
    #[test]
    fn handles_are_found_by_their_key_groups(
        handles in proptest::collection::vec(proptest::collection::vec((0..64_u32, 0..16_u32), 0..4), 1..12),
        start in 0..64_u32,
        length in 1..20_u32,
    ) {
        let mut vertex = proto::VertexState::default();
        for (subtask, handles) in handles.iter().enumerate() {
            let handle = |(place, (first, length)): (usize, &(u32, u32))| proto::KeyedStateHandle {
                first_key_group: *first,
                last_key_group: first + length,
                files: vec![proto::KeyedStateFile { name: format!("{subtask}-{place}"), ..Default::default() }],
                ..Default::default()
            };
            let keyed = handles.iter().enumerate().map(handle).collect();
            let operator = proto::OperatorSubtaskState { uid: uid(7), keyed, ..Default::default() };
            vertex.subtasks.push(proto::TaskState { operators: vec![operator], ..Default::default() });
        }
        let subtasks = vertex.subtasks.iter().map(|state| state.operators.first()).collect();
        let known = Known { vertex: &vertex, subtasks };
        let groups = start..start + length;
        let all = known.states().flat_map(|state| &state.keyed);
        let concerned = |handle: &&proto::KeyedStateHandle| {
            (handle.first_key_group..=handle.last_key_group).any(|group| groups.contains(&group))
        };
        let expected: Vec<_> = all.filter(concerned).cloned().collect();
        prop_assert_eq!(Keyed::of(&known).of_key_groups(&groups), expected);
    }
}

/// A finished subtask has no list of its own.
#[test]
fn a_broadcast_list_reaches_a_subtask_that_finished_before_it_wrote_one() {
    let mut metadata = metadata(1, 7, &[1, 1]);
    metadata.vertices[0].subtasks[0] = proto::TaskState { finished: true, ..Default::default() };
    let assignment = assign(&metadata, "file:/sp", &graph(vec![vertex(1, 2, &[7])]), false).unwrap();
    for task in &assignment.tasks[0] {
        assert_eq!(list_of(task, "same"), &entries(&["x".into(), "y".into()])[..]);
    }
    assert_eq!(list_of(&assignment.tasks[0][0], "numbered"), &[] as &[Bytes]);
    assert_eq!(list_of(&assignment.tasks[0][1], "numbered"), &entries(&["1-0".into()])[..]);
}

#[test]
fn an_operator_is_found_in_whatever_vertex_it_is() {
    let metadata = metadata(1, 7, &[2, 2]);
    let graph = graph(vec![vertex(9, 1, &[3, 7])]);
    let assignment = assign(&metadata, "file:/sp", &graph, false).unwrap();
    assert_eq!(list_of(&assignment.tasks[0][0], "splits").len(), 4);
    assert_eq!(assignment.without_state, ["operator 3"]);
}

#[test]
fn state_that_no_operator_wants_is_named() {
    let mut metadata = metadata(1, 7, &[1]);
    let graph = graph(vec![vertex(1, 1, &[8])]);
    let error = assign(&metadata, "file:/sp", &graph, false).unwrap_err().to_string();
    for part in ["file:/sp", "07070707", "operator", "all, groups, numbered, same, splits", "--allowNonRestoredState"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(assign(&metadata, "file:/sp", &graph, true).unwrap().tasks[0][0], proto::TaskState::default());
    // What has no state is not missed.
    metadata.vertices[0].subtasks[0].operators[0] = proto::OperatorSubtaskState { uid: uid(7), ..Default::default() };
    assign(&metadata, "file:/sp", &graph, false).unwrap();
    metadata.coordinators.push(proto::CoordinatorState {
        uid: uid(7),
        state: Bytes::from_static(b"s"),
        ..Default::default()
    });
    let error = assign(&metadata, "file:/sp", &graph, false).unwrap_err().to_string();
    assert!(error.contains("enumerator of splits"), "{error}");
}

#[test]
fn key_groups_must_stay_the_same() {
    let metadata = metadata(1, 7, &[1, 1]);
    let mut derived = graph(vec![vertex(1, 2, &[7])]);
    derived.vertices[0].max_parallelism = 256;
    let error = adopt_max_parallelism(&metadata, "file:/sp", &mut derived.clone(), &[false]).unwrap_err().to_string();
    assert!(error.contains("(128)") && error.contains("(256)") && error.contains("vertex 1"), "{error}");
    adopt_max_parallelism(&metadata, "file:/sp", &mut derived, &[true]).unwrap();
    assert_eq!(derived.vertices[0].max_parallelism, 128);
    let mut wide = graph(vec![vertex(1, 200, &[7])]);
    let error = adopt_max_parallelism(&metadata, "file:/sp", &mut wide, &[true]).unwrap_err().to_string();
    assert!(error.contains("lower than the configured parallelism (200)"), "{error}");
}

#[test]
fn another_hash_or_contradictions_are_refused() {
    let graph = graph(vec![vertex(1, 1, &[7])]);
    let mut other = metadata(1, 7, &[1]);
    other.hash_version += 1;
    assert!(matches!(assign(&other, "file:/sp", &graph, true), Err(Error::HashVersion { .. })));
    let mut short = metadata(1, 7, &[1, 1]);
    short.vertices[0].subtasks.pop();
    assert!(matches!(assign(&short, "file:/sp", &graph, true), Err(Error::Broken { .. })));
    let mut doubled = metadata(1, 7, &[1]);
    let copy = doubled.vertices[0].subtasks[0].operators[0].clone();
    doubled.vertices[0].subtasks[0].operators.push(copy);
    assert!(matches!(assign(&doubled, "file:/sp", &graph, true), Err(Error::Broken { .. })));
    let mut elsewhere = metadata(1, 7, &[1]);
    elsewhere.vertices[0].subtasks[0].channels = vec![proto::ChannelState::default()];
    assert!(matches!(assign(&elsewhere, "file:/sp", &graph, true), Err(Error::Broken { .. })));
}

/// Before, the head of the new chain told whether all of it had ended: the files of a sink whose producer had, and to which it
/// was not chained, were never given their names.
#[test]
fn a_chain_has_ended_only_if_all_of_its_operators_had() {
    let mut before = metadata(1, 7, &[1, 1]);
    before.vertices.extend(metadata(2, 8, &[1, 1]).vertices);
    let finished = proto::TaskState { finished: true, ..Default::default() };
    before.vertices[0].subtasks = vec![finished.clone(); 2];
    let chained = graph(vec![vertex(1, 2, &[7, 8])]);
    let tasks = assign(&before, "file:/sp", &chained, false).unwrap().tasks.remove(0);
    assert!(tasks.iter().all(|task| !task.finished && list_of(task, "splits").len() == 1), "{tasks:?}");
    before.vertices[1].subtasks = vec![finished; 2];
    let tasks = assign(&before, "file:/sp", &chained, false).unwrap().tasks.remove(0);
    assert!(tasks.iter().all(|task| task.finished));
}

#[test]
fn a_vertex_that_had_ended_has_ended_and_one_that_had_partly_ended_has_not() {
    let mut metadata = metadata(1, 7, &[1, 1]);
    metadata.vertices[0].subtasks[0] = proto::TaskState { finished: true, ..Default::default() };
    let finished = |metadata: &proto::CheckpointMetadata, parallelism| {
        let assignment = assign(metadata, "file:/sp", &graph(vec![vertex(1, parallelism, &[7])]), false).unwrap();
        assignment.tasks[0].iter().map(|task| task.finished).collect::<Vec<_>>()
    };
    assert_eq!(finished(&metadata, 2), [false; 2], "a list of the other subtask may be dealt to this one");
    assert_eq!(finished(&metadata, 3), [false; 3]);
    metadata.vertices[0].subtasks[1] = proto::TaskState { finished: true, ..Default::default() };
    assert_eq!(finished(&metadata, 3), [true; 3]);
}

#[test]
fn enumerators_get_their_state() {
    let mut metadata = metadata(1, 7, &[1]);
    metadata.coordinators.push(proto::CoordinatorState {
        uid: uid(7),
        state: Bytes::from_static(b"s"),
        ..Default::default()
    });
    let assignment = assign(&metadata, "file:/sp", &graph(vec![vertex(1, 1, &[7])]), false).unwrap();
    assert_eq!(assignment.coordinators[&OperatorId([7; 16])], Bytes::from_static(b"s"));
}

fn corrupt(metadata: &proto::CheckpointMetadata) -> String {
    let error = check(metadata, "file:/sp/_metadata").unwrap_err().to_string();
    assert!(error.starts_with("file:/sp/_metadata is corrupt: ") && error.contains("another checkpoint"), "{error}");
    error
}

/// Before, the JobMaster added 1 to the largest number.
#[test]
fn a_number_after_which_no_checkpoint_can_follow_is_refused() {
    let mut metadata = metadata(1, 7, &[1]);
    for id in [u64::MAX, i64::MAX as u64 + 1, i64::MAX as u64] {
        metadata.checkpoint_id = id;
        assert!(corrupt(&metadata).contains(&format!("the number {id}")));
    }
    metadata.checkpoint_id = i64::MAX as u64 - 1;
    assert_eq!(check(&metadata, "file:/sp/_metadata"), Ok(()));
}

/// Before, a job with 2^32 - 1 key groups ran, and its TaskManagers set memory aside for each.
#[test]
fn a_maximum_parallelism_that_no_job_can_have_is_refused() {
    for max_parallelism in [0, 1, 32_769, u32::MAX] {
        let mut metadata = metadata(1, 7, &[1, 1]);
        metadata.vertices[0].max_parallelism = max_parallelism;
        let error = corrupt(&metadata);
        let shown = format!("maximum parallelism {max_parallelism}");
        let parts = ["vertex 1", "parallelism 2", "from 1 to 32768", shown.as_str()];
        assert!(parts.iter().all(|part| error.contains(*part)), "{error}");
    }
}

/// Before, state of key groups that were no more was cut off, and no state was missed of those that were too many.
#[test]
fn a_maximum_parallelism_that_is_not_that_of_the_state_is_refused() {
    for counts in [&[1][..], &[1, 1, 1]] {
        let mut metadata = metadata(1, 7, counts);
        assert_eq!(check(&metadata, "file:/sp/_metadata"), Ok(()));
        for max_parallelism in [64, 127, 129, 256] {
            metadata.vertices[0].max_parallelism = max_parallelism;
            assert!(corrupt(&metadata).contains(&format!("of {max_parallelism} key groups")));
        }
        // Without keyed state it does not matter.
        let operators = metadata.vertices[0].subtasks.iter_mut().flat_map(|state| &mut state.operators);
        operators.for_each(|operator| operator.keyed.clear());
        assert_eq!(check(&metadata, "file:/sp/_metadata"), Ok(()));
    }
    let mut empty = metadata(1, 7, &[1]);
    let handle = &mut empty.vertices[0].subtasks[0].operators[0].keyed[0];
    (handle.first_key_group, handle.last_key_group) = (1, 0);
    assert!(corrupt(&empty).contains("key groups 1 to 0"));
}

/// Two subtasks, and what a checkpoint notes of their operator.
fn noted() -> proto::CheckpointMetadata {
    let mut metadata = metadata(1, 7, &[2, 2]);
    let vertex = &mut metadata.vertices[0];
    let mut noted = states(vertex.subtasks.iter().flat_map(|state| &state.operators));
    noted.enumerator = true;
    vertex.operators[0].states = Some(noted);
    for state in &mut vertex.subtasks {
        let file = proto::StateFile { path: "file:/sp/x".into(), ..Default::default() };
        state.operators[0].keyed[0].files[0].file = Some(file);
        state.channels =
            vec![proto::ChannelState { file: Some(proto::StateFile::default()), rows: 1, ..Default::default() }];
    }
    metadata.coordinators =
        vec![proto::CoordinatorState { uid: uid(7), state: Bytes::from_static(b"s"), ..Default::default() }];
    metadata
}

/// Before, each of these was restored: with rows that were missing, or there twice, and no word about it.
#[test]
fn metadata_that_is_not_whole_or_says_something_twice_is_refused() {
    assert_eq!(check(&noted(), "file:/sp/_metadata"), Ok(()));
    type Change = fn(&mut proto::CheckpointMetadata);
    fn task(metadata: &mut proto::CheckpointMetadata) -> &mut proto::TaskState {
        &mut metadata.vertices[0].subtasks[1]
    }
    fn operator(metadata: &mut proto::CheckpointMetadata) -> &mut proto::OperatorSubtaskState {
        &mut task(metadata).operators[0]
    }
    let changes: [(&str, Change); 20] = [
        ("subtask 1 of task vertex 1 has no keyed state", |metadata| operator(metadata).keyed.clear()),
        ("2 handles of the keyed state", |metadata| {
            let handle = operator(metadata).keyed[0].clone();
            operator(metadata).keyed.push(handle);
        }),
        ("with the tables []", |metadata| operator(metadata).keyed[0].tables.clear()),
        ("the table 'groups' of its keyed state twice", |metadata| {
            let table = operator(metadata).keyed[0].tables[0].clone();
            operator(metadata).keyed[0].tables.push(table);
        }),
        ("does not say where the file '1'", |metadata| operator(metadata).keyed[0].files[0].file = None),
        ("the file file:/sp/x in its keyed state twice", |metadata| {
            let file = operator(metadata).keyed[0].files[0].clone();
            operator(metadata).keyed[0].files.push(file);
        }),
        ("lists [all, numbered, same] of the operator", |metadata| {
            operator(metadata).lists.remove(0);
        }),
        ("the list 'splits' of the operator 07070707", |metadata| {
            let list = operator(metadata).lists[0].clone();
            operator(metadata).lists.push(list);
        }),
        ("differ in how its list 'splits'", |metadata| {
            operator(metadata).lists[0].redistribution = Redistribution::Union as i32;
        }),
        ("and the lists [] of the operator", |metadata| task(metadata).operators.clear()),
        ("the state of the operator 07070707", |metadata| {
            let state = operator(metadata).clone();
            task(metadata).operators.push(state);
        }),
        ("which is not in that task", |metadata| operator(metadata).uid = uid(8)),
        ("which is not in that task", |metadata| metadata.vertices[0].operators.clear()),
        ("had ended and has state", |metadata| task(metadata).finished = true),
        ("the rows in flight of the channel", |metadata| {
            let channel = task(metadata).channels[0].clone();
            task(metadata).channels.push(channel);
        }),
        ("the rows in flight of the channel", |metadata| task(metadata).channels[0].file = None),
        ("the state of 1 subtasks", |metadata| {
            metadata.vertices[0].subtasks.pop();
        }),
        ("task vertex 1 is in it twice", |metadata| {
            let vertex = metadata.vertices[0].clone();
            metadata.vertices.push(vertex);
        }),
        ("the enumerator of splits of the operator 07070707", |metadata| metadata.coordinators.clear()),
        ("is in it twice", |metadata| {
            let coordinator = metadata.coordinators[0].clone();
            metadata.coordinators.push(coordinator);
        }),
    ];
    for (words, change) in changes {
        let mut metadata = noted();
        change(&mut metadata);
        let error = corrupt(&metadata);
        assert!(error.contains(words), "{words}: {error}");
    }
    // All subtasks lack it: only what was noted tells.
    let mut none = noted();
    none.vertices[0].subtasks.iter_mut().for_each(|state| state.operators.clear());
    assert!(corrupt(&none).contains("which is to have keyed state with the tables [groups]"), "{}", corrupt(&none));
}

#[test]
fn what_was_written_before_states_were_noted_and_what_has_ended_is_whole() {
    let mut metadata = noted();
    metadata.vertices[0].subtasks[0] = proto::TaskState { finished: true, ..Default::default() };
    assert_eq!(check(&metadata, "file:/sp/_metadata"), Ok(()));
    metadata.vertices[0].operators[0].states = None;
    metadata.coordinators.clear();
    assert_eq!(check(&metadata, "file:/sp/_metadata"), Ok(()));
    metadata.vertices[0].subtasks[1] = proto::TaskState { finished: true, ..Default::default() };
    assert_eq!(check(&metadata, "file:/sp/_metadata"), Ok(()));
}
