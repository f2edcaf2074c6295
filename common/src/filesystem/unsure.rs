//! A bucket in memory whose puts go wrong as those of a real service do, for tests: answers are lost, requests are late, conditions
//! are not known.
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use parking_lot::Mutex;

/// The bucket. All clones are the same one.
#[derive(Clone, Default)]
pub struct UnsureBucket {
    inner: Arc<InMemory>,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Default)]
struct Faults {
    puts: Vec<PutFault>,
    lost_reads: u32,
    late: Vec<(ObjectPath, PutPayload, PutOptions)>,
    ignores_conditions: bool,
}

/// What goes wrong with a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutFault {
    /// Nothing.
    None,
    /// It is not carried out, and has no answer.
    Lost,
    /// It is carried out, and has no answer.
    LostAnswer,
    /// It is carried out, and a repetition of it is answered.
    Repeated,
    /// It has no answer, and is carried out when [`UnsureBucket::deliver`] says so.
    Late,
    /// It is refused for another request that is under way beside it.
    Conflict,
}

impl UnsureBucket {
    /// Puts a new bucket in the place of one of this name, in this process: see [`super::mount`].
    pub fn mount(bucket: &str) -> Self {
        let unsure = Self::default();
        super::mount(bucket, Arc::new(unsure.clone()));
        unsure
    }

    /// What goes wrong with the next puts, in their order.
    pub fn fail_puts(&self, faults: &[PutFault]) {
        let mut puts = faults.to_vec();
        puts.reverse();
        self.faults.lock().puts = puts;
    }

    /// So many reads from now on have no answer.
    pub fn fail_reads(&self, many: u32) {
        self.faults.lock().lost_reads = many;
    }

    /// Takes every put for one without a condition, from now on.
    pub fn ignore_conditions(&self) {
        self.faults.lock().ignores_conditions = true;
    }

    /// Carries out the puts that are late. How many of them had an effect.
    pub async fn deliver(&self) -> usize {
        let late = std::mem::take(&mut self.faults.lock().late);
        let mut had_effect = 0;
        for (path, payload, options) in late {
            had_effect += usize::from(self.inner.put_opts(&path, payload, options).await.is_ok());
        }
        had_effect
    }

    fn no_answer() -> object_store::Error {
        object_store::Error::Generic { store: "unsure", source: "no answer".into() }
    }
}

impl fmt::Display for UnsureBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unsure")
    }
}

impl fmt::Debug for UnsureBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unsure")
    }
}

#[tonic::async_trait]
impl ObjectStore for UnsureBucket {
    async fn put_opts(
        &self,
        path: &ObjectPath,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> StoreResult<PutResult> {
        let fault = {
            let mut faults = self.faults.lock();
            if faults.ignores_conditions {
                options.mode = PutMode::Overwrite;
            }
            let fault = faults.puts.pop().unwrap_or(PutFault::None);
            if fault == PutFault::Late {
                faults.late.push((path.clone(), payload.clone(), options.clone()));
            }
            fault
        };
        match fault {
            PutFault::None => self.inner.put_opts(path, payload, options).await,
            PutFault::Lost | PutFault::Late => Err(Self::no_answer()),
            PutFault::LostAnswer => {
                self.inner.put_opts(path, payload, options).await?;
                Err(Self::no_answer())
            }
            PutFault::Repeated => {
                self.inner.put_opts(path, payload.clone(), options.clone()).await?;
                self.inner.put_opts(path, payload, options).await
            }
            PutFault::Conflict => {
                Err(object_store::Error::AlreadyExists { path: path.to_string(), source: "409: Conflict".into() })
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &ObjectPath,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &ObjectPath, options: GetOptions) -> StoreResult<GetResult> {
        let is_lost = {
            let mut faults = self.faults.lock();
            let is_lost = faults.lost_reads > 0;
            faults.lost_reads = faults.lost_reads.saturating_sub(1);
            is_lost
        };
        if is_lost { Err(Self::no_answer()) } else { self.inner.get_opts(path, options).await }
    }

    async fn get_ranges(&self, path: &ObjectPath, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.inner.get_ranges(path, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, StoreResult<ObjectPath>>,
    ) -> BoxStream<'static, StoreResult<ObjectPath>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
