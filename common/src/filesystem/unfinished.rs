//! Uploads in parts that a service has begun to take and that nobody goes on with.
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

use super::{Error, Result};

/// How often a request is made, and how long it is waited for the next time.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(200);

/// An upload in parts that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The path that its file was to have below the folder.
    pub name: String,
    /// The service's name for the upload.
    id: String,
}

/// What a bucket can do about them.
pub(super) trait UploadStore: fmt::Debug + Send + Sync {
    /// Those into a folder and the folders in it.
    fn list<'a>(&'a self, folder: &'a ObjectPath, uri: &'a str) -> BoxFuture<'a, Result<Vec<Unfinished>>>;

    /// Ends one of them.
    fn abort<'a>(&'a self, folder: &'a ObjectPath, upload: &'a Unfinished, uri: &'a str) -> BoxFuture<'a, Result<()>>;
}

/// A store without such uploads.
#[derive(Debug)]
pub(super) struct None;

impl UploadStore for None {
    fn list<'a>(&'a self, _folder: &'a ObjectPath, _uri: &'a str) -> BoxFuture<'a, Result<Vec<Unfinished>>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn abort<'a>(&'a self, _: &'a ObjectPath, _: &'a Unfinished, _: &'a str) -> BoxFuture<'a, Result<()>> {
        async { Ok(()) }.boxed()
    }
}

/// A bucket of S3.
#[derive(Debug)]
pub(super) struct S3 {
    pub(super) store: Arc<AmazonS3>,
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
            let mut found = Vec::new();
            let mut marker = String::new();
            loop {
                let query = format!("uploads=&prefix={}{marker}", encode(&prefix));
                let page = parse(&self.get(&query, uri).await?);
                let inside = |(key, id): (String, String)| {
                    Some(Unfinished { name: key.strip_prefix(&prefix)?.to_owned(), id })
                        .filter(|found| !found.name.is_empty())
                };
                found.extend(page.uploads.into_iter().filter_map(inside));
                match page.next {
                    Some((key, id)) => {
                        marker = format!("&key-marker={}&upload-id-marker={}", encode(&key), encode(&id))
                    }
                    Option::None => return Ok(found),
                }
            }
        }
        .boxed()
    }

    fn abort<'a>(&'a self, folder: &'a ObjectPath, upload: &'a Unfinished, uri: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            let path = upload.name.split('/').fold(folder.clone(), |path, part| path.join(part));
            match self.store.abort_multipart(&path, &upload.id).await {
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
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            Error::object("list unfinished uploads into", uri, &object_store::Error::Generic { store: "S3", source })
        };
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = format!("{}?{query}", self.url).parse().map_err(|error| failed(Box::new(error)))?;
        if !self.anonymous {
            let credential = self.store.credentials().get_credential().await;
            let credential = credential.map_err(|error| failed(Box::new(error)))?;
            AwsAuthorizer::new(&credential, "s3", &self.region).authorize(&mut request, Option::None);
        }
        let response = self.client.execute(request).await.map_err(|error| failed(Box::new(error)))?;
        let status = response.status();
        let body = response.into_body().bytes().await.map_err(|error| failed(Box::new(error)))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        match status.is_success() {
            true => Ok(text),
            false => Err(failed(format!("{status}: {text}").into())),
        }
    }
}

/// A page of uploads.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    /// Keys and ids.
    uploads: Vec<(String, String)>,
    /// What the next one begins behind.
    next: Option<(String, String)>,
}

fn parse(xml: &str) -> Page {
    let uploads = xml.split("<Upload>").skip(1).filter_map(|rest| {
        let upload = rest.split("</Upload>").next()?;
        Some((element(upload, "Key")?, element(upload, "UploadId")?))
    });
    let head = xml.split("<Upload>").next().unwrap_or_default();
    let tail = xml.rsplit("</Upload>").next().unwrap_or_default();
    let text = |name: &str| element(head, name).or_else(|| element(tail, name));
    let more = text("IsTruncated").is_some_and(|truncated| truncated == "true");
    let next = text("NextKeyMarker").filter(|key| more && !key.is_empty());
    Page { uploads: uploads.collect(), next: next.map(|key| (key, text("NextUploadIdMarker").unwrap_or_default())) }
}

fn element(xml: &str, name: &str) -> Option<String> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    let (value, _) = after.split_once(&format!("</{name}>"))?;
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&apos;", "'"), ("&#39;", "'")];
    let text = named.iter().fold(value.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain));
    Some(text.replace("&amp;", "&"))
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

    #[test]
    fn pages_of_a_service() {
        let page = parse(
            "<ListMultipartUploadsResult><Bucket>b</Bucket><KeyMarker></KeyMarker><NextKeyMarker>a&amp;b</NextKeyMarker>\
             <NextUploadIdMarker>2</NextUploadIdMarker><IsTruncated>true</IsTruncated>\
             <Upload><Key>x/&lt;1&gt;</Key><UploadId>1</UploadId></Upload>\
             <Upload><Key>x/a&amp;b</Key><UploadId>2</UploadId></Upload></ListMultipartUploadsResult>",
        );
        let uploads = [("x/<1>", "1"), ("x/a&b", "2")].map(|(key, id)| (key.to_owned(), id.to_owned()));
        assert_eq!(page, Page { uploads: uploads.to_vec(), next: Some(("a&b".into(), "2".into())) });
        assert_eq!(parse("<R><IsTruncated>false</IsTruncated><NextKeyMarker>x</NextKeyMarker></R>"), Page::default());
        assert_eq!(encode("a b/ö~"), "a%20b%2F%C3%B6~");
    }
}
