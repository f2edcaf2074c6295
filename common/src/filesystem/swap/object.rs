//! In a store: puts with a condition. One that is refused, or has no answer, is read back before anything is believed of it: a client
//! repeats requests, so that the one that was stored may be answered as refused by itself.
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{GetResult, ObjectStore, PutMode, PutPayload, UpdateVersion};

use super::SwapError;
use crate::filesystem::answers::in_pieces;
use crate::filesystem::bounded::Bound;
use crate::filesystem::{Error, ErrorKind, Result, object};

/// How often a refusal is taken for a passing conflict where nothing has changed.
const CONFLICTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// What is found of an object.
enum Found {
    Nothing,
    /// It has these bytes; its ETag.
    Same(String),
    /// It has others; its ETag.
    Other(String),
}

impl Found {
    fn tag(&self) -> Option<&str> {
        match self {
            Self::Nothing => None,
            Self::Same(tag) | Self::Other(tag) => Some(tag),
        }
    }
}

/// An object with its ETag; none if it is not there.
pub(super) async fn read(
    store: &dyn ObjectStore,
    path: &ObjectPath,
    uri: &str,
    limit: u64,
) -> Result<Option<(Bytes, String)>> {
    let Some((found, tag)) = get(store, path, uri).await? else { return Ok(None) };
    let bytes = object::collect(found, uri, Bound::at_most(limit)).await?;
    Ok(Some((bytes, tag)))
}

/// Puts an object in the place of the one with this ETag, or where there is none. Its new ETag.
pub(super) async fn swap(
    store: &dyn ObjectStore,
    path: &ObjectPath,
    uri: &str,
    expected: Option<&str>,
    bytes: Bytes,
) -> Result<String, SwapError> {
    let mut pause = FIRST_PAUSE;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mode = match expected {
            Some(tag) => PutMode::Update(UpdateVersion { e_tag: Some(tag.to_owned()), version: None }),
            None => PutMode::Create,
        };
        let error = match store.put_opts(path, PutPayload::from_bytes(bytes.clone()), mode.into()).await {
            Ok(put) => match put.e_tag {
                Some(tag) => return Ok(tag),
                None => return Err(SwapError::Unknown(without_tag("write", uri))),
            },
            Err(error) => error,
        };
        match look(store, path, uri, &bytes).await {
            Ok(Found::Same(tag)) => return Ok(tag),
            Ok(found) if found.tag() != expected => return Err(SwapError::Refused { uri: uri.to_owned() }),
            Ok(_) if is_conflict(&error) && attempt < CONFLICTS => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Ok(_) if is_answer(&error) => return Err(SwapError::Failed(Error::object("write", uri, &error))),
            // Nothing has changed yet, or it could not be read.
            _ => return Err(SwapError::Unknown(Error::object("write", uri, &error))),
        }
    }
}

/// Whether the store says that there is another content, or that a request beside this one is in its way.
fn is_conflict(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })
}

/// Whether the store has answered that it does not do this.
fn is_answer(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    is_conflict(error)
        || matches!(
            error,
            E::NotFound { .. }
                | E::PermissionDenied { .. }
                | E::Unauthenticated { .. }
                | E::NotImplemented { .. }
                | E::NotSupported { .. }
        )
}

async fn look(store: &dyn ObjectStore, path: &ObjectPath, uri: &str, bytes: &Bytes) -> Result<Found> {
    let Some((found, tag)) = get(store, path, uri).await? else { return Ok(Found::Nothing) };
    let length = bytes.len() as u64;
    if found.meta.size != length {
        return Ok(Found::Other(tag));
    }
    let is_same = object::collect(found, uri, Bound::at_most(length)).await? == *bytes;
    Ok(if is_same { Found::Same(tag) } else { Found::Other(tag) })
}

async fn get(store: &dyn ObjectStore, path: &ObjectPath, uri: &str) -> Result<Option<(GetResult, String)>> {
    match store.get_opts(path, in_pieces()).await {
        Ok(found) => match found.meta.e_tag.clone() {
            Some(tag) => Ok(Some((found, tag))),
            None => Err(without_tag("read", uri)),
        },
        Err(error) if Error::is_without_object(&error) => Ok(None),
        Err(error) => Err(Error::object("read", uri, &error)),
    }
}

fn without_tag(action: &'static str, uri: &str) -> Error {
    let reason = "the store gives its contents no ETag, by which they are told apart".to_owned();
    Error::Failed { action, uri: uri.to_owned(), reason, kind: ErrorKind::Other }
}
