//! A log in files of a store.

use super::frame::{Frame, encode_frame, encode_mark, read_frames};
use super::{Log, Logs, Record};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{AppendFile, Store};
use std::sync::Arc;

/// Logs in files of the store that has the tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileLogs;

impl Logs for FileLogs {
    fn open(&self, store: &Arc<dyn Store>, directory: &str, position: u64) -> Box<dyn Log> {
        Box::new(FileLog::new(Arc::clone(store), directory, position + 1))
    }

    fn remove(&self, store: &Arc<dyn Store>, directory: &str) -> Result<()> {
        let names = store.list(&FileLog::new(Arc::clone(store), directory, 1).prefix())?;
        names.iter().try_for_each(|name| store.delete(name))
    }
}

/// A log in files of a [`Store`]: `<directory>/log-<position of the first record>`.
pub struct FileLog {
    store: Arc<dyn Store>,
    directory: String,
    next: u64,
    file: Option<(String, Box<dyn AppendFile>)>,
    failed: Option<String>,
}

impl FileLog {
    /// The log in `directory`, of which the next record has position `next`. No file is written before it is needed.
    pub fn new(store: Arc<dyn Store>, directory: impl Into<String>, next: u64) -> Self {
        Self { store, directory: directory.into(), next, file: None, failed: None }
    }

    fn prefix(&self) -> String {
        format!("{}/log-", self.directory)
    }

    /// The files with the position of their first record, in order.
    fn files(&self) -> Result<Vec<(u64, String)>> {
        let prefix = self.prefix();
        let mut files = Vec::new();
        for name in self.store.list(&prefix)? {
            let first = name[prefix.len()..].parse().map_err(|_| {
                Error::corrupt(format!("{name}: not the name of a log file")).with_hint("move the file away")
            })?;
            files.push((first, name));
        }
        Ok(files)
    }

    /// Read every file on its own; what is wrong with each that is damaged.
    ///
    /// # Errors
    /// What the disk says to the listing of the files.
    pub(crate) fn examine(&self, after: u64) -> Result<Vec<(String, Error)>> {
        let mut findings = Vec::new();
        // The record that must come next; behind a damaged file it is not known.
        let mut expected = Some(after + 1);
        for (first, name) in self.files()? {
            if let Some(missing) = expected.filter(|&expected| expected < first) {
                let message = format!("records {missing} to {} are missing before it", first - 1);
                findings.push((name.clone(), Error::corrupt(message)));
            }
            let mut next = first;
            let read = read_file(self.store.as_ref(), &name, first, &mut |place, bytes| {
                next = place + 1;
                Record::decode(bytes).map(|_| ()).map_err(|e| e.at(format!("record {place}")))
            });
            expected = match read {
                Ok(()) => Some(next.max(expected.unwrap_or(next))),
                Err(error) => {
                    findings.push((name, error));
                    None
                }
            };
        }
        Ok(findings)
    }

    fn write(&mut self, frame: &[u8], first: u64) -> Result<()> {
        if self.file.is_none() {
            let name = format!("{}{first:020}", self.prefix());
            self.file = Some((name.clone(), self.store.create_append(&name)?));
        }
        let (_, file) = self.file.as_mut().expect("just opened");
        file.append(frame)?;
        file.sync()
    }
}

impl Log for FileLog {
    fn append(&mut self, records: &[Vec<u8>]) -> Result<u64> {
        if let Some(cause) = &self.failed {
            return Err(Error::new(ErrorKind::Poisoned, format!("the log refuses writes after: {cause}")));
        }
        let (first, last) = (self.next, self.next + records.len() as u64 - 1);
        let written = encode_frame(first, records).and_then(|frame| self.write(&frame, first));
        if let Err(error) = written {
            self.failed = Some(error.message().to_string());
            return Err(error);
        }
        self.next = last + 1;
        // The mark says that the frame was durable, so later damage to it cannot be taken for a power cut. It is not
        // synced itself: the next frame's sync carries it.
        if let Some((_, file)) = &mut self.file
            && let Err(error) = file.append(&encode_mark(last))
        {
            self.failed = Some(error.message().to_string());
        }
        Ok(last)
    }

    fn replay(&self, after: u64, each: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let mut expected = after + 1;
        for (first, name) in &self.files()? {
            if *first > expected {
                // A file that was cut, or damaged at its end, shows here: only the newest file can end anywhere.
                return Err(Error::corrupt(format!(
                    "{name}: records {expected} to {} are missing before it",
                    first - 1
                ))
                .with_hint("restore the log files before it from a backup"));
            }
            read_file(self.store.as_ref(), name, *first, &mut |place, record| {
                if place >= expected {
                    each(place, record).map_err(|e| e.at(format!("{name}: record {place}")))?;
                    expected = place + 1;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn rotate(&mut self) {
        if self.failed.is_none() {
            self.file = None;
        }
    }

    fn restart_after(&mut self, position: u64) {
        self.next = position + 1;
        self.rotate();
    }

    fn truncate_through(&mut self, position: u64) -> Result<()> {
        let files = self.files()?;
        for (at, (_, name)) in files.iter().enumerate() {
            let in_use = self.file.as_ref().is_some_and(|(open, _)| open == name);
            let end = files.get(at + 1).map_or(self.next, |(first, _)| *first);
            if !in_use && end <= position + 1 {
                self.store.delete(name)?;
            }
        }
        Ok(())
    }
}

/// Give `each` every record of the file `name`, whose first record has position `first`.
fn read_file(store: &dyn Store, name: &str, first: u64, each: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
    let mut place = first;
    read_frames(name, store.get(name)?.as_slice(), first, &mut |frame: Frame<'_>| {
        for record in frame.records() {
            each(place, record.map_err(|e| e.at(name))?)?;
            place += 1;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FaultStore;

    fn records(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    fn replayed(store: &FaultStore, after: u64) -> Result<Vec<(u64, String)>> {
        let log = FileLog::new(Arc::new(store.clone()), "t", 0);
        let mut found = Vec::new();
        log.replay(after, &mut |position, record| {
            found.push((position, String::from_utf8(record.to_vec()).unwrap()));
            Ok(())
        })?;
        Ok(found)
    }

    fn written() -> FaultStore {
        let store = FaultStore::new();
        let mut log = FileLog::new(Arc::new(store.clone()), "t", 1);
        assert_eq!(log.append(&records(&["a", "b"])).unwrap(), 2);
        log.rotate();
        assert_eq!(log.append(&records(&["c"])).unwrap(), 3);
        assert_eq!(log.append(&records(&["dd", "e"])).unwrap(), 5);
        store
    }

    #[test]
    fn replay_gives_what_was_appended() {
        let store = written();
        let all: Vec<_> = (1..).zip(["a", "b", "c", "dd", "e"].map(String::from)).collect();
        assert_eq!(replayed(&store, 0).unwrap(), all);
        assert_eq!(replayed(&store, 1).unwrap(), all[1..]);
        assert_eq!(replayed(&store, 4).unwrap(), all[4..]);
    }

    #[test]
    fn truncation_removes_whole_files_only() {
        let store = written();
        let mut log = FileLog::new(Arc::new(store.clone()), "t", 6);
        log.truncate_through(1).unwrap();
        assert_eq!(store.list("t/").unwrap().len(), 2);
        log.truncate_through(2).unwrap();
        assert_eq!(store.list("t/").unwrap(), ["t/log-00000000000000000003"]);
        assert_eq!(replayed(&store, 2).unwrap().len(), 3);
        assert_eq!(replayed(&store, 1).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn every_flipped_bit_is_found_or_harmless() {
        let image = written().written_image();
        let all = replayed(&written(), 0).unwrap();
        for (name, bytes) in &image {
            for byte in 0..bytes.len() {
                let mut damaged = image.clone();
                let file = Arc::make_mut(damaged.get_mut(name).unwrap());
                file[byte] ^= 1 << (byte % 8);
                match replayed(&FaultStore::from_image(damaged), 0) {
                    Ok(found) => assert_eq!(found, all, "{name} byte {byte}"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} byte {byte}"),
                }
            }
        }
    }

    #[test]
    fn a_cut_newest_file_loses_whole_frames_only() {
        let image = written().written_image();
        let name = "t/log-00000000000000000003";
        let all = replayed(&written(), 0).unwrap();
        for length in 0..image[name].len() {
            let mut cut = image.clone();
            Arc::make_mut(cut.get_mut(name).unwrap()).truncate(length);
            let found = replayed(&FaultStore::from_image(cut), 0).unwrap();
            assert!([2, 3, 5].contains(&found.len()), "length {length} gives {} records", found.len());
            assert_eq!(found, all[..found.len()]);
        }
    }

    /// A log of two frames just before the sync of the second one, its name, and the length that was synced.
    fn two_frames(second: &str) -> (FaultStore, String, usize) {
        let store = FaultStore::new();
        let mut log = FileLog::new(Arc::new(store.clone()), "t", 1);
        log.append(&records(&["a", "b"])).unwrap();
        let name = "t/log-00000000000000000001".to_string();
        let durable = store.durable_image()[&name].len();
        store.record_history();
        log.append(&records(&[second])).unwrap();
        (FaultStore::from_image(store.take_history().pop().unwrap().written), name, durable)
    }

    #[test]
    fn a_power_cut_may_take_the_mark_and_leave_the_frame_behind_it() {
        let (store, name, durable) = two_frames("c");
        let image = store.written_image();
        let all = replayed(&store, 0).unwrap();
        for zeros in 0..image[&name].len() - durable {
            let mut torn = image.clone();
            Arc::make_mut(torn.get_mut(&name).unwrap())[durable..durable + zeros].fill(0);
            let found = replayed(&FaultStore::from_image(torn), 0).unwrap();
            // Up to the end of the mark nothing is lost, and behind it the frame that nobody was told of.
            assert_eq!(found, all[..if zeros <= 28 { 3 } else { 2 }], "{zeros} zeros");
        }
    }

    #[test]
    fn a_lost_frame_is_no_lost_mark() {
        let (store, name, durable) = two_frames("c");
        let mut image = store.written_image();
        // The frame that was acknowledged, with its length and without it.
        let bytes = Arc::make_mut(image.get_mut(&name).unwrap());
        bytes[..durable].fill(0);
        assert_eq!(replayed(&FaultStore::from_image(image.clone()), 0).unwrap_err().kind(), ErrorKind::Corrupt);
        let bytes = Arc::make_mut(image.get_mut(&name).unwrap());
        bytes.drain(..durable);
        assert_eq!(replayed(&FaultStore::from_image(image), 0).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn data_that_looks_like_a_frame_is_data() {
        let inner = encode_frame(7, &records(&["x"])).unwrap();
        let store = FaultStore::new();
        let mut log = FileLog::new(Arc::new(store.clone()), "t", 1);
        log.append(&records(&["a"])).unwrap();
        let durable = store.durable_image()["t/log-00000000000000000001"].len();
        log.append(&[[inner.clone(), vec![0; 100]].concat()]).unwrap();
        assert_eq!(FileLog::new(Arc::new(store.clone()), "t", 0).examine(0).unwrap().len(), 1, "no record of ours");
        let mut image = store.written_image();
        // The last part of the frame did not arrive.
        let bytes = Arc::make_mut(image.get_mut("t/log-00000000000000000001").unwrap());
        bytes.truncate(durable + 28 + 28 + 4 + inner.len());
        assert_eq!(replayed(&FaultStore::from_image(image), 0).unwrap().len(), 1);
    }

    #[test]
    fn each_damaged_file_is_told_of() {
        let store = written();
        let log = FileLog::new(Arc::new(store.clone()), "t", 0);
        // The records of these tests are none of the engine's.
        assert_eq!(log.examine(0).unwrap().len(), 2);
        let missing = log.examine(0).unwrap().iter().filter(|(_, e)| e.message().contains("missing")).count();
        assert_eq!(missing, 0, "what a damaged file held is not missing");
    }

    #[test]
    fn a_failed_sync_poisons_the_log() {
        let store = FaultStore::new();
        let mut log = FileLog::new(Arc::new(store.clone()), "t", 1);
        log.append(&records(&["a"])).unwrap();
        store.fail_sync(store.syncs() + 1);
        assert_eq!(log.append(&records(&["b"])).unwrap_err().kind(), ErrorKind::Io);
        let writes = store.writes();
        assert_eq!(log.append(&records(&["c"])).unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(store.writes(), writes, "nothing is tried again");
    }
}
