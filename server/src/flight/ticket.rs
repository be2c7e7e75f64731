//! What a client is given for the rows of a statement, and brings back for them. A ticket holds all that is needed, so the
//! server keeps nothing for those that are never brought back.

use super::wire::{schema_bytes, schema_of_bytes};
use arrow_array::RecordBatch;
use arrow_flight::sql::{Any, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema, SchemaRef};
use prost::Message;
use prost::bytes::Bytes;
use std::sync::Arc;
use tonic::Status;

/// The content of a ticket.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatementTicket {
    /// By which the statement is cancelled.
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) id: Bytes,
    /// The statement; empty for one that was prepared.
    #[prost(string, tag = "2")]
    pub(super) query: String,
    /// The handle of the prepared statement; empty for a text.
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) prepared: Bytes,
    /// The schema that was announced; empty where the answer is here.
    #[prost(bytes = "bytes", tag = "4")]
    schema: Bytes,
    /// The answer of a statement that was run already, as a stream of Arrow; empty for one that is still to be run.
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) answer: Bytes,
}

impl StatementTicket {
    /// A ticket for the rows of a statement, announced as `schema`.
    ///
    /// # Errors
    /// Only where the system gives no random numbers.
    pub(super) fn new(query: &str, prepared: &Bytes, schema: &Schema) -> Result<Self, Status> {
        let (id, schema) = (random_id()?, schema_bytes(schema)?);
        Ok(Self { id, query: query.into(), prepared: prepared.clone(), schema, answer: Bytes::new() })
    }

    /// A ticket for the answer of a statement that was run already. It is small: that of a change is a row of counts.
    ///
    /// # Errors
    /// Those of [`StatementTicket::new`].
    pub(super) fn done(schema: &Schema, batches: &[RecordBatch]) -> Result<Self, Status> {
        let write = || {
            let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
            batches.iter().try_for_each(|batch| writer.write(batch))?;
            writer.into_inner()
        };
        let answer = write().map_err(|error| super::status::fault("encoding an answer", error))?;
        Ok(Self { id: random_id()?, answer: answer.into(), ..Self::default() })
    }

    /// The answer of a statement that was run already.
    ///
    /// # Errors
    /// `invalid_argument` for a ticket that is damaged.
    pub(super) fn batches(&self) -> Result<(SchemaRef, Vec<RecordBatch>), Status> {
        let read = || {
            let reader = StreamReader::try_new(&self.answer[..], None)?;
            Ok::<_, ArrowError>((reader.schema(), reader.collect::<Result<Vec<_>, _>>()?))
        };
        read().map_err(|_| damaged())
    }

    /// The ticket in what a client brought back.
    ///
    /// # Errors
    /// `invalid_argument` for anything else.
    pub(super) fn of(ticket: &TicketStatementQuery) -> Result<Self, Status> {
        let refused =
            || Status::invalid_argument("this ticket is not of this server (hint: ask for the statement again)");
        let found = Self::decode(ticket.statement_handle.clone()).map_err(|_| refused())?;
        let contents = [!found.query.is_empty(), !found.prepared.is_empty(), !found.answer.is_empty()];
        let is_whole = found.id.len() == ID_BYTES && contents.into_iter().filter(|is_there| *is_there).count() == 1;
        if is_whole { Ok(found) } else { Err(refused()) }
    }

    /// The statements of the tickets of an answer.
    pub(super) fn all_of(info: &FlightInfo) -> Vec<Self> {
        let tickets = info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref());
        let commands = tickets.filter_map(|ticket| Any::decode(ticket.ticket.clone()).ok()?.unpack().ok()?);
        commands.filter_map(|command: TicketStatementQuery| Self::of(&command).ok()).collect()
    }

    /// The schema that was announced.
    ///
    /// # Errors
    /// `invalid_argument` for a ticket that is damaged.
    pub(super) fn announced(&self) -> Result<SchemaRef, Status> {
        let schema = schema_of_bytes(self.schema.clone());
        schema.map(Arc::new).ok_or_else(damaged)
    }

    /// As a command in a message.
    pub(super) fn command(&self) -> Any {
        TicketStatementQuery { statement_handle: self.encode_to_vec().into() }.as_any()
    }
}

fn damaged() -> Status {
    Status::invalid_argument("this ticket is damaged (hint: ask for the statement again)")
}

const ID_BYTES: usize = 16;

/// An id that nobody guesses.
///
/// # Errors
/// Where the system gives no random numbers.
pub(super) fn random_id() -> Result<Bytes, Status> {
    let mut id = [0; ID_BYTES];
    getrandom::fill(&mut id).map_err(|error| super::status::fault("random numbers", error))?;
    Ok(Bytes::copy_from_slice(&id))
}

/// The answer to where the rows of a command are: here, for this ticket.
///
/// # Errors
/// None in practice: those of encoding a schema.
pub(super) fn flight_info(descriptor: FlightDescriptor, schema: &Schema, ticket: &Any) -> Result<FlightInfo, Status> {
    let ticket = Ticket::new(ticket.encode_to_vec());
    let info = FlightInfo::new()
        .with_descriptor(descriptor)
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
        .try_with_schema(schema);
    info.map_err(|error| super::status::fault("encoding a schema", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int64Array;
    use arrow_schema::{DataType, Field};

    #[test]
    fn a_ticket_comes_back_as_it_went() {
        let schema = Schema::new(vec![Field::new("a", DataType::Utf8, true)]);
        let ticket = StatementTicket::new("SELECT 1", &Bytes::new(), &schema).unwrap();
        let info = flight_info(FlightDescriptor::new_cmd("x"), &schema, &ticket.command()).unwrap();
        assert_eq!(StatementTicket::all_of(&info), [ticket.clone()]);
        assert_eq!(ticket.announced().unwrap().as_ref(), &schema);
        assert_eq!(info.try_decode_schema().unwrap(), schema);
    }

    #[test]
    fn an_answer_is_in_its_ticket() {
        let batch = RecordBatch::try_from_iter(vec![("count", Arc::new(Int64Array::from(vec![3])) as _)]).unwrap();
        let schema = batch.schema();
        for batches in [vec![batch], Vec::new()] {
            let ticket = StatementTicket::done(&schema, &batches).unwrap();
            let handle = TicketStatementQuery { statement_handle: ticket.encode_to_vec().into() };
            assert_eq!(StatementTicket::of(&handle).unwrap().batches().unwrap(), (Arc::clone(&schema), batches));
        }
        let damaged = StatementTicket { answer: Bytes::from_static(b"garbage"), ..StatementTicket::default() };
        assert_eq!(damaged.batches().unwrap_err().code(), tonic::Code::InvalidArgument);
    }

    #[test]
    fn anything_else_is_refused() {
        for handle in [&b""[..], b"garbage", &[0xff; 40]] {
            let refused = StatementTicket::of(&TicketStatementQuery { statement_handle: handle.to_vec().into() });
            assert_eq!(refused.unwrap_err().code(), tonic::Code::InvalidArgument);
        }
    }
}
