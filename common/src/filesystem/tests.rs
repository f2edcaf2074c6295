use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::{
    Attributes, CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};

use super::*;

fn config(pairs: &[(&str, &str)]) -> Configuration {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn uri(text: &str, pairs: &[(&str, &str)]) -> String {
    Location::resolve(text, &config(pairs)).unwrap().uri().to_owned()
}

const KEYS: [(&str, &str); 2] = [("s3.access-key", "a"), ("s3.secret-key", "s")];

#[test]
fn every_spelling_of_a_place() {
    for text in ["/data/x", "file:/data/x", "file:///data/x", "file://localhost/data/x", "/data//x/"] {
        assert_eq!(uri(text, &[]), "file:/data/x", "{text}");
    }
    assert_eq!(uri("s3://bucket/a//b/", &KEYS), "s3://bucket/a/b");
    assert_eq!(uri("s3a://bucket", &KEYS), "s3a://bucket");
    let default = [KEYS[0], KEYS[1], ("fs.default-scheme", "s3://bucket/")];
    assert_eq!(uri("/a/b", &default), "s3://bucket/a/b");
    assert_eq!(uri("file:/a/b", &default), "file:/a/b");
}

#[test]
fn every_object_is_told_by_its_uri() {
    for text in ["s3://bucket/a", "s3a://bucket"] {
        assert!(Location::is_object_uri(text), "{text}");
        assert!(Location::is_object_uri(&uri(text, &KEYS)), "{text}");
    }
    for text in ["/data/x", "file:/data/x", "data/s3://x", "s3:/x", "s3n://bucket/a", "s3", ""] {
        assert!(!Location::is_object_uri(text), "{text}");
    }
}

#[test]
fn what_is_no_place() {
    let error = |text: &str| Location::resolve(text, &config(&KEYS)).unwrap_err().to_string();
    assert!(error("hdfs://h/x").starts_with("Could not find a file system implementation for scheme 'hdfs'"));
    assert!(error("data/x").contains("absolute"), "{}", error("data/x"));
    assert!(error("file:data/x").contains("absolute"));
    assert!(error("s3:///x").contains("bucket"));
    assert!(error("s3://b/../x").contains("s3://b/../x"));
    // The same is known before a store is set up.
    for text in ["hdfs://h/x", "data/x", "file:data/x", "s3:///x", "s3://b/../x"] {
        assert_eq!(Location::check(text, &config(&KEYS)).unwrap_err().to_string(), error(text), "{text}");
    }
    for text in ["/data/x", "file:///data/x", "s3://bucket/a//b/"] {
        assert!(Location::check(text, &config(&[])).is_ok(), "{text}");
    }
}

#[test]
fn parts_of_a_path() {
    for base in ["/data/a b", "s3://bucket/a b"] {
        let folder = Location::resolve(base, &config(&KEYS)).unwrap();
        let file = folder.join("chk-1/_metadata");
        assert_eq!(file.uri(), format!("{}/chk-1/_metadata", folder.uri()));
        assert_eq!(file.name(), "_metadata");
        assert_eq!(file.parent().unwrap().parent().unwrap().uri(), folder.uri());
    }
}

#[test]
fn entropy_is_for_data_only() {
    let config = config(&[KEYS[0], KEYS[1], ("s3.entropy.key", "_entropy_"), ("s3.entropy.length", "6")]);
    let folder = Location::resolve("s3://bucket/x/_entropy_/y", &config).unwrap();
    assert_eq!(folder.join("f").without_entropy().uri(), "s3://bucket/x/y/f");
    let (one, two) = (folder.join("f").with_entropy(), folder.join("f").with_entropy());
    assert_ne!(one.uri(), two.uri());
    assert_eq!(one.uri().len(), "s3://bucket/x/123456/y/f".len());
    assert_eq!(one.parent().unwrap().parent().unwrap().parent().unwrap().uri(), "s3://bucket/x");
    let bad = [KEYS[0], KEYS[1], ("s3.entropy.key", "a/b")];
    assert!(Location::resolve("s3://bucket/x", &self::config(&bad)).is_err());
}

/// A store of uploads that were begun for these paths.
#[derive(Debug)]
struct Begun(Vec<&'static str>);

impl UploadStore for Begun {
    fn list<'a>(&'a self, folder: &'a ObjectPath, _uri: &'a str) -> BoxFuture<'a, Result<Vec<Unfinished>>> {
        let upload = |path: &&str| Unfinished { path: ObjectPath::parse(path).unwrap(), id: "1".to_owned() };
        let uploads = self.0.iter().map(upload).filter(|upload| upload.path.prefix_matches(folder));
        futures::future::ready(Ok(uploads.collect())).boxed()
    }

    fn abort<'a>(&'a self, _upload: &'a Unfinished, _uri: &'a str) -> BoxFuture<'a, Result<()>> {
        futures::future::ready(Ok(())).boxed()
    }
}

/// Failed before: a place at which nothing is complete was not looked at.
#[tokio::test]
async fn unfinished_uploads_at_random_places() {
    let bucket = "unfinished-uploads-at-random-places";
    let begun = vec![
        "x/abcdef/y/job/shared/one",
        "x/ABCDE0/y/job/chk-1/two",
        "x/abcdef/y/job",
        "x/abcdef/y/job2/shared/of-another-job",
        "x/abcdef/z/job/shared/elsewhere",
        "x/abcde/y/job/shared/too-short",
        "x/ghijkl/y/job/shared/not-random",
        "x/y/job/shared/plain",
        "abcdef/y/job/shared/above",
        "abcdef/a~b/three",
        "pre-abcdef.post/four",
        "abcdef.post/five",
    ];
    mount_with_uploads(bucket, Arc::new(object_store::memory::InMemory::new()), Arc::new(Begun(begun)));
    let config = config(&[("s3.entropy.key", "_entropy_"), ("s3.entropy.length", "6")]);
    let uploads = async |folder: &str| {
        let folder = Location::resolve(&format!("s3://{bucket}/{folder}"), &config).unwrap();
        let uploads = folder.unfinished_uploads().await.unwrap();
        uploads.iter().map(|upload| upload.file_name().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(uploads("x/_entropy_/y/job").await, "one two");
    assert_eq!(uploads("x/y/job").await, "plain");
    assert_eq!(uploads("_entropy_/a~b").await, "three");
    assert_eq!(uploads("pre-_entropy_.post").await, "four");
    unmount(bucket);
}

#[test]
fn a_secret_is_in_no_error() {
    let config = config(&[("s3.access-key", "a"), ("s3.secret-key", "HUSH"), ("s3.endpoint", "not an address")]);
    if let Err(error) = Location::resolve("s3://bucket/x", &config) {
        assert!(!format!("{error} {error:?}").contains("HUSH"));
    }
}

/// What every file system does, in a folder that is empty.
async fn round_trip(folder: Location) {
    assert_eq!(folder.children().await.unwrap(), Children::default());
    let file = folder.join("a/b.txt");
    assert!(file.read_at_most(6).await.unwrap_err().is_not_found());
    assert!(file.size().await.unwrap_err().is_not_found());
    file.write(Bytes::from_static(b"one")).await.unwrap();
    file.write(Bytes::from_static(b"twelve")).await.unwrap();
    assert_eq!((&file.read_at_most(6).await.unwrap()[..], file.size().await.unwrap()), (&b"twelve"[..], 6));
    assert_eq!(&file.read_range(2..5).await.unwrap()[..], b"elv");
    assert!(file.read_range(4..9).await.is_err());
    bounds(&file).await;

    let local = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..20_000_000u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect();
    std::fs::File::create(local.path().join("big")).unwrap().write_all(&bytes).unwrap();
    let big = folder.join("a/big");
    let written = Written { size: bytes.len() as u64, crc32c: crc32c::crc32c(&bytes) };
    assert_eq!(big.upload(&local.path().join("big")).await.unwrap(), written);
    assert_eq!(big.download(&local.path().join("back"), written.size).await.unwrap(), written);
    assert!(std::fs::read(local.path().join("back")).unwrap() == bytes);

    let children = async |folder: &Location| {
        let mut children = folder.children().await.unwrap();
        children.files.sort();
        (children.files.join(" "), children.folders.join(" "))
    };
    folder.join("c").write(Bytes::new()).await.unwrap();
    assert_eq!(children(&folder).await, ("c".to_owned(), "a".to_owned()));
    assert_eq!(children(&folder.join("a")).await, ("b.txt big".to_owned(), String::new()));
    folder.join("a").remove_empty_folder().await.unwrap();
    file.delete().await.unwrap();
    file.delete().await.unwrap();
    write_once(&folder.join("a/once")).await;
    for gone in ["a/big", "a/once", "c"] {
        folder.join(gone).delete().await.unwrap();
    }
    folder.join("a").remove_empty_folder().await.unwrap();
    folder.join("a").remove_empty_folder().await.unwrap();
    assert_eq!(folder.children().await.unwrap(), Children::default());
}

/// A file of "twelve" is read if it may be as long as it is.
async fn bounds(file: &Location) {
    let refused = file.read_at_most(5).await.unwrap_err();
    let words = format!("cannot read {}: it has 6 bytes, and at most 5 are read of such a file", file.uri());
    assert_eq!(refused.to_string(), words);
    let local = tempfile::tempdir().unwrap();
    let copy = local.path().join("copy");
    assert_eq!(file.download(&copy, 5).await.unwrap_err().to_string(), words);
    assert!(!copy.exists());
    let check: Check = |start, size| if start.starts_with(b"twe") { Ok(()) } else { Err(format!("is {size} long")) };
    assert_eq!(&file.read_checked(6, 3, check).await.unwrap()[..], b"twelve");
    assert_eq!(&file.read_checked(6, 300, check).await.unwrap()[..], b"twelve");
    let refused = file.read_checked(6, 2, check).await.unwrap_err().to_string();
    assert_eq!(refused, format!("cannot read {}: it is 6 long", file.uri()));
    assert!(matches!(file.read_checked(5, 3, check).await, Err(Error::Refused { .. })));
}

/// Says of its objects that they are shorter or longer than they are, and counts what is taken of them.
#[derive(Debug)]
struct Endless {
    said: u64,
    taken: Arc<AtomicU64>,
}

impl std::fmt::Display for Endless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("endless")
    }
}

const CHUNK: u64 = 1000;

#[tonic::async_trait]
impl ObjectStore for Endless {
    async fn get_opts(&self, path: &ObjectPath, _: GetOptions) -> StoreResult<GetResult> {
        let taken = self.taken.clone();
        let chunks = futures::stream::repeat_with(move || {
            taken.fetch_add(CHUNK, Ordering::SeqCst);
            Ok(Bytes::from(vec![b'x'; CHUNK as usize]))
        });
        let last_modified = chrono::DateTime::UNIX_EPOCH;
        let meta = ObjectMeta { location: path.clone(), last_modified, size: self.said, e_tag: None, version: None };
        let payload = GetResultPayload::Stream(chunks.boxed());
        Ok(GetResult { payload, meta, range: 0..self.said, attributes: Attributes::default() })
    }

    async fn put_opts(&self, _: &ObjectPath, _: PutPayload, _: PutOptions) -> StoreResult<PutResult> {
        Err(object_store::Error::NotImplemented { operation: "put".into(), implementer: "endless".into() })
    }

    async fn put_multipart_opts(
        &self,
        _: &ObjectPath,
        _: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        Err(object_store::Error::NotImplemented { operation: "put".into(), implementer: "endless".into() })
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, StoreResult<ObjectPath>>,
    ) -> BoxStream<'static, StoreResult<ObjectPath>> {
        paths
    }

    fn list(&self, _: Option<&ObjectPath>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        futures::stream::empty().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&ObjectPath>) -> StoreResult<ListResult> {
        Ok(ListResult { objects: Vec::new(), common_prefixes: Vec::new() })
    }

    async fn copy_opts(&self, _: &ObjectPath, _: &ObjectPath, _: CopyOptions) -> StoreResult<()> {
        Err(object_store::Error::NotImplemented { operation: "copy".into(), implementer: "endless".into() })
    }
}

/// Failed before: an object was read whole, however long it said that it is or turned out to be.
#[tokio::test]
async fn no_more_of_an_object_is_read_than_may_be() {
    let bucket = "objects-without-an-end";
    let none: Check = |_, size| Err(format!("has {size}"));
    let any: Check = |_, _| Ok(());
    // What it says; with which check it is read; what is taken at most.
    for (said, start, check, most) in [
        (1 << 40, 0, any, 0),
        (1 << 40, 28, none, CHUNK),
        (1 << 40, 28, any, CHUNK),
        (5000, 28, any, 5000 + 2 * CHUNK),
        (10, 0, any, 5000 + 2 * CHUNK),
    ] {
        let taken = Arc::new(AtomicU64::new(0));
        mount(bucket, Arc::new(Endless { said, taken: taken.clone() }));
        let file = Location::resolve(&format!("s3://{bucket}/x"), &config(&[])).unwrap();
        let refused = file.read_checked(5000, start, check).await.unwrap_err();
        assert!(matches!(refused, Error::Refused { .. }), "{refused}");
        let read = taken.load(Ordering::SeqCst);
        assert!(read <= most, "{said}, {start}: {read} instead of {most}");
        // Without an end, too, where part of it was asked for.
        let error = file.read_range(0..5 * CHUNK / 2).await.unwrap_err().to_string();
        assert!(error.contains("longer than what was asked for"), "{error}");
        assert!(taken.load(Ordering::SeqCst) <= read + 4 * CHUNK);
        unmount(bucket);
    }
}

/// Of two that write a new file one is refused; that an answer was lost is none of its business.
async fn write_once(file: &Location) {
    file.write_new(Bytes::from_static(b"mine")).await.unwrap();
    file.write_new(Bytes::from_static(b"mine")).await.unwrap();
    let refused = file.write_new(Bytes::from_static(b"yours")).await.unwrap_err();
    assert!(refused.is_already_there() && refused.to_string().contains(file.uri()), "{refused}");
    assert!(file.write_new(Bytes::from_static(b"it")).await.unwrap_err().is_already_there(), "also a longer one");
    assert_eq!(&file.read_at_most(4).await.unwrap()[..], b"mine");
    assert!(file.has(&Bytes::from_static(b"mine")).await && !file.has(&Bytes::from_static(b"min")).await);
}

/// Failed before: the thread that copied went on, and the file appeared when everybody had gone.
#[tokio::test]
async fn an_upload_that_its_caller_gave_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("local");
    std::fs::write(&local, vec![7; 64 << 20]).unwrap();
    let target = Location::resolve(&folder.path().join("out").display().to_string(), &config(&[])).unwrap();
    for round in 0..8 {
        let file = target.join(&format!("{round}"));
        let upload = file.upload(&local);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(round), upload).await.is_err());
    }
    // The threads come to their ends, one after another.
    let settled = async {
        while std::fs::read_dir(folder.path().join("out")).is_ok_and(|files| files.count() > 0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), settled).await.expect("nothing is left");
}

#[tokio::test]
async fn local_files() {
    let folder = tempfile::tempdir().unwrap();
    round_trip(Location::resolve(&folder.path().display().to_string(), &config(&[])).unwrap()).await;
}

/// On the S3 server that `tests/with-services.sh` starts; without one the test counts as skipped.
#[tokio::test]
async fn objects_of_a_server() {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let Ok(endpoint) = std::env::var("WIESEL_S3_ENDPOINT") else {
        if let Ok(list) = std::env::var("WIESEL_SKIPPED") {
            let mut list = std::fs::File::options().create(true).append(true).open(list).unwrap();
            writeln!(list, "objects_of_a_server: no S3 server").unwrap();
        }
        return;
    };
    let mut config = config(&[]);
    config.set("s3.access-key", variable("WIESEL_S3_ACCESS_KEY", "wiesel"));
    config.set("s3.secret-key", variable("WIESEL_S3_SECRET_KEY", "wiesel-secret"));
    config.set("s3.endpoint", endpoint);
    let folder = format!("s3://{}/common-{}", variable("WIESEL_S3_BUCKET", "wiesel"), crate::random::uuid().simple());
    let location = Location::resolve(&folder, &config).unwrap();
    round_trip(location.clone()).await;
    unfinished(&location, &config).await;

    config.set("s3.secret-key", "another-secret");
    let refused = Location::resolve(&folder, &config).unwrap().join("x").write(Bytes::from_static(b"x")).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("refuses these credentials") && !text.contains("another-secret"), "{text}");
}

/// What a process that dies leaves is found and aborted; an upload that is dropped aborts itself.
async fn unfinished(folder: &Location, config: &Configuration) {
    let (store, path) = folder.join("shared/never").object_store().unwrap();
    let mut dead = store.put_multipart(&path).await.unwrap();
    dead.put_part(vec![7u8; 5 << 20].into()).await.unwrap();
    drop(dead);
    let shared = Location::resolve(&format!("{}/shared", folder.uri()), config).unwrap();
    let found = folder.unfinished_uploads().await.unwrap();
    assert_eq!(found.iter().map(|upload| upload.path.clone()).collect::<Vec<_>>(), [path]);
    folder.abort_upload(&found[0]).await.unwrap();
    assert_eq!(folder.unfinished_uploads().await.unwrap(), []);
    folder.abort_upload(&found[0]).await.unwrap();

    let mut random = config.clone();
    random.set("s3.entropy.key", "_entropy_");
    random.set("s3.entropy.length", "4");
    let marked = Location::resolve(&format!("{}/_entropy_/job", folder.uri()), &random).unwrap();
    let (store, path) = marked.join("shared/never").with_entropy().object_store().unwrap();
    let mut dead = store.put_multipart(&path).await.unwrap();
    dead.put_part(vec![7u8; 5 << 20].into()).await.unwrap();
    drop(dead);
    let found = marked.unfinished_uploads().await.unwrap();
    assert_eq!(found.iter().map(|upload| upload.path.clone()).collect::<Vec<_>>(), [path]);
    marked.abort_upload(&found[0]).await.unwrap();
    assert_eq!(marked.unfinished_uploads().await.unwrap(), []);

    let local = tempfile::tempdir().unwrap();
    std::fs::write(local.path().join("big"), vec![7; 64 << 20]).unwrap();
    for round in 0..6 {
        let file = shared.join(&format!("dropped-{round}"));
        let big = local.path().join("big");
        let upload = file.upload(&big);
        _ = tokio::time::timeout(std::time::Duration::from_millis(round * 15), upload).await;
    }
    let settled = async {
        while !shared.unfinished_uploads().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), settled).await.expect("every upload is aborted");
    for name in shared.children().await.unwrap().files {
        shared.join(&name).delete().await.unwrap();
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let below = Location::resolve(&folder.path().join("file/below").display().to_string(), &config(&[])).unwrap();
    let error = below.join("x").write(Bytes::from_static(b"x")).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot write {}/x: ", below.uri())), "{error}");
}

/// Before, whatever reads a place could be led to what the system tells of the process, its environment above all.
#[tokio::test]
async fn places_of_the_system_are_not_read() {
    let place = Location::resolve("file:///proc/self/environ", &config(&[])).unwrap();
    let local = tempfile::tempdir().unwrap();
    let outcomes = [
        place.read_at_most(1 << 20).await.err(),
        place.read_range(0..1).await.err(),
        place.size().await.err(),
        place.download(&local.path().join("copy"), 1 << 20).await.err(),
    ];
    for refused in outcomes {
        let refused = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("lies below /proc"), "{refused}");
    }
}
