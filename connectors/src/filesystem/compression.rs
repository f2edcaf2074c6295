//! Files that are compressed, by the end of their names.
use std::fs::File;
use std::io::{self, BufReader, Read};

use wiesel_common::ending::is_told_to_end;

/// Whether a file of this name must be read from its beginning.
pub(super) fn is_compressed(path: &str) -> bool {
    suffix(path).is_some()
}

fn suffix(path: &str) -> Option<&str> {
    let suffix = path.rsplit_once('.')?.1;
    ["gz", "gzip", "deflate", "bz2", "xz", "zst"].contains(&suffix).then_some(suffix)
}

/// A file that is read no further once the task is to end: a decoder may read a long time before it has a byte to give.
struct Ending(File);

impl Read for Ending {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if is_told_to_end() { Err(io::Error::other("the task is to end")) } else { self.0.read(into) }
    }
}

/// The bytes inside the file.
pub(super) fn open(path: &str, file: File) -> io::Result<Box<dyn Read + Send>> {
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
        Some(_) => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
    })
}
