//! `among => …`: an operator reads the events of the users of a segment, and of nobody else.
//!
//! It is the same as `WHERE user_id IN (SELECT user_id FROM SEGMENT(…))` in the input, and becomes that. Over an event table
//! the users are found first, and then chosen by their bitmaps.

use super::arguments::{Call, NamedArgument, SEGMENT, Signature};
use super::node::OperatorNode;
use super::planner::Planner;
use super::segment::{self, Segment};
use crate::error::{Error, Result};
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, Extension, Filter, LogicalPlan, Projection, Subquery};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned,
};
use std::sync::Arc;

/// The column of a segment's users.
const MEMBER: &str = "__among";

/// `input` with the rows of the users whom an argument of the call names, which is `among` or another one that takes the same.
///
/// # Errors
/// What is wrong with the argument, at its place.
pub(super) fn restricted(
    call: &Call,
    argument: NamedArgument,
    input: LogicalPlan,
    signature: &Signature,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let users = users(call, &input, argument, context)?;
    let user = Planner::user(signature, call, &input, context)?;
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(users) });
    // The optimizer asks for a list of one expression, and joins both: its name is no column's of the input.
    let column = Expr::from(plan.schema().qualified_field(0)).alias(MEMBER);
    let plan = LogicalPlan::Projection(Projection::try_new(vec![column], Arc::new(plan))?);
    let subquery = Subquery { subquery: Arc::new(plan), outer_ref_columns: Vec::new(), spans: Default::default() };
    let is_one = Expr::InSubquery(InSubquery::new(Box::new(user), subquery, false));
    Ok(LogicalPlan::Filter(Filter::try_new(is_one, Arc::new(input))?))
}

/// The segment that an argument names.
fn users(
    call: &Call,
    input: &LogicalPlan,
    argument: NamedArgument,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<Segment>> {
    let signature = &segment::args::SIGNATURE;
    let (word, span) = (argument.name, argument.span);
    let own = |args: Vec<FunctionArg>| -> Result<Call> {
        let mut own = Call::over(call.input.clone(), span, args, signature)?;
        // The same columns of the same input play the same parts.
        let parts = ["user", "time", "name"].into_iter().filter_map(|part| call.find(part).cloned());
        let missing: Vec<_> = parts.filter(|part| own.find(&part.name).is_none()).collect();
        own.named.extend(missing);
        Ok(own)
    };
    let (segment, input) = match argument.value {
        SqlExpr::Function(of) if of.name.to_string().eq_ignore_ascii_case(SEGMENT) => {
            let (name, args) = (of.name.clone(), arguments(of, &word)?);
            match args.first() {
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(_))) => {
                    let other = Call::read(&name, args, signature)?;
                    let input = context.plan(other.input.clone())?;
                    (other, input)
                }
                _ => (own(args)?, input.clone()),
            }
        }
        expr => {
            let mut segment = own(Vec::new())?;
            segment.named.push(NamedArgument { name: "where".into(), value: expr, span });
            (segment, input.clone())
        }
    };
    if let Some(given) = segment.find("emit") {
        return Err(Error::invalid(format!("{word} takes the users of a segment, whatever it would show"))
            .with_hint("leave emit away")
            .at(given.span));
    }
    segment::args::plan_users(segment, input, context)
}

fn arguments(of: Function, word: &str) -> Result<Vec<FunctionArg>> {
    let span = of.name.span();
    match of.args {
        FunctionArguments::List(list) => Ok(list.args),
        FunctionArguments::None | FunctionArguments::Subquery(_) => {
            let hint =
                format!("{word} => DID('purchase') AND DID_NOT('support'), or {word} => SEGMENT(events, where => …)");
            Err(Error::invalid("SEGMENT needs arguments in parentheses").with_hint(hint).at(span))
        }
    }
}
