//! Segments that were written but are in no manifest yet.

use super::{LiveSegment, Shared};
use crate::error::{Error, Result};
use crate::manifest::SegmentEntry;
use crate::segment::{Segment, SegmentMeta};
use crate::stop::{Stop, cancelled};
use crate::storage::{BlobWriter, Store};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A segment that was written but is in no manifest yet. Dropped, its file goes.
pub(crate) struct Written {
    store: Arc<dyn Store>,
    name: String,
    pub(crate) entry: SegmentEntry,
    pub(crate) live: LiveSegment,
    kept: bool,
}

impl Written {
    /// A manifest has it: keep the file.
    pub(crate) fn keep(mut self) -> LiveSegment {
        self.kept = true;
        self.live.clone()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if !self.kept {
            // What stays is removed at the next opening.
            let _ = self.store.delete(&self.name);
        }
    }
}

/// A file that is being written, for as long as somebody wants it.
pub(crate) struct StoppableWriter<'a> {
    inner: Box<dyn BlobWriter>,
    stop: Stop<'a>,
}

impl Write for StoppableWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (self.stop)() {
            true => Err(io::Error::other("stopped")),
            false => self.inner.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Shared {
    /// Write a segment file with what `build` gives to its sink.
    ///
    /// # Errors
    /// What `build` and the disk say; `Cancelled` soon after `stop` says so. Then there is no file.
    pub(crate) fn write_segment<'a>(
        &self,
        stop: Stop<'a>,
        build: impl FnOnce(StoppableWriter<'a>) -> Result<(SegmentMeta, StoppableWriter<'a>)>,
    ) -> Result<Written> {
        let file = self.next_file.fetch_add(1, Ordering::Relaxed);
        let name = self.segment_file(file);
        let sink = StoppableWriter { inner: self.store.create(&name)?, stop };
        let built = build(sink).map_err(|error| if stop() { cancelled() } else { error.at(&name) });
        let (meta, sink) = built?;
        sink.inner.finish()?;
        let entry = SegmentEntry { file, meta };
        let live = open_segment(self.store.as_ref(), &name, &entry)?;
        Ok(Written { store: Arc::clone(&self.store), name, entry, live, kept: false })
    }
}

/// Open the segment of `entry` in the file `name`.
///
/// # Errors
/// `Corrupt` for one that is not what `entry` says.
pub(crate) fn open_segment(store: &dyn Store, name: &str, entry: &SegmentEntry) -> Result<LiveSegment> {
    let segment = Segment::open(store.get(name)?).map_err(|e| e.at(name))?;
    if *segment.meta() != entry.meta {
        return Err(Error::corrupt(format!("{name}: the manifest describes another segment"))
            .with_hint("restore the file from a backup"));
    }
    LiveSegment::new(segment)
}
