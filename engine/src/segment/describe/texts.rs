//! Dictionaries and pages of user ids in words.

use super::lines::{Lines, Place, escaped};
use crate::error::{Error, Result};
use crate::segment::footer::{ColumnInfo, Extent};
use crate::segment::format::{PAGE_ENTRY_BYTES, PAGE_USERS};
use crate::segment::reader::Segment;
use crate::segment::users::{page_count, page_place};
use crate::segment::wire::section_form;
use crate::types::ColumnType;

/// The dictionary of every column of texts.
pub(super) fn dictionaries(segment: &Segment, lines: &mut Lines) {
    let is_text = |column: &&ColumnInfo| column.column_type == ColumnType::Text && column.dictionary_len > 0;
    let stored: Vec<_> = segment.footer.columns.iter().enumerate().filter(|(_, column)| is_text(column)).collect();
    let length = stored.iter().map(|(_, column)| column.dictionary.length).sum();
    let start = stored.iter().map(|(_, column)| column.dictionary.offset).min();
    let place = Place::unchecked(start.unwrap_or_else(|| segment.tables.offsets[segment.blocks().len()]), length);
    lines.item(0, "dictionaries", place, Ok(format!("of {} columns", stored.len())));
    for (index, column) in stored {
        let words = segment.column_dictionary(index).and_then(|texts| {
            let form = section_form(segment.extent(&column.dictionary)?)?;
            Ok(format!("{} texts, {form}", texts.len()))
        });
        lines.item(2, &escaped(&column.name), Place::checked(&column.dictionary), words);
    }
}

/// The pages of user ids, and their directory.
pub(super) fn user_ids(segment: &Segment, lines: &mut Lines) {
    let (pages, directory) = (segment.footer.pages, segment.footer.page_directory);
    let count = page_count(segment.introduced().len());
    let words = format!("{count} pages, ids of {} users", segment.introduced().len());
    lines.item(0, "pages of user ids", Place::unchecked(pages.offset, pages.length), Ok(words));
    let bytes = segment.extent(&directory).and_then(|bytes| match bytes.len() == count * PAGE_ENTRY_BYTES {
        true => Ok(bytes),
        false => Err(Error::corrupt(format!("{} bytes for {count} pages", bytes.len()))),
    });
    for page in 0..bytes.as_ref().map_or(0, |_| count) {
        describe_page(segment, bytes.as_ref().copied().unwrap_or_default(), page, lines);
    }
    let words = bytes
        .map_err(|error| error.at("directory of pages"))
        .map(|_| format!("{count} entries of {PAGE_ENTRY_BYTES} bytes"));
    lines.item(0, "directory of pages", Place::checked(&directory), words);
}

fn describe_page(segment: &Segment, directory: &[u8], page: usize, lines: &mut Lines) {
    let pages = segment.footer.pages;
    let (range, crc) = match page_place(directory, page) {
        Ok(place) => place,
        Err(error) => return lines.item(1, &format!("page {page}"), Place::unchecked(pages.offset, 0), Err(error)),
    };
    let extent = Extent { offset: pages.offset.saturating_add(range.start), length: range.len(), crc };
    lines.item(1, &format!("page {page}"), Place::checked(&extent), page_words(segment, page, &extent));
}

fn page_words(segment: &Segment, page: usize, extent: &Extent) -> Result<String> {
    let ids = segment.read_user_page(page)?;
    let first = segment.introduced().start as usize + page * PAGE_USERS;
    let deleted = ids.iter().filter(|id| id.is_none()).count();
    let form = section_form(segment.extent(extent)?)?;
    Ok(format!("ordinals {first} to {}, {deleted} deleted, {form}", first + ids.len() - 1))
}
