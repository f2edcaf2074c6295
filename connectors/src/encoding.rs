//! How connectors write what they keep in checkpoints: a version byte, then fixed fields.
use bytes::{BufMut, Bytes, BytesMut};
use wiesel_operators::operator::{Error, Result};

/// Writes one value.
pub(crate) struct Writer(BytesMut);

impl Writer {
    /// Begins a value of that version.
    pub(crate) fn new(version: u8) -> Self {
        let mut bytes = BytesMut::with_capacity(64);
        bytes.put_u8(version);
        Self(bytes)
    }

    /// Makes room, for what is long.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.put_u64_le(value);
        self
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.0.put_i64_le(value);
        self
    }

    /// Bytes, preceded by their length.
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.0.put_u64_le(value.len() as u64);
        self.0.put_slice(value);
        self
    }

    pub(crate) fn finish(&mut self) -> Bytes {
        self.0.split().freeze()
    }
}

/// Reads what a [`Writer`] wrote.
pub(crate) struct Reader<'a> {
    what: &'static str,
    version: u8,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// `what` names the value in messages; `newest` is the version that is written today.
    pub(crate) fn new(what: &'static str, newest: u8, bytes: &'a [u8]) -> Result<Self> {
        match bytes.split_first() {
            Some((version, _)) if *version == 0 || *version > newest => {
                Err(Error::State(wiesel_state::Error::Incompatible(format!(
                    "the checkpoint holds {what} of version {version}, but this release reads versions 1 to {newest}: \
                     restore it with the release that wrote it"
                ))))
            }
            Some((version, rest)) => Ok(Self { what, version: *version, rest }),
            None => Err(malformed(what)),
        }
    }

    /// The version of the value.
    pub(crate) fn version(&self) -> u8 {
        self.version
    }

    /// The error of a value whose parts do not fit together.
    pub(crate) fn malformed(&self) -> Error {
        malformed(self.what)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.word()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.word()?))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.u64()?).map_err(|_| malformed(self.what))?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(|| malformed(self.what))?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        self.str().map(str::to_owned)
    }

    /// A text that is not copied.
    pub(crate) fn str(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| malformed(self.what))
    }

    /// A number of values that follow, each of at least one byte.
    pub(crate) fn count(&mut self) -> Result<usize> {
        let count = usize::try_from(self.u64()?).ok().filter(|count| *count <= self.rest.len());
        count.ok_or_else(|| malformed(self.what))
    }

    /// Fails if something is left.
    pub(crate) fn end(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(malformed(self.what)) }
    }

    fn word(&mut self) -> Result<[u8; 8]> {
        let (word, rest) = self.rest.split_first_chunk().ok_or_else(|| malformed(self.what))?;
        self.rest = rest;
        Ok(*word)
    }
}

fn malformed(what: &str) -> Error {
    Error::State(wiesel_state::Error::Corrupt(format!(
        "the checkpoint does not hold {what} that can be read: it is damaged, or the table of that name had another connector"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let bytes = Writer::new(1).u64(7).i64(-7).bytes("é".as_bytes()).finish();
        let read = |bytes: &[u8]| -> Result<(u64, i64, String)> {
            let mut reader = Reader::new("a thing", 1, bytes)?;
            let value = (reader.u64()?, reader.i64()?, reader.text()?);
            reader.end()?;
            Ok(value)
        };
        assert_eq!(read(&bytes).unwrap(), (7, -7, "é".to_owned()));
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).unwrap_err().to_string().contains("a thing"), "{length}");
        }
        // Failed before: that the state may be of another connector was not said.
        let longer = read(&[&bytes[..], b"x"].concat()).unwrap_err().to_string();
        assert!(longer.contains("a thing") && longer.contains("another connector"), "{longer}");
        let newer = read(&[2]).unwrap_err().to_string();
        assert!(newer.contains("of version 2") && newer.contains("versions 1 to 1"), "{newer}");
        let long = Writer::new(1).u64(u64::MAX).finish();
        assert!(Reader::new("a thing", 1, &long).unwrap().bytes().is_err());
        assert!(Reader::new("a thing", 1, &long).unwrap().count().is_err());
    }
}
