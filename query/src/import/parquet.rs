//! Row groups of Parquet files.

use super::batch::{shorten, too_long};
use super::convert::{self, Conversion};
use super::error::{ImportError, Result};
use super::files::InputFile;
use super::infer::{Cell, Guess};
use super::misfit::Misfit;
use super::options::ImportOptions;
use super::plan::{EventSource, FilePlan, Mapping, Plan};
use super::rejects::ChunkRejects;
use super::survey::{Survey, Unreadable};
use super::time::{EpochUnit, StampKind};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Schema, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use trodden_engine::ingest::{EventBatch, MAX_NAME_BYTES};
use trodden_engine::types::ColumnType;

/// Rows of a batch, at most and at least.
const BATCH_ROWS: (usize, usize) = (64, 32_768);
/// Memory that a batch should take, about, in bytes.
const BATCH_BYTES: i64 = 16 << 20;

/// A Parquet file with its footer read.
pub(super) struct ParquetFile {
    metadata: ArrowReaderMetadata,
}

impl ParquetFile {
    pub(super) fn open(file: &InputFile) -> Result<Self> {
        // The Arrow schema that some writers embed asks for dictionaries, views and the like; the plain types of
        // Parquet are fewer and hold the same values.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&file.raw()?, options).map_err(|error| failed(file, error))?;
        Ok(Self { metadata })
    }

    fn schema(&self) -> &Schema {
        self.metadata.schema()
    }

    pub(super) fn rows(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().try_into().unwrap_or(0)
    }

    pub(super) fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    pub(super) fn row_group_rows(&self, index: usize) -> u64 {
        self.metadata.metadata().row_group(index).num_rows().try_into().unwrap_or(0)
    }

    /// Memory that the events of a row group take, about, in bytes.
    pub(super) fn memory_bytes(&self, index: usize) -> u64 {
        let bytes = u64::try_from(plain_bytes(self.metadata.metadata().row_group(index))).unwrap_or(0);
        let columns = self.schema().fields().len() as u64;
        bytes.saturating_add(self.row_group_rows(index).saturating_mul(16 + 8 * columns))
    }

    /// Batches of a row group.
    pub(super) fn batches(&self, index: usize) -> u64 {
        self.row_group_rows(index).div_ceil(self.batch_rows(index) as u64)
    }

    /// Rows of a batch of this row group: fewer where rows are long.
    fn batch_rows(&self, index: usize) -> usize {
        let group = self.metadata.metadata().row_group(index);
        let row_bytes = (plain_bytes(group) / group.num_rows().max(1)).max(1);
        usize::try_from(BATCH_BYTES / row_bytes).unwrap_or(0).clamp(BATCH_ROWS.0, BATCH_ROWS.1)
    }

    /// A reader of some columns, in order of the file, of one row group.
    fn reader(
        &self,
        file: &InputFile,
        row_group: Option<usize>,
        columns: &[usize],
    ) -> Result<ParquetRecordBatchReader> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.raw()?, self.metadata.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
        let builder = match row_group {
            Some(index) => builder.with_row_groups(vec![index]).with_batch_size(self.batch_rows(index)),
            None => builder,
        };
        builder.with_projection(mask).build().map_err(|error| failed(file, error))
    }

    /// What the footer tells of the columns.
    pub(super) fn survey(&self, file: &InputFile, options: &ImportOptions) -> Result<Option<Survey>> {
        if self.rows() == 0 {
            return Ok(None);
        }
        let names = self.schema().fields().iter().map(|field| field.name().clone()).collect();
        let mut survey = Survey::with_names(&file.path, names)?;
        survey.rows = self.rows();
        for (index, field) in self.schema().fields().iter().enumerate() {
            // A type without a counterpart is an error only for a column that is wanted, so it is reported later.
            match Conversion::of(field.data_type()).map(Conversion::column_type) {
                Some(column_type) => survey.guesses[index] = Guess::declared(column_type),
                None => drop(survey.unreadable.insert(index, Unreadable::Type(field.data_type().to_string()))),
            }
            if let Some(kind) = declared_stamps(field.data_type()) {
                survey.declared_stamps.insert(index, kind);
            }
        }
        self.find_codecs(&mut survey);
        // Times as numbers or text tell by their values what they are.
        let mapping = Mapping::of(file, &survey, options)?;
        survey.check_readable(&file.path, mapping.time)?;
        if !survey.declared_stamps.contains_key(&mapping.time) {
            survey.guesses[mapping.time] = self.sample_stamps(file, mapping.time, options)?;
        }
        Ok(Some(survey))
    }

    /// Columns of which some part is compressed in a way that the reader was built without.
    fn find_codecs(&self, survey: &mut Survey) {
        let metadata = self.metadata.metadata();
        let schema = metadata.file_metadata().schema_descr();
        for group in metadata.row_groups() {
            for (leaf, column) in group.columns().iter().enumerate() {
                if let codec @ (Compression::LZO | Compression::BROTLI(_)) = column.compression() {
                    let name = codec.to_string();
                    let name = name.split('(').next().unwrap_or_default().to_string();
                    survey.unreadable.insert(schema.get_column_root_idx(leaf), Unreadable::Codec(name));
                }
            }
        }
    }

    fn sample_stamps(&self, file: &InputFile, column: usize, options: &ImportOptions) -> Result<Guess> {
        let mut guess = Guess::default();
        let mut rows = 0;
        for batch in self.reader(file, None, &[column])? {
            let batch = batch.map_err(|error| failed(file, error.into()))?;
            let texts = self.text(file, column, batch.column(0))?;
            for text in &texts {
                guess.observe(text.map(|text| Cell { text, quoted: false }), options.time_zone);
            }
            rows += batch.num_rows() as u64;
            if rows >= options.sample_rows {
                break;
            }
        }
        Ok(guess)
    }

    fn text(&self, file: &InputFile, column: usize, values: &ArrayRef) -> Result<StringArray> {
        convert::to_text(values).map_err(|cause| no_text(file, self.schema().field(column).name(), values, cause))
    }

    /// Values that decide a type: of whole numbers and decimals, which may meet DOUBLE or be too long for BIGINT.
    pub(super) fn observe(&self, file: &InputFile, row_group: usize, survey: &mut Survey) -> Result<()> {
        let is_open =
            |index: &usize| Conversion::of(self.schema().field(*index).data_type()).is_some_and(|c| c.is_open());
        let columns: Vec<usize> = (0..self.schema().fields().len()).filter(is_open).collect();
        if columns.is_empty() {
            return Ok(());
        }
        for batch in self.reader(file, Some(row_group), &columns)? {
            let batch = batch.map_err(|error| failed(file, error.into()))?;
            for (values, &column) in batch.columns().iter().zip(&columns) {
                convert::observe(values, &mut survey.guesses[column]);
            }
        }
        Ok(())
    }
}

/// How times of a Parquet type are read, where the type says it.
fn declared_stamps(data_type: &DataType) -> Option<StampKind> {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => Some(StampKind::Epoch(EpochUnit::Seconds)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Some(StampKind::Epoch(EpochUnit::Millis)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Some(StampKind::Epoch(EpochUnit::Micros)),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Some(StampKind::Epoch(EpochUnit::Nanos)),
        DataType::Date32 | DataType::Date64 => Some(StampKind::Iso),
        _ => None,
    }
}

fn unsupported(file: &InputFile, column: &str, data_type: &DataType) -> ImportError {
    ImportError::UnsupportedType { file: file.path.clone(), column: column.into(), found: data_type.to_string() }
}

/// The error for a column that plays a part and has a value, or a type, without a text form.
fn no_text(file: &InputFile, column: &str, values: &ArrayRef, cause: Option<String>) -> ImportError {
    let Some(cause) = cause else { return unsupported(file, column, values.data_type()) };
    let hint = "write the column as text in UTF-8, or name another column for this part".to_string();
    ImportError::BadValue { file: file.path.clone(), column: column.into(), cause, hint }
}

/// Bytes of a row group before compression, with texts that a dictionary holds once counted as often as they stand,
/// where the footer tells that.
fn plain_bytes(group: &RowGroupMetaData) -> i64 {
    let texts = group.columns().iter().filter_map(|column| column.unencoded_byte_array_data_bytes());
    group.total_byte_size().max(texts.fold(0, i64::saturating_add))
}

/// The error of the Parquet reader, which may have the operating system or damaged bytes as its cause.
fn failed(file: &InputFile, error: ParquetError) -> ImportError {
    let wrong = |cause: String, hint: &str| {
        let hint = hint.to_string();
        ImportError::WrongFormat { file: file.path.clone(), cause, hint }
    };
    let damaged = |cause: String| {
        if cause.contains("non UTF-8") {
            let hint = "write the file again with its texts in UTF-8, or exclude the column";
            return wrong(format!("a column of texts holds bytes that are not UTF-8 ({cause})"), hint);
        }
        if cause.contains("encrypted") {
            return wrong(format!("is encrypted ({cause})"), "write it again without encryption");
        }
        ImportError::Damaged { file: file.path.clone(), cause }
    };
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => ImportError::reading(&file.path, *source),
            Err(source) => damaged(source.to_string()),
        },
        other => damaged(other.to_string()),
    }
}

/// Reads one row group into batches of events.
pub(super) struct GroupReader<'a> {
    file: &'a InputFile,
    plan: &'a Plan,
    parts: &'a FilePlan,
    reader: ParquetRecordBatchReader,
    /// For each column of the file its place among those that are read.
    places: Vec<Option<usize>>,
    row: u64,
}

/// A batch of a row group.
#[expect(clippy::large_enum_variant, reason = "one lives at a time, for as long as it takes to be matched")]
pub(super) enum Loaded {
    /// The events, and how many rows of the file they came from.
    Events(EventBatch, u64),
    /// A column must be widened for this value.
    Widen(Misfit),
}

impl<'a> GroupReader<'a> {
    /// `first_row`: rows of the file before this row group.
    pub(super) fn new(
        parquet: &ParquetFile,
        file: &'a InputFile,
        plan: &'a Plan,
        parts: &'a FilePlan,
        row_group: usize,
        first_row: u64,
    ) -> Result<Self> {
        let event = match parts.event {
            EventSource::Column(column) => Some(column),
            EventSource::Constant(_) => None,
        };
        let wanted = [Some(parts.user), Some(parts.time), event, parts.id];
        let mut columns: Vec<usize> = wanted.into_iter().chain(parts.properties.iter().copied()).flatten().collect();
        columns.sort_unstable();
        let mut places = vec![None; parquet.schema().fields().len()];
        for (place, &column) in columns.iter().enumerate() {
            places[column] = Some(place);
            let field = parquet.schema().field(column);
            if Conversion::of(field.data_type()).is_none() {
                return Err(unsupported(file, field.name(), field.data_type()));
            }
        }
        let reader = parquet.reader(file, Some(row_group), &columns)?;
        Ok(Self { file, plan, parts, reader, places, row: first_row })
    }

    /// The next batch, or `None` at the end of the row group.
    pub(super) fn next(&mut self, rejects: &mut ChunkRejects<'_>) -> Result<Option<Loaded>> {
        let Some(batch) = self.reader.next() else {
            return Ok(None);
        };
        let batch = batch.map_err(|error| failed(self.file, error.into()))?;
        let first_row = self.row;
        self.row += batch.num_rows() as u64;
        let loaded = self.load(&batch, first_row, rejects)?;
        Ok(Some(match loaded {
            Ok(events) => Loaded::Events(events, batch.num_rows() as u64),
            Err(misfit) => Loaded::Widen(misfit),
        }))
    }

    fn column<'b>(&self, batch: &'b RecordBatch, column: usize) -> &'b ArrayRef {
        // `new` gave a place to every column of the plan.
        batch.column(self.places[column].unwrap_or(0))
    }

    fn text(&self, batch: &RecordBatch, column: usize) -> Result<StringArray> {
        let values = self.column(batch, column);
        convert::to_text(values).map_err(|cause| no_text(self.file, &self.parts.names[column], values, cause))
    }

    fn load(
        &self,
        batch: &RecordBatch,
        first_row: u64,
        rejects: &mut ChunkRejects<'_>,
    ) -> Result<std::result::Result<EventBatch, Misfit>> {
        let mut keep = Keep::new(batch.num_rows());
        let user = self.text(batch, self.parts.user)?;
        keep.require_text(&user, "user");
        let times = self.column(batch, self.parts.time);
        let ts = convert::to_stamps(times, &self.parts.time_parser).ok_or_else(|| {
            let cause = convert::to_text(times).err().flatten();
            no_text(self.file, &self.parts.names[self.parts.time], times, cause)
        })?;
        keep.require_times(&ts, times);
        let event = match &self.parts.event {
            EventSource::Column(column) => self.text(batch, *column)?,
            EventSource::Constant(value) => {
                StringArray::from_iter_values(std::iter::repeat_n(value.as_str(), batch.num_rows()))
            }
        };
        keep.require_text(&event, "event");
        let id = self.parts.id.map(|column| self.text(batch, column)).transpose()?;
        if let Some(id) = &id {
            keep.limit_text(id, "event id");
        }
        let id = id.or_else(|| self.plan.has_id.then(|| StringArray::new_null(batch.num_rows())));
        let mut properties = Vec::with_capacity(self.plan.columns.len());
        for (column, source) in self.plan.columns.iter().zip(&self.parts.properties) {
            let Some(source) = *source else {
                properties.push((column.name.clone(), convert::nulls(column.column_type, batch.num_rows())));
                continue;
            };
            let values = self.column(batch, source);
            match convert::to_property(values, column.column_type, column.told, self.parts.time_parser.zone) {
                Ok((values, misfits)) => {
                    keep.refuse(&misfits, column.name.as_str(), column.column_type);
                    properties.push((column.name.clone(), values));
                }
                Err(Some(reason)) => {
                    let column = self.parts.names[source].clone();
                    return Ok(Err(Misfit { reason: format!("column '{column}': {reason}"), column }));
                }
                Err(None) => return Err(unsupported(self.file, &self.parts.names[source], values.data_type())),
            }
        }
        let events = EventBatch { user_id: user, ts, event, event_id: id, properties };
        Ok(Ok(keep.apply(events, batch, first_row, rejects)))
    }
}

/// Which rows of a batch are taken, and why the others are not.
struct Keep {
    rows: usize,
    /// (row, reason), at most one a row, in order of finding.
    refused: Vec<(usize, String)>,
    mask: Option<Vec<bool>>,
}

impl Keep {
    fn new(rows: usize) -> Self {
        Self { rows, refused: Vec::new(), mask: None }
    }

    fn refuse_row(&mut self, row: usize, reason: impl FnOnce() -> String) {
        let mask = self.mask.get_or_insert_with(|| vec![true; self.rows]);
        if std::mem::replace(&mut mask[row], false) {
            self.refused.push((row, reason()));
        }
    }

    /// A user or an event in every row.
    fn require_text(&mut self, values: &StringArray, part: &str) {
        let offsets = values.value_offsets();
        for row in 0..values.len() {
            if values.is_null(row) || offsets[row] == offsets[row + 1] {
                self.refuse_row(row, || format!("the {part} is missing"));
            }
        }
        self.limit_text(values, part);
    }

    fn limit_text(&mut self, values: &StringArray, part: &str) {
        for (row, ends) in values.value_offsets().windows(2).enumerate() {
            let bytes = (ends[1] - ends[0]) as usize;
            if bytes > MAX_NAME_BYTES {
                self.refuse_row(row, || too_long(part, bytes));
            }
        }
    }

    fn require_times(&mut self, ts: &arrow_array::Int64Array, times: &ArrayRef) {
        if ts.null_count() == 0 {
            return;
        }
        for row in 0..ts.len() {
            if ts.is_null(row) {
                self.refuse_row(row, || match times.is_null(row) {
                    true => "the time is missing".into(),
                    false => format!("'{}' is no time of the years 1 to 9999", convert::show(times, row)),
                });
            }
        }
    }

    fn refuse(&mut self, misfits: &[(usize, String)], column: &str, wanted: ColumnType) {
        for (row, value) in misfits {
            let wanted = wanted.sql_name();
            self.refuse_row(*row, || format!("'{}' in column '{column}' is no {wanted}", shorten(value)));
        }
    }

    fn apply(
        mut self,
        events: EventBatch,
        batch: &RecordBatch,
        first_row: u64,
        rejects: &mut ChunkRejects<'_>,
    ) -> EventBatch {
        let Some(mask) = self.mask.take() else {
            return events;
        };
        self.refused.sort_by_key(|(row, _)| *row);
        for (row, reason) in self.refused {
            rejects.add(first_row + row as u64 + 1, reason, || convert::row_as_json(batch, row));
        }
        filter_events(&events, &BooleanArray::from(mask))
    }
}

/// The rows of `events` for which `mask` is true.
fn filter_events(events: &EventBatch, mask: &BooleanArray) -> EventBatch {
    let filter = |values: &dyn Array| -> ArrayRef {
        // A mask of the length of the array leaves no way to fail.
        datafusion::arrow::compute::filter(values, mask).unwrap_or_else(|_| values.slice(0, 0))
    };
    let text = |values: &StringArray| -> StringArray { StringArray::from(filter(values).to_data()) };
    EventBatch {
        user_id: text(&events.user_id),
        ts: arrow_array::Int64Array::from(filter(&events.ts).to_data()),
        event: text(&events.event),
        event_id: events.event_id.as_ref().map(text),
        properties: events.properties.iter().map(|(name, values)| (name.clone(), filter(values))).collect(),
    }
}
