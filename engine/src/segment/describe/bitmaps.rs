//! Bitmaps and their directory in words.

use super::lines::{Lines, Place, escaped};
use crate::error::{Error, Result};
use crate::index::{BITMAP_ENTRY_BYTES, Directory, ListKey, ListKind, bitmap_form};
use crate::segment::footer::{ColumnInfo, Extent};
use crate::segment::format::{EVENT_COLUMN, PROPERTY_COLUMNS};
use crate::segment::reader::Segment;
use crate::types::ColumnType;
use chrono::NaiveDate;

/// Every bitmap, then the directory.
pub(super) fn describe(segment: &Segment, lines: &mut Lines) {
    let (bitmaps, place) = (segment.footer.bitmaps, Place::checked(&segment.footer.bitmap_directory));
    let directory = segment.directory();
    let count = directory.as_ref().map_or(0, Directory::len);
    lines.item(0, "bitmaps", Place::unchecked(bitmaps.offset, bitmaps.length), Ok(format!("{count} sets of ordinals")));
    if let Ok(directory) = &directory {
        for index in 0..directory.len() {
            describe_bitmap(segment, directory, index, lines);
        }
    }
    let words = directory.map(|_| format!("{count} entries of {BITMAP_ENTRY_BYTES} bytes"));
    lines.item(0, "directory of bitmaps", place, words);
}

fn describe_bitmap(segment: &Segment, directory: &Directory<'_>, index: usize, lines: &mut Lines) {
    let (key, place) = (directory.key(index), directory.place(index));
    let offset = segment.footer.bitmaps.offset + place.offset as usize;
    let extent = Extent { offset, length: place.length as usize, crc: place.crc };
    let (list, code, day) = key.fields();
    let form = segment.bitmap_bytes(directory, index).and_then(bitmap_form);
    let words = form.and_then(|form| Ok(format!("code {code}, day {day}: {form}; {}", meaning(segment, key)?)));
    let words = words.map_err(|error| error.at(format!("bitmap of list {list}, code {code}, day {day}")));
    lines.item(1, &format!("list {list}"), Place::checked(&extent), words);
}

/// Which users a bitmap has.
fn meaning(segment: &Segment, key: ListKey) -> Result<String> {
    let property = |property: usize| -> Result<(usize, &ColumnInfo)> {
        let column = PROPERTY_COLUMNS + property;
        let info = segment.footer.columns.get(column);
        Ok((
            column,
            info.ok_or_else(|| Error::corrupt(format!("a bitmap of property {property}, which is not there")))?,
        ))
    };
    Ok(match key.kind() {
        ListKind::Users => "all users".into(),
        ListKind::Event(code) => format!("event '{}'", text(segment, EVENT_COLUMN, code)),
        ListKind::EventDay(code, day) => format!("event '{}' on {}", text(segment, EVENT_COLUMN, code), date(day)),
        ListKind::EventDayTwice(code, day) => {
            format!("event '{}' twice on {}", text(segment, EVENT_COLUMN, code), date(day))
        }
        ListKind::Day(day) => format!("any event on {}", date(day)),
        ListKind::DayTwice(day) => format!("two events on {}", date(day)),
        ListKind::Value(number, code) => {
            let (column, info) = property(number)?;
            let value = match info.column_type {
                ColumnType::Boolean => (code != 0).to_string(),
                _ => format!("'{}'", text(segment, column, code)),
            };
            format!("{} = {value}", escaped(&info.name))
        }
        ListKind::NeverNull(number) => format!("{} never NULL", escaped(&property(number)?.1.name)),
    })
}

fn date(day: i32) -> String {
    NaiveDate::from_epoch_days(day).map_or_else(|| format!("day {day}"), |date| date.to_string())
}

/// The text behind a code. The damage of a dictionary is told where it stands.
fn text(segment: &Segment, column: usize, code: u32) -> String {
    let texts = segment.column_dictionary(column).unwrap_or_default();
    texts.get(code as usize).map_or_else(|| "?".into(), |text| escaped(text))
}
