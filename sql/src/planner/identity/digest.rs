//! One hash of all that makes an identity.

/// A uid, or the identity of rows or of a column.
pub(crate) type Id = [u8; 16];

/// Collects what makes an identity. Each part is preceded by its length, so that no two lists of parts are one text.
pub(crate) struct Digest(Vec<u8>);

impl Digest {
    pub fn new(kind: &str) -> Self {
        Self(Vec::new()).text(kind)
    }

    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.fixed(&(bytes.len() as u32).to_le_bytes()).fixed(bytes)
    }

    pub fn number(self, number: i64) -> Self {
        self.fixed(&number.to_le_bytes())
    }

    pub fn id(self, id: Id) -> Self {
        self.fixed(&id)
    }

    pub fn ids(self, ids: impl IntoIterator<Item = Id>) -> Self {
        let ids: Vec<Id> = ids.into_iter().collect();
        ids.iter().fold(self.number(ids.len() as i64), |digest, id| digest.id(*id))
    }

    /// Bytes as they are: always as many at this place, or behind their number.
    pub fn fixed(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn finish(self) -> Id {
        xxhash_rust::xxh3::xxh3_128(&self.0).to_be_bytes()
    }
}
