//! Files that are compressed, by the end of their names.
use std::fs::File;
use std::io::{self, BufReader, Read};

/// Whether a file of this name must be read from its beginning.
pub(super) fn is_compressed(path: &str) -> bool {
    suffix(path).is_some()
}

fn suffix(path: &str) -> Option<&str> {
    let suffix = path.rsplit_once('.')?.1;
    ["gz", "gzip", "deflate", "bz2", "xz", "zst"].contains(&suffix).then_some(suffix)
}

/// The bytes inside the file.
pub(super) fn open(path: &str, file: File) -> io::Result<Box<dyn Read + Send>> {
    const BUFFER: usize = 256 << 10;
    let buffered = BufReader::with_capacity(BUFFER, file);
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
