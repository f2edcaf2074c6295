//! Uploads in parts that a service has begun to take and that no process goes on with.
//!
//! S3 keeps the parts of an upload, and takes money for them, until it is completed or aborted. A process that dies leaves
//! its uploads behind, and `object_store` cannot list them: this module can.
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path as ObjectPath;
use serde::Deserialize;

use super::listing::Progress;
use super::{Error, Result};

/// How often a request is made, and how long it is waited for the next time.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(200);

/// What is done, for messages.
const LIST: &str = "list unfinished uploads into";

/// An upload in parts that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The path in its bucket that the file was to have.
    pub path: ObjectPath,
    /// The service's name for the upload.
    pub id: String,
}

impl Unfinished {
    /// The name that the file was to have.
    pub fn file_name(&self) -> &str {
        self.path.filename().unwrap_or_default()
    }
}

/// What a bucket can do about uploads in parts. `uri`: the folder, for messages.
pub trait UploadStore: fmt::Debug + Send + Sync {
    /// Those into a folder and the folders in it.
    fn list<'a>(&'a self, folder: &'a ObjectPath, uri: &'a str) -> BoxFuture<'a, Result<Vec<Unfinished>>>;

    /// Ends one of them; that it is not there is no error.
    fn abort<'a>(&'a self, upload: &'a Unfinished, uri: &'a str) -> BoxFuture<'a, Result<()>>;
}

/// A store without such uploads.
#[derive(Debug)]
pub(super) struct NoUploads;

impl UploadStore for NoUploads {
    fn list<'a>(&'a self, _folder: &'a ObjectPath, _uri: &'a str) -> BoxFuture<'a, Result<Vec<Unfinished>>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn abort<'a>(&'a self, _upload: &'a Unfinished, _uri: &'a str) -> BoxFuture<'a, Result<()>> {
        async { Ok(()) }.boxed()
    }
}

/// A bucket of S3.
#[derive(Debug)]
pub(super) struct S3 {
    pub(super) store: Arc<AmazonS3>,
    /// Of which no answer is longer than may be.
    pub(super) client: HttpClient,
    /// Where the bucket is, without a slash at its end.
    pub(super) url: String,
    pub(super) region: String,
    /// Requests carry no signature.
    pub(super) anonymous: bool,
}

impl UploadStore for S3 {
    fn list<'a>(&'a self, folder: &'a ObjectPath, uri: &'a str) -> BoxFuture<'a, Result<Vec<Unfinished>>> {
        async move {
            let prefix = if folder.as_ref().is_empty() { String::new() } else { format!("{folder}/") };
            let unending = |error| Error::unending(LIST, uri, &error);
            let mut found = Vec::new();
            let (mut progress, mut marker) = (Progress::default(), String::new());
            loop {
                let query = format!("uploads=&prefix={}{marker}", encode(&prefix));
                let page = parse(&self.get(&query, uri).await?).map_err(|error| failed(uri, Box::new(error)))?;
                for (key, id) in page.uploads {
                    let is_below = key.strip_prefix(&prefix).is_some_and(|below| !below.is_empty());
                    // A key that is no path is of no file that Wiesel writes.
                    if let (true, Ok(path)) = (is_below, ObjectPath::parse(&key)) {
                        progress.keep(&key).and_then(|()| progress.keep(&id)).map_err(unending)?;
                        found.push(Unfinished { path, id });
                    }
                }
                let Some((key, id)) = page.next else { return Ok(found) };
                marker = format!("&key-marker={}&upload-id-marker={}", encode(&key), encode(&id));
                progress.turn(&marker).map_err(unending)?;
            }
        }
        .boxed()
    }

    fn abort<'a>(&'a self, upload: &'a Unfinished, uri: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            match self.store.abort_multipart(&upload.path, &upload.id).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(Error::object("abort an upload into", uri, &error)),
            }
        }
        .boxed()
    }
}

impl S3 {
    /// The answer to a request on the bucket.
    async fn get(&self, query: &str, uri: &str) -> Result<String> {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            match self.try_get(query, uri).await {
                Err(Error::Failed { kind: super::ErrorKind::Other, .. }) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
        self.try_get(query, uri).await
    }

    async fn try_get(&self, query: &str, uri: &str) -> Result<String> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = format!("{}?{query}", self.url).parse().map_err(|error| failed(uri, Box::new(error)))?;
        if !self.anonymous {
            let credential = self.store.credentials().get_credential().await;
            let credential = credential.map_err(|error| failed(uri, Box::new(error)))?;
            AwsAuthorizer::new(&credential, "s3", &self.region).authorize(&mut request, None);
        }
        let response = self.client.execute(request).await.map_err(|error| failed(uri, Box::new(error)))?;
        let status = response.status();
        let body = response.into_body().bytes().await.map_err(|error| failed(uri, Box::new(error)))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        match status.is_success() {
            true => Ok(text),
            false => Err(failed(uri, format!("{status}: {text}").into())),
        }
    }
}

fn failed(uri: &str, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::object(LIST, uri, &object_store::Error::Generic { store: "S3", source })
}

/// A page of uploads.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    /// Keys and ids.
    uploads: Vec<(String, String)>,
    /// What the next one begins behind.
    next: Option<(String, String)>,
}

/// A page as the service has it. What every service says must be there: an answer that is not understood would else
/// look like one without uploads.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    #[serde(default, rename = "Upload")]
    uploads: Vec<ListedUpload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedUpload {
    key: String,
    upload_id: String,
}

fn parse(xml: &str) -> Result<Page, quick_xml::DeError> {
    let listing: Listing = quick_xml::de::from_str(xml)?;
    let more = listing.is_truncated && !listing.next_key_marker.is_empty();
    Ok(Page {
        uploads: listing.uploads.into_iter().map(|upload| (upload.key, upload.upload_id)).collect(),
        next: more.then_some((listing.next_key_marker, listing.next_upload_id_marker)),
    })
}

/// For the query of a URL.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed before: attributes, comments, CDATA, numbered characters and a `Key` further inside led to wrong keys.
    #[test]
    fn pages_of_a_service() {
        let page = parse(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>b</Bucket><KeyMarker></KeyMarker><UploadIdMarker/><NextKeyMarker>a&amp;b</NextKeyMarker>
              <NextUploadIdMarker>2</NextUploadIdMarker><IsTruncated>true</IsTruncated>
              <Upload><Initiator><ID>i</ID><Key>of another</Key></Initiator><Key>x/&lt;1&gt;</Key>
                <UploadId>1</UploadId></Upload>
              <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>
              <Upload id="u"><!-- <Key>no</Key> --><Key>x/a&amp;amp;b</Key><UploadId>2</UploadId></Upload>
              <Upload><Key>x/&#x41;&#66;</Key><UploadId><![CDATA[3&]]></UploadId></Upload>
            </ListMultipartUploadsResult>"#,
        );
        let uploads = [("x/<1>", "1"), ("x/a&amp;b", "2"), ("x/AB", "3&")];
        let uploads = uploads.map(|(key, id)| (key.to_owned(), id.to_owned())).to_vec();
        assert_eq!(page.unwrap(), Page { uploads, next: Some(("a&b".into(), "2".into())) });
        let last = parse("<R><IsTruncated>false</IsTruncated><NextKeyMarker>x</NextKeyMarker></R>");
        assert_eq!(last.unwrap(), Page { uploads: Vec::new(), next: None });
        assert_eq!(encode("a b/ö~"), "a%20b%2F%C3%B6~");
    }

    #[test]
    fn what_is_no_page_is_an_error() {
        let answers = [
            "",
            "busy",
            "<html><body>busy</body></html>",
            "<R><IsTruncated>false</IsTruncated><Upload><UploadId>1</UploadId></Upload></R>",
            "<R><IsTruncated>false</IsTruncated><Upload><Key>k</Key>",
        ];
        for answer in answers {
            assert!(parse(answer).is_err(), "{answer}");
        }
    }
}
