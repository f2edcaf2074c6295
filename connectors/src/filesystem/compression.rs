//! Files that are compressed, by the end of their names.
use std::io::{self, BufRead, BufReader, Chain, Read};

use flate2::bufread::GzDecoder;
use wiesel_common::ending::is_told_to_end;

use crate::input::InputFile;

/// Whether a file of this name must be read from its beginning.
pub(super) fn is_compressed(path: &str) -> bool {
    suffix(path).is_some()
}

fn suffix(path: &str) -> Option<&str> {
    let suffix = path.rsplit_once('.')?.1;
    ["gz", "gzip", "deflate", "bz2", "xz", "zst"].contains(&suffix).then_some(suffix)
}

/// A file that is read no further once the task is to end: a decoder may read a long time before it has a byte to give.
struct Ending(InputFile);

impl Read for Ending {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if is_told_to_end() { Err(io::Error::other("the task is to end")) } else { self.0.read(into) }
    }
}

/// The bytes inside the file.
pub(super) fn open(path: &str, file: InputFile) -> io::Result<Box<dyn Read + Send>> {
    const BUFFER: usize = 256 << 10;
    let buffered = BufReader::with_capacity(BUFFER, Ending(file));
    Ok(match suffix(path) {
        None => Box::new(buffered.into_inner()),
        Some("deflate") => Box::new(flate2::bufread::ZlibDecoder::new(buffered)),
        Some("bz2") => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::with_buffer(buffered)?),
        Some("xz") => {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "files compressed with xz cannot be read"));
        }
        Some(_) => Box::new(Gzip::new(buffered)),
    })
}

/// What a member of a gzip file begins with: the format, and the only method that there is.
const GZIP_MEMBER: &[u8] = &[0x1f, 0x8b, 8];

/// A gzip file: one member behind another. What begins as none does is the end, as Java has it: some programs fill files up with
/// zeros, or add a signature.
struct Gzip<R> {
    /// The bytes that told that it is a member are before the rest. None: the file has ended.
    member: Option<GzDecoder<Chain<&'static [u8], R>>>,
}

impl<R: BufRead> Gzip<R> {
    /// The first member must be one.
    fn new(file: R) -> Self {
        let nothing: &'static [u8] = &[];
        Self { member: Some(GzDecoder::new(nothing.chain(file))) }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let read = member.read(into)?;
            if read > 0 {
                return Ok(read);
            }
            let Some(ended) = self.member.take() else { break };
            let (_, mut file) = ended.into_inner().into_inner();
            if begins_member(&mut file)? {
                self.member = Some(GzDecoder::new(GZIP_MEMBER.chain(file)));
            }
        }
        Ok(0)
    }
}

/// Takes the first bytes of what may be a member.
fn begins_member(file: &mut impl Read) -> io::Result<bool> {
    let mut bytes = [0u8; GZIP_MEMBER.len()];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(bytes[..] == *GZIP_MEMBER),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn member(text: &str) -> Vec<u8> {
        let mut gzip =
            flate2::GzBuilder::new().filename("f").comment("c").write(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    /// The text of a file that is read through so small a buffer.
    fn text(file: &[u8], buffer: usize) -> io::Result<String> {
        let mut text = String::new();
        Gzip::new(BufReader::with_capacity(buffer, file)).read_to_string(&mut text).map(|_| text)
    }

    /// Failed before: what is behind the last member was an invalid header. Flink gives the rows.
    #[test]
    fn what_follows_the_members_of_a_gzip_file_is_left_out() {
        let members = [member("1,a\n"), member(""), member("2,b\n")].concat();
        for behind in
            [&b""[..], b"\0", &[0; 1000], b"signature", b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x07\x08", b"\x8b\x1f\x08"]
        {
            for buffer in [1, 2, 3, 7, 1 << 16] {
                let file = [members.as_slice(), behind].concat();
                assert_eq!(text(&file, buffer).unwrap(), "1,a\n2,b\n", "{behind:?} {buffer}");
            }
        }
        let mut damaged = [member("1,a\n"), member("2,b\n")].concat();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        // A member that is cut off, one whose length is wrong, and what is no gzip file.
        for refused in [&members[..members.len() - 1], &members[..members.len() - 20], &damaged[..], b"no gzip", b""] {
            assert!(text(refused, 64).is_err(), "{refused:?}");
        }
    }
}
