//! From a call of SEGMENT to its logical node.

use super::shape::{Reader, Shape, or};
use super::{Emit, Segment};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::arguments::{Call, NamedArgument, SEGMENT, Signature, list_items, part_arguments, string_literal};
use crate::plan::node::{OperatorNode, Role};
use crate::plan::planner::Planner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Spanned};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Span;

const TAGS_HINT: &str = "tags => ['vip', 'churning'], or tags => '*' for all of the table";
const SEGMENTS_HINT: &str = "segments => SEGMENTS(buyers => DID('purchase'), lurkers => DID_NOT('purchase'))";

/// Segments that one call compares.
const SEGMENTS_MAX: usize = 1_000;

/// The words of SEGMENT.
pub(crate) const SIGNATURE: Signature = Signature {
    operator: SEGMENT,
    arguments: &["where", "segments", "tags", "as_of", "time_zone", "emit", "user", "time", "name"],
    parts: &[],
    example: "SEGMENT(events, where => DID('purchase') AND DID_NOT('support'))",
};

/// Plan a call of SEGMENT over `input`.
///
/// # Errors
/// `InvalidInput` or `NotFound` at the argument that is wrong.
pub(crate) fn plan(
    mut call: Call,
    input: LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<Segment>> {
    let mut planner = Planner::new(&SIGNATURE, &mut call, &input, context)?;
    let emit = planner.word(&mut call, "emit", &Emit::WORDS)?.map_or(Emit::Count, |at| Emit::ALL[at]);
    of_shape(call, emit, input, planner)
}

/// Plan a call whose answer is its users, whatever it says.
///
/// # Errors
/// As [`plan`].
pub(crate) fn plan_users(
    mut call: Call,
    input: LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<Segment>> {
    let planner = Planner::new(&SIGNATURE, &mut call, &input, context)?;
    of_shape(call, Emit::Users, input, planner)
}

fn of_shape(mut call: Call, emit: Emit, input: LogicalPlan, mut planner: Planner<'_>) -> Result<OperatorNode<Segment>> {
    check_shape(&call, emit)?;
    for name in ["as_of", "time_zone"] {
        planner.constant(&mut call, name)?;
    }
    let mut reader = Reader::new(&mut planner, &input)?;
    let chosen = call.take("where").map(|argument| reader.read(argument.value, argument.span)).transpose()?;
    let mut segments = match call.take("segments") {
        Some(argument) => segments(&mut reader, argument)?,
        None => Vec::new(),
    };
    let all_tags = match call.take("tags") {
        Some(argument) => tags(&mut reader, argument, &mut segments)?,
        None => false,
    };
    let (deeds, sets) = (std::mem::take(&mut reader.deeds), reader.users.count());
    moment(&mut planner, deeds.len(), all_tags)?;
    planner.finish(Segment { emit, chosen, segments, deeds, sets }, Vec::new(), input, call.span)
}

/// Whether what is given is what the shape of the answer takes.
fn check_shape(call: &Call, emit: Emit) -> Result<()> {
    let (needs_where, compares) = match emit {
        Emit::Count | Emit::Users => (true, false),
        Emit::Overlap => (false, true),
        Emit::Lift => (true, true),
    };
    let word = emit.word();
    let missing = |what: &str, hint: &str| {
        Err(Error::invalid(format!("SEGMENT with emit => '{word}' needs {what}")).with_hint(hint).at(call.span))
    };
    if needs_where && call.find("where").is_none() {
        return missing("where", SIGNATURE.example);
    }
    let compared = call.find("segments").or(call.find("tags"));
    match compared {
        None if compares => missing("segments or tags", SEGMENTS_HINT),
        Some(argument) if !compares => {
            Err(Error::invalid(format!("{} says nothing to emit => '{word}'", argument.name))
                .with_hint("emit => 'overlap' compares segments, and 'lift' tells which are frequent inside where")
                .at(argument.span))
        }
        _ => Ok(()),
    }
}

/// `SEGMENTS(name => expression, …)`.
fn segments(reader: &mut Reader<'_, '_>, argument: NamedArgument) -> Result<Vec<(String, Shape)>> {
    let span = argument.span;
    let wrong = |message: &str| Error::invalid(message).with_hint(SEGMENTS_HINT);
    let part = match argument.value {
        SqlExpr::Function(part) if part.name.to_string().eq_ignore_ascii_case("SEGMENTS") => part,
        _ => return Err(wrong("segments are given as SEGMENTS(name => expression, …)").at(span)),
    };
    let mut found: Vec<(String, Shape)> = Vec::new();
    for (name, expr) in part_arguments(part)? {
        let Some(name) = name else { return Err(wrong("a segment needs a name").at(span)) };
        let shape = reader.read(expr, name.span)?;
        add(&mut found, name.value, shape, name.span)?;
    }
    if found.is_empty() {
        return Err(wrong("there are no segments to compare").at(span));
    }
    Ok(found)
}

/// `tags => ['vip', 'churning']`, or `tags => '*'`: behind the segments that are given, one of each tag. Says whether it is of
/// all tags.
fn tags(reader: &mut Reader<'_, '_>, argument: NamedArgument, segments: &mut Vec<(String, Shape)>) -> Result<bool> {
    let span = argument.span;
    let is_all = string_literal(&argument.value) == Some("*");
    let named = |item: &SqlExpr| match string_literal(item) {
        Some(name) => Ok((name.to_string(), or(item.span(), span))),
        None => Err(Error::invalid(format!("tags are named by texts, not by '{item}'")).with_hint(TAGS_HINT).at(span)),
    };
    let names: Vec<(String, Span)> = match is_all {
        true => reader.all_tags(span)?.into_iter().map(|name| (name, span)).collect(),
        false => list_items(argument.value).iter().map(named).collect::<Result<_>>()?,
    };
    if names.is_empty() {
        return Err(Error::invalid("there are no tags to compare").with_hint(TAGS_HINT).at(span));
    }
    for (name, at) in names {
        let shape = reader.tagged(&name, None, at)?;
        add(segments, name, shape, at)?;
    }
    Ok(is_all)
}

fn add(segments: &mut Vec<(String, Shape)>, name: String, shape: Shape, at: Span) -> Result<()> {
    if segments.iter().any(|(known, _)| *known == name) {
        let message = format!("a segment '{name}' is given twice");
        return Err(Error::invalid(message).with_hint("give each a name of its own").at(at));
    }
    if segments.len() >= SEGMENTS_MAX {
        let message = format!("there are more than {SEGMENTS_MAX} segments");
        return Err(Error::new(ErrorKind::ResourceLimit, message).with_hint("compare them in several calls").at(at));
    }
    segments.push((name, shape));
    Ok(())
}

/// `within` counts back from now, where no moment is given, and all tags are those of now. The call of `now()` keeps the plan
/// from being kept for later.
fn moment(planner: &mut Planner<'_>, deeds: usize, all_tags: bool) -> Result<()> {
    let looks_back = (0..deeds).any(|deed| planner.has(Role::Constant("within", deed)));
    let is_open = looks_back && !planner.has(Role::Constant("as_of", 0));
    if is_open || all_tags {
        let now = planner.expr(now()?)?;
        planner.push(Role::Constant("now", 0), now, Span::empty());
    }
    Ok(())
}

fn now() -> Result<SqlExpr> {
    let parsed = Parser::new(&GenericDialect {}).try_with_sql("now()").and_then(|mut parser| parser.parse_expr());
    parsed.map_err(|error| Error::internal(format!("now() is not read: {error}")))
}
