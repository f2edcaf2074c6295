use std::io::Write as _;

use super::*;
use crate::config::Configuration;
use crate::filesystem::unsure::{PutFault, UnsureBucket};

fn file(uri: &str) -> Location {
    Location::of_uri(uri, &Configuration::default()).unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn content(file: &Location) -> Option<Bytes> {
    file.read_tagged(100).await.unwrap().map(|(bytes, _)| bytes)
}

fn is_refused(swapped: &Result<Tag, SwapError>) -> bool {
    matches!(swapped, Err(SwapError::Refused { .. }))
}

fn is_unknown(swapped: &Result<Tag, SwapError>) -> bool {
    matches!(swapped, Err(SwapError::Unknown(_)))
}

/// What every place has to do.
async fn round_trip(folder: Location) {
    let file = folder.join("folder/file");
    assert_eq!(content(&file).await, None);
    assert!(is_refused(&file.swap(Some(&Tag::of_nothing(&file)), bytes("0")).await));
    let first = file.swap(None, bytes("1")).await.unwrap();
    assert!(is_refused(&file.swap(None, bytes("other")).await));
    assert!(is_refused(&file.swap(Some(&Tag::of_nothing(&file)), bytes("other")).await));
    let second = file.swap(Some(&first), bytes("two")).await.unwrap();
    assert!(is_refused(&file.swap(Some(&first), bytes("other")).await));
    let third = file.swap(Some(&second), bytes("3")).await.unwrap();
    assert_eq!(file.read_tagged(100).await.unwrap(), Some((bytes("3"), third.clone())));
    assert!(matches!(file.read_tagged(0).await, Err(Error::Refused { .. })));

    let other = folder.join("folder/other");
    other.swap(None, bytes("1")).await.unwrap();
    assert_eq!(folder.join("folder").tagged_files().await.unwrap(), ["file", "other"]);
    file.remove_tagged().await.unwrap();
    file.remove_tagged().await.unwrap();
    assert_eq!(folder.join("folder").tagged_files().await.unwrap(), ["other"]);
    assert!(is_refused(&file.swap(Some(&third), bytes("4")).await));
    assert_eq!(content(&file).await, None);
    assert_eq!(folder.join("nothing").tagged_files().await.unwrap(), [] as [&str; 0]);

    let contested = folder.join("folder/contested");
    let tag = contested.swap(None, bytes("0")).await.unwrap();
    let swaps = (1..9).map(|writer| contested.swap(Some(&tag), bytes(&format!("of {writer}"))));
    let swapped = futures::future::join_all(swaps.collect::<Vec<_>>()).await;
    assert_eq!(swapped.iter().filter(|swapped| swapped.is_ok()).count(), 1, "{swapped:?}");
    assert_eq!(swapped.iter().filter(|swapped| is_refused(swapped)).count(), 7);
}

#[tokio::test]
async fn a_file_of_this_machine_is_replaced_only_as_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    round_trip(file(&folder.path().join("a b").display().to_string())).await;
}

#[tokio::test]
async fn an_object_is_replaced_only_as_it_was_read() {
    UnsureBucket::mount("swapped");
    round_trip(file("s3://swapped/folder")).await;
}

/// On the S3 server that `tests/with-services.sh` starts; without one the test counts as skipped.
#[tokio::test]
async fn an_object_of_a_server_is_replaced_only_as_it_was_read() {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let Ok(endpoint) = std::env::var("WIESEL_S3_ENDPOINT") else {
        if let Ok(list) = std::env::var("WIESEL_SKIPPED") {
            let mut list = std::fs::File::options().create(true).append(true).open(list).unwrap();
            writeln!(list, "an_object_of_a_server_is_replaced_only_as_it_was_read: no S3 server").unwrap();
        }
        return;
    };
    let mut config = Configuration::default();
    config.set("s3.access-key", variable("WIESEL_S3_ACCESS_KEY", "wiesel"));
    config.set("s3.secret-key", variable("WIESEL_S3_SECRET_KEY", "wiesel-secret"));
    config.set("s3.endpoint", endpoint);
    let folder = format!("s3://{}/swap-{}", variable("WIESEL_S3_BUCKET", "wiesel"), crate::random::uuid().simple());
    round_trip(Location::resolve(&folder, &config).unwrap()).await;
}

/// A client repeats requests by itself: its own put, stored the first time, is answered as refused the second time.
#[tokio::test]
async fn a_put_that_was_carried_out_is_not_taken_for_a_refused_one() {
    let bucket = UnsureBucket::mount("carried-out");
    let file = file("s3://carried-out/f");
    let mut tag = None;
    for (i, fault) in [PutFault::Repeated, PutFault::LostAnswer, PutFault::Repeated].into_iter().enumerate() {
        bucket.fail_puts(&[fault]);
        let swapped = file.swap(tag.as_ref(), bytes(&i.to_string())).await.unwrap();
        assert_eq!(file.read_tagged(9).await.unwrap(), Some((bytes(&i.to_string()), swapped.clone())));
        tag = Some(swapped);
    }
}

#[tokio::test]
async fn a_put_without_an_answer_may_still_arrive() {
    let bucket = UnsureBucket::mount("late");
    let file = file("s3://late/f");
    let tag = file.swap(None, bytes("1")).await.unwrap();
    bucket.fail_puts(&[PutFault::Lost]);
    assert!(is_unknown(&file.swap(Some(&tag), bytes("2")).await));
    assert_eq!(content(&file).await, Some(bytes("1")));
    bucket.fail_puts(&[PutFault::Late]);
    assert!(is_unknown(&file.swap(Some(&tag), bytes("2")).await));
    assert_eq!(bucket.deliver().await, 1);
    assert_eq!(content(&file).await, Some(bytes("2")));
    // One that is behind another is refused when it arrives.
    let (_, tag) = file.read_tagged(9).await.unwrap().unwrap();
    bucket.fail_puts(&[PutFault::Late]);
    assert!(is_unknown(&file.swap(Some(&tag), bytes("3")).await));
    file.swap(Some(&tag), bytes("4")).await.unwrap();
    assert_eq!(bucket.deliver().await, 0);
    assert_eq!(content(&file).await, Some(bytes("4")));
    // Carried out, and neither answer nor reading back says so.
    let (_, tag) = file.read_tagged(9).await.unwrap().unwrap();
    bucket.fail_puts(&[PutFault::LostAnswer]);
    bucket.fail_reads(1);
    assert!(is_unknown(&file.swap(Some(&tag), bytes("5")).await));
    assert!(is_refused(&file.swap(Some(&tag), bytes("6")).await));
}

/// A conflict with a request beside it, such as the removal of the last object in the same folder, reads as if the object were there.
#[tokio::test(start_paused = true)]
async fn a_passing_conflict_is_not_taken_for_another_writer() {
    let bucket = UnsureBucket::mount("conflict");
    let file = file("s3://conflict/f");
    bucket.fail_puts(&[PutFault::Conflict, PutFault::Conflict]);
    let tag = file.swap(None, bytes("1")).await.unwrap();
    bucket.fail_puts(&[PutFault::Conflict; 6]);
    assert!(matches!(file.swap(Some(&tag), bytes("2")).await, Err(SwapError::Failed(_))));
    assert_eq!(content(&file).await, Some(bytes("1")));
}
