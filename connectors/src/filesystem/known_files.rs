//! The files that an enumerator has seen. There may be millions, so that a folder's path is held once for all of its files,
//! and their names stand in blocks instead of in texts of their own.
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Texts are put together in blocks of so many bytes: one that grows in one piece exists twice while it is copied.
const BLOCK: usize = 1 << 20;

/// Paths of files, each of them once, by number in the order in which they came.
#[derive(Default)]
pub(super) struct KnownFiles {
    /// Up to and with the last `/`.
    folders: Texts,
    /// Names, each with the number of its folder.
    files: Texts,
}

impl KnownFiles {
    /// The number of a file, and whether it was not known before.
    pub(super) fn insert(&mut self, path: &str) -> (u32, bool) {
        let (folder, name) = path.split_at(path.rfind('/').map_or(0, |at| at + 1));
        let (folder, _) = self.folders.insert(0, folder);
        self.files.insert(folder, name)
    }

    pub(super) fn len(&self) -> usize {
        self.files.entries.len()
    }

    pub(super) fn path(&self, file: u32) -> String {
        let (folder, name) = self.parts(file);
        [folder, name].concat()
    }

    /// How many bytes all of it takes.
    pub(super) fn bytes(&self) -> usize {
        self.folders.bytes() + self.files.bytes()
    }

    /// The paths of folders, by number.
    pub(super) fn folders(&self) -> impl ExactSizeIterator<Item = &str> {
        self.folders.entries.iter().map(|entry| entry.text(&self.folders.blocks))
    }

    /// The number of its folder and the name of each file, by number.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = (u32, &str)> {
        self.files.entries.iter().map(|entry| (entry.parent, entry.text(&self.files.blocks)))
    }

    /// Adds a folder behind those that are there; false: it is one of them.
    pub(super) fn add_folder(&mut self, folder: &str) -> bool {
        self.folders.insert(0, folder).1
    }

    /// Adds a file behind those that are there; false: it is one of them, or there is no such folder.
    pub(super) fn add_name(&mut self, folder: u64, name: &str) -> bool {
        let known = u32::try_from(folder).ok().filter(|folder| (*folder as usize) < self.folders.entries.len());
        known.is_some_and(|folder| self.files.insert(folder, name).1)
    }

    fn parts(&self, file: u32) -> (&str, &str) {
        let entry = &self.files.entries[file as usize];
        let folder = &self.folders.entries[entry.parent as usize];
        (folder.text(&self.folders.blocks), entry.text(&self.files.blocks))
    }
}

/// Texts below others, each pair once.
#[derive(Default)]
struct Texts {
    blocks: Vec<String>,
    /// Bytes of the blocks.
    capacity: usize,
    entries: Vec<Entry>,
    /// Numbers of entries. There is no memory for 2^32 of them.
    index: HashTable<u32>,
}

struct Entry {
    parent: u32,
    block: u32,
    start: u32,
    length: u32,
}

impl Entry {
    fn text<'a>(&self, blocks: &'a [String]) -> &'a str {
        let start = self.start as usize;
        &blocks[self.block as usize][start..start + self.length as usize]
    }
}

fn hash(parent: u32, text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), u64::from(parent))
}

impl Texts {
    /// The number of a text, and whether it was not there.
    fn insert(&mut self, parent: u32, text: &str) -> (u32, bool) {
        let wanted = hash(parent, text);
        let known = self.index.find(wanted, |number| {
            let entry = &self.entries[*number as usize];
            entry.parent == parent && entry.text(&self.blocks) == text
        });
        if let Some(number) = known {
            return (*number, false);
        }
        let number = self.entries.len() as u32;
        let entry = self.store(parent, text);
        self.entries.push(entry);
        let (entries, blocks) = (&self.entries, &self.blocks);
        self.index.insert_unique(wanted, number, |number| {
            let entry = &entries[*number as usize];
            hash(entry.parent, entry.text(blocks))
        });
        (number, true)
    }

    fn store(&mut self, parent: u32, text: &str) -> Entry {
        let has_room = |block: &String| block.capacity() - block.len() >= text.len();
        if !self.blocks.last().is_some_and(has_room) {
            // A few names need no whole block.
            let size = if self.blocks.is_empty() { BLOCK / 256 } else { BLOCK };
            let block = String::with_capacity(size.max(text.len()));
            self.capacity += block.capacity();
            self.blocks.push(block);
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        let start = block.len();
        block.push_str(text);
        Entry { parent, block: number as u32, start: start as u32, length: text.len() as u32 }
    }

    fn bytes(&self) -> usize {
        let blocks = self.capacity + self.blocks.capacity() * size_of::<String>();
        blocks + self.entries.capacity() * size_of::<Entry>() + self.index.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_held_once_and_as_they_are() {
        let paths = ["/a/b", "/a/c", "/a//b", "b", "", "/", "/a/", "a=ä/é", "/a/b/c"];
        let mut known = KnownFiles::default();
        for (number, path) in paths.iter().enumerate() {
            assert_eq!(known.insert(path), (number as u32, true), "{path}");
        }
        for (number, path) in paths.iter().enumerate() {
            assert_eq!(known.insert(path), (number as u32, false), "{path}");
            assert_eq!(known.path(number as u32), *path);
        }
        assert_eq!(known.len(), paths.len());
    }

    /// Failed before: each path was held in whole up to three times.
    #[test]
    fn a_file_takes_little_more_than_its_name() {
        const FILES: usize = 200_000;
        let folder = format!("/warehouse/{}/", "long".repeat(50));
        let mut known = KnownFiles::default();
        let mut names = 0;
        for number in 0..FILES {
            let name = format!("part-{number}.parquet");
            names += name.len();
            assert!(known.insert(&format!("{folder}{name}")).1);
        }
        // Vectors and tables have up to twice the room that they need.
        let most = names + FILES * (2 * size_of::<Entry>() + 16) + 2 * BLOCK;
        assert!(known.bytes() <= most && known.bytes() >= names, "{} bytes, at most {most}", known.bytes());
    }
}
