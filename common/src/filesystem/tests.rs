use std::io::Write;

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
fn what_is_no_place() {
    let error = |text: &str| Location::resolve(text, &config(&KEYS)).unwrap_err().to_string();
    assert!(error("hdfs://h/x").starts_with("Could not find a file system implementation for scheme 'hdfs'"));
    assert!(error("data/x").contains("absolute"), "{}", error("data/x"));
    assert!(error("file:data/x").contains("absolute"));
    assert!(error("s3:///x").contains("bucket"));
    assert!(error("s3://b/../x").contains("s3://b/../x"));
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

#[test]
fn a_secret_is_in_no_error() {
    let config = config(&[("s3.access-key", "a"), ("s3.secret-key", "HUSH"), ("s3.endpoint", "not an address")]);
    if let Err(error) = Location::resolve("s3://bucket/x", &config) {
        assert!(!format!("{error} {error:?}").contains("HUSH"));
    }
}

/// What every file system does, in a folder that is empty.
async fn round_trip(folder: Location) {
    assert!(folder.list().await.unwrap().is_empty());
    let file = folder.join("a/b.txt");
    assert!(file.read().await.unwrap_err().is_not_found());
    assert!(file.size().await.unwrap_err().is_not_found());
    file.write(Bytes::from_static(b"one")).await.unwrap();
    file.write(Bytes::from_static(b"twelve")).await.unwrap();
    assert_eq!((&file.read().await.unwrap()[..], file.size().await.unwrap()), (&b"twelve"[..], 6));
    assert_eq!(&file.read_range(2..5).await.unwrap()[..], b"elv");
    assert!(file.read_range(4..9).await.is_err());

    let local = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..20_000_000u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect();
    std::fs::File::create(local.path().join("big")).unwrap().write_all(&bytes).unwrap();
    let big = folder.join("a/big");
    let written = Written { size: bytes.len() as u64, crc32c: crc32c::crc32c(&bytes) };
    assert_eq!(big.upload(&local.path().join("big")).await.unwrap(), written);
    assert_eq!(big.download(&local.path().join("back")).await.unwrap(), written);
    assert!(std::fs::read(local.path().join("back")).unwrap() == bytes);

    let mut names: Vec<_> = folder.list().await.unwrap().into_iter().map(|entry| (entry.name, entry.size)).collect();
    names.sort();
    assert_eq!(names, [("a/b.txt".to_owned(), 6), ("a/big".to_owned(), 20_000_000)]);
    file.delete().await.unwrap();
    file.delete().await.unwrap();
    folder.join("a").delete_folder().await.unwrap();
    folder.join("a").delete_folder().await.unwrap();
    assert!(folder.list().await.unwrap().is_empty());
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
    let folder = format!("s3://{}/common-{}", variable("WIESEL_S3_BUCKET", "wiesel"), uuid::Uuid::new_v4().simple());
    round_trip(Location::resolve(&folder, &config).unwrap()).await;

    config.set("s3.secret-key", "another-secret");
    let refused = Location::resolve(&folder, &config).unwrap().join("x").write(Bytes::from_static(b"x")).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("refuses these credentials") && !text.contains("another-secret"), "{text}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let below = Location::resolve(&folder.path().join("file/below").display().to_string(), &config(&[])).unwrap();
    let error = below.join("x").write(Bytes::from_static(b"x")).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot write {}/x: ", below.uri())), "{error}");
}
