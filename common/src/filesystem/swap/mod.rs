//! Files of which each content replaces the one that was read before it: what another process has written meanwhile refuses it.
//!
//! In a store this is a put with a condition (`If-None-Match`, `If-Match`). The local file system has no such thing: there such a
//! file is a folder with a file for each content, and the next one is made by a hard link, which is refused where its name is
//! taken ([`folder`]).
//!
//! No two contents of a file may be equal, ever: the tag that a store gives a content is often a hash of it, so that an earlier one
//! that came again would let a writer pass that has not seen those between. And a file that was removed is not written again: a
//! write that was believed lost may still arrive.
use bytes::Bytes;

use super::{Error, Location, Place, Result, local};

mod folder;
mod object;

#[cfg(test)]
mod tests;

/// One content of such a file: to be named by whoever replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(Content);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// The number of the file in the folder.
    Generation(u64),
    /// What the store calls it.
    ETag(String),
}

impl Tag {
    /// A tag that no content has.
    pub fn of_nothing(location: &Location) -> Self {
        match &location.place {
            Place::Local(_) => Self(Content::Generation(0)),
            Place::Object { .. } => Self(Content::ETag(format!("\"{}\"", "0".repeat(32)))),
        }
    }

    fn generation(&self) -> Option<u64> {
        if let Content::Generation(generation) = self.0 { Some(generation) } else { None }
    }

    fn e_tag(&self) -> Option<&str> {
        if let Content::ETag(tag) = &self.0 { Some(tag) } else { None }
    }
}

/// Why a content was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// The file has neither the content that was to be replaced nor the new one. In most cases the new one was never there; in a few
    /// it was, and is replaced by now. To know, one reads what replaced it.
    #[error("cannot write {uri}: it was changed meanwhile")]
    Refused {
        /// The file.
        uri: String,
    },
    /// It may have been replaced, and may still be: a request without an answer may be on its way.
    #[error("{0}; whether it was written is not known")]
    Unknown(Error),
    /// It was not replaced, and will not be.
    #[error(transparent)]
    Failed(Error),
}

impl Location {
    /// The content of such a file, of at most so many bytes; none if it is not there.
    ///
    /// # Errors
    /// Also [`Error::Refused`]: it is longer.
    pub async fn read_tagged(&self, limit: u64) -> Result<Option<(Bytes, Tag)>> {
        match &self.place {
            Place::Local(path) => {
                let found = local::run("read", &self.uri, path, move |path| folder::read(path, limit)).await?;
                let Some((generation, read)) = found else { return Ok(None) };
                let bytes = read.map_err(|refusal| Error::refused(&self.uri, refusal))?;
                Ok(Some((bytes, Tag(Content::Generation(generation)))))
            }
            Place::Object { store, path, .. } => {
                let found = self.named("read", object::read(&*store.objects, path, &self.uri, limit)).await?;
                Ok(found.map(|(bytes, tag)| (bytes, Tag(Content::ETag(tag)))))
            }
        }
    }

    /// Replaces the content that has this tag; without one the file must not be there, nor ever have been. The new content is
    /// durable with the answer. It differs from all that the file ever had.
    ///
    /// # Errors
    /// See [`SwapError`].
    pub async fn swap(&self, expected: Option<&Tag>, bytes: Bytes) -> Result<Tag, SwapError> {
        match &self.place {
            Place::Local(path) => {
                let expected = expected.and_then(Tag::generation);
                let swapped = local::run("write", &self.uri, path, move |path| folder::swap(path, expected, &bytes));
                match swapped.await.map_err(SwapError::Failed)? {
                    folder::Swapped::Done(generation) => Ok(Tag(Content::Generation(generation))),
                    folder::Swapped::Refused => Err(SwapError::Refused { uri: self.uri.clone() }),
                    folder::Swapped::Unknown(error) => Err(SwapError::Unknown(Error::io("write", &self.uri, &error))),
                }
            }
            Place::Object { store, path, .. } => {
                let swapped = object::swap(&*store.objects, path, &self.uri, expected.and_then(Tag::e_tag), bytes);
                Ok(Tag(Content::ETag(self.named("write", swapped).await?)))
            }
        }
    }

    /// Removes such a file; that it is not there is no error. There is no condition, because not every store has one for this: so
    /// its last content has to be one that no writer replaces.
    pub async fn remove_tagged(&self) -> Result<()> {
        match &self.place {
            Place::Local(path) => local::run("delete", &self.uri, path, folder::remove).await,
            Place::Object { .. } => self.delete().await,
        }
    }

    /// The names of such files in this folder, in their order.
    pub async fn tagged_files(&self) -> Result<Vec<String>> {
        let mut names = match &self.place {
            Place::Local(path) => local::run("list", &self.uri, path, folder::list).await?,
            Place::Object { .. } => self.children().await?.files,
        };
        names.sort();
        Ok(names)
    }
}
