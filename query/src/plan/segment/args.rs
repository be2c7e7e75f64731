//! From a call of SEGMENT to its logical node.

use super::shape::{Reader, Shape};
use super::{Emit, Segment};
use crate::error::{Error, Result};
use crate::plan::arguments::{Call, NamedArgument, Signature, part_arguments};
use crate::plan::node::{OperatorNode, Role};
use crate::plan::planner::Planner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::sql::sqlparser::ast::Expr as SqlExpr;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Span;

const SEGMENTS_HINT: &str = "segments => SEGMENTS(buyers => DID('purchase'), lurkers => DID_NOT('purchase'))";

/// Segments that one call compares.
const SEGMENTS_MAX: usize = 1_000;

/// The words of SEGMENT.
pub(crate) const SIGNATURE: Signature = Signature {
    operator: "SEGMENT",
    arguments: &["where", "segments", "as_of", "time_zone", "emit", "user", "time", "name"],
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
    check_shape(&call, emit)?;
    let mut reader = Reader::new(&mut planner, input.schema().clone());
    let chosen = call.take("where").map(|argument| reader.read(argument.value, argument.span)).transpose()?;
    let segments = match call.take("segments") {
        Some(argument) => segments(&mut reader, argument)?,
        None => Vec::new(),
    };
    let deeds = std::mem::take(&mut reader.deeds);
    for name in ["as_of", "time_zone"] {
        planner.constant(&mut call, name)?;
    }
    moment(&mut planner, deeds.len())?;
    planner.finish(Segment { emit, chosen, segments, deeds }, Vec::new(), input, call.span)
}

/// Whether what is given is what the shape of the answer takes.
fn check_shape(call: &Call, emit: Emit) -> Result<()> {
    let (needs, takes): (&[&str], &[&str]) = match emit {
        Emit::Count | Emit::Users => (&["where"], &["where"]),
        Emit::Overlap => (&["segments"], &["where", "segments"]),
        Emit::Lift => (&["where", "segments"], &["where", "segments"]),
    };
    let word = emit.word();
    if let Some(missing) = needs.iter().find(|name| call.find(name).is_none()) {
        let hint = if *missing == "where" { SIGNATURE.example } else { SEGMENTS_HINT };
        let message = format!("SEGMENT with emit => '{word}' needs {missing}");
        return Err(Error::invalid(message).with_hint(hint).at(call.span));
    }
    match call.find("segments").filter(|_| !takes.contains(&"segments")) {
        Some(argument) => Err(Error::invalid(format!("segments says nothing to emit => '{word}'"))
            .with_hint("emit => 'overlap' compares segments, and 'lift' tells which are frequent inside where")
            .at(argument.span)),
        None => Ok(()),
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
        if found.iter().any(|(known, _)| *known == name.value) {
            return Err(wrong(&format!("a segment '{}' is given twice", name.value)).at(name.span));
        }
        if found.len() >= SEGMENTS_MAX {
            return Err(wrong(&format!("there are more than {SEGMENTS_MAX} segments")).at(name.span));
        }
        found.push((name.value, reader.read(expr, name.span)?));
    }
    if found.is_empty() {
        return Err(wrong("there are no segments to compare").at(span));
    }
    Ok(found)
}

/// `within` counts back from now, where no moment is given. The call of `now()` keeps the plan from being kept for later.
fn moment(planner: &mut Planner<'_>, deeds: usize) -> Result<()> {
    let looks_back = (0..deeds).any(|deed| planner.has(Role::Constant("within", deed)));
    if looks_back && !planner.has(Role::Constant("as_of", 0)) {
        let now = planner.expr(now()?)?;
        planner.push(Role::Constant("now", 0), now, Span::empty());
    }
    Ok(())
}

fn now() -> Result<SqlExpr> {
    let parsed = Parser::new(&GenericDialect {}).try_with_sql("now()").and_then(|mut parser| parser.parse_expr());
    parsed.map_err(|error| Error::internal(format!("now() is not read: {error}")))
}
