//! Values of `$1`, `$2`, … as a client binds them: rows, of which each runs the statement once.

use super::status;
use arrow_array::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::error::FlightError;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use futures::{Stream, StreamExt, TryStreamExt};
use tonic::Status;
use trodden_query::ScalarValue;
use trodden_query::arrow::compute::cast;

/// Most rows that a query is run for.
const ROWS_MAX: usize = 10_000;

/// Rows of values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rows(Vec<Vec<ScalarValue>>);

impl Rows {
    /// The values of each run. Without any the statement is run once, without values.
    pub(super) fn runs(&self) -> Vec<Vec<ScalarValue>> {
        if self.0.is_empty() { vec![Vec::new()] } else { self.0.clone() }
    }

    /// The values of the first run, whose types are those of all.
    pub(super) fn first(&self) -> &[ScalarValue] {
        self.0.first().map_or(&[], Vec::as_slice)
    }

    /// All rows of a stream.
    ///
    /// # Errors
    /// `invalid_argument` for rows that do not fit the statement; `resource_exhausted` for too many.
    pub(super) async fn read(
        batches: impl Stream<Item = Result<RecordBatch, Status>>,
        wanted: usize,
    ) -> Result<Self, Status> {
        let mut rows = Vec::new();
        let mut batches = std::pin::pin!(batches);
        while let Some(batch) = batches.next().await.transpose()? {
            if rows.len() + batch.num_rows() > ROWS_MAX {
                return Err(Status::resource_exhausted(format!(
                    "a query is run for at most {ROWS_MAX} rows of parameters (hint: bind fewer, or join with a table)"
                )));
            }
            rows.extend(rows_of(&batch, wanted)?);
        }
        Ok(Self(rows))
    }
}

/// The values of each row of a batch, for a statement with `wanted` parameters.
///
/// # Errors
/// `invalid_argument` where their number differs.
pub(super) fn rows_of(batch: &RecordBatch, wanted: usize) -> Result<Vec<Vec<ScalarValue>>, Status> {
    if batch.num_columns() != wanted {
        return Err(Status::invalid_argument(format!(
            "the statement has {wanted} parameters, and {} values were bound (hint: one for each ? or $n)",
            batch.num_columns()
        )));
    }
    let columns = batch.columns().iter().map(|column| match plain_type(column.data_type()) {
        Some(data_type) => cast(column, &data_type).map_err(|error| Status::invalid_argument(error.to_string())),
        None => Ok(std::sync::Arc::clone(column)),
    });
    let columns = columns.collect::<Result<Vec<_>, Status>>()?;
    let value = |row: usize| {
        let values = columns.iter().map(|column| ScalarValue::try_from_array(column, row));
        values.collect::<Result<Vec<_>, _>>().map_err(|error| Status::invalid_argument(error.to_string()))
    };
    (0..batch.num_rows()).map(value).collect()
}

/// The type in which a value means the same here: codes as what they stand for, times without a zone in UTC.
fn plain_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Dictionary(_, values) => Some(values.as_ref().clone()),
        DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8),
        DataType::Timestamp(_, None) => Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        _ => None,
    }
}

/// The batches in a stream that a client sends, after its schema. A stream may end without either.
pub(super) fn batches(
    messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
) -> impl Stream<Item = Result<RecordBatch, Status>> + Send {
    // The first message has the command, and some clients send it without a schema.
    let messages = messages.try_filter(|message| {
        let has_content = !message.data_header.is_empty();
        async move { has_content }
    });
    let decoded = FlightDataDecoder::new(messages.map_err(FlightError::from)).map_err(status::unreadable);
    decoded.try_filter_map(|message| async move {
        Ok(match message.payload {
            DecodedPayload::RecordBatch(batch) => Some(batch),
            DecodedPayload::None | DecodedPayload::Schema(_) => None,
        })
    })
}

/// The schema of parameters as a driver is told it. Where any type will do, a text does: it is read as what is needed.
pub(super) fn parameter_schema(types: &[Option<DataType>]) -> Schema {
    let types = types.iter().map(|found| match found {
        None | Some(DataType::Null | DataType::Utf8View | DataType::LargeUtf8) => DataType::Utf8,
        Some(other) => other.clone(),
    });
    let fields = types.enumerate().map(|(place, data_type)| Field::new(format!("${}", place + 1), data_type, true));
    Schema::new(fields.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        RecordBatch::try_from_iter(vec![
            ("a", Arc::new(StringArray::from(vec![Some("x"), None])) as ArrayRef),
            ("b", Arc::new(Int64Array::from(vec![1, 2]))),
            ("c", Arc::new(TimestampMillisecondArray::from(vec![1, 2]))),
        ])
        .unwrap()
    }

    #[test]
    fn each_row_is_a_run() {
        let rows = rows_of(&batch(), 3).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1][..2], [ScalarValue::Utf8(None), ScalarValue::Int64(Some(2))]);
        assert_eq!(rows[0][2], ScalarValue::TimestampMicrosecond(Some(1_000), Some("UTC".into())));
        assert_eq!(Rows::default().runs(), [Vec::<ScalarValue>::new()]);
    }

    #[test]
    fn another_number_of_values_is_refused() {
        let refused = rows_of(&batch(), 2).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains("has 2 parameters, and 3 values"), "{}", refused.message());
    }

    #[tokio::test]
    async fn too_many_rows_for_a_query_are_refused() {
        let many = RecordBatch::try_from_iter(vec![("a", Arc::new(Int64Array::from(vec![1; ROWS_MAX])) as ArrayRef)]);
        let many = many.unwrap();
        let stream = |count| futures::stream::iter(vec![Ok(many.clone()); count]);
        assert_eq!(Rows::read(stream(1), 1).await.unwrap().runs().len(), ROWS_MAX);
        assert_eq!(Rows::read(stream(2), 1).await.unwrap_err().code(), tonic::Code::ResourceExhausted);
    }

    #[test]
    fn a_parameter_of_any_type_is_a_text_to_a_driver() {
        let schema = parameter_schema(&[None, Some(DataType::Int64), Some(DataType::Utf8View)]);
        let found: Vec<_> = schema.fields().iter().map(|field| (field.name().as_str(), field.data_type())).collect();
        assert_eq!(found, [("$1", &DataType::Utf8), ("$2", &DataType::Int64), ("$3", &DataType::Utf8)]);
    }
}
